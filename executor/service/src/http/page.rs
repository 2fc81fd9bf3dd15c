//! The page, which is part of the program: it needs no network and no build.

use axum::extract::Path;
use axum::http::header;
use axum::response::{IntoResponse, Response};

use super::problem::Problem;

/// Name, kind and content of each file.
const FILES: [(&str, &str, &[u8]); 13] = [
    ("page.css", "text/css; charset=utf-8", include_bytes!("../page/page.css")),
    ("page.js", "text/javascript; charset=utf-8", include_bytes!("../page/page.js")),
    ("live.js", "text/javascript; charset=utf-8", include_bytes!("../page/live.js")),
    ("words.js", "text/javascript; charset=utf-8", include_bytes!("../page/words.js")),
    ("events.js", "text/javascript; charset=utf-8", include_bytes!("../page/events.js")),
    ("hub.js", "text/javascript; charset=utf-8", include_bytes!("../page/hub.js")),
    ("stream.js", "text/javascript; charset=utf-8", include_bytes!("../page/stream.js")),
    ("worker.js", "text/javascript; charset=utf-8", include_bytes!("../page/worker.js")),
    ("service.js", "text/javascript; charset=utf-8", include_bytes!("../page/service.js")),
    ("uPlot.min.js", "text/javascript; charset=utf-8", include_bytes!("../page/uPlot.min.js")),
    ("uPlot.min.css", "text/css; charset=utf-8", include_bytes!("../page/uPlot.min.css")),
    // Whoever needs it has no time to look for it, and perhaps no network.
    ("in-doubt.md", "text/plain; charset=utf-8", include_bytes!("../../../../docs/in-doubt.md")),
    ("uPlot.LICENSE", "text/plain; charset=utf-8", include_bytes!("../page/uPlot.LICENSE")),
];

pub(super) async fn index() -> Response {
    let kind = [(header::CONTENT_TYPE, "text/html; charset=utf-8")];
    (kind, include_str!("../page/index.html")).into_response()
}

pub(super) async fn file(Path(name): Path<String>) -> Result<Response, Problem> {
    let found = FILES.iter().find(|(known, ..)| *known == name);
    let Some((_, kind, content)) = found else { return Err(super::nothing_here().await) };
    // A page and its parts are of one build: a stale part would be worse than a request.
    Ok(([(header::CONTENT_TYPE, *kind), (header::CACHE_CONTROL, "no-cache")], *content).into_response())
}
