//! The page, which is part of the program: it needs no network and no build.

use axum::extract::Path;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};
use whimbrel_core::PhaseName;

use super::problem::Problem;
use super::serialize::word;
use crate::projection::owner;
use whimbrel_observe::phases::description;

const SCRIPT: &str = "text/javascript; charset=utf-8";

/// Name, kind and content of each file.
const FILES: [(&str, &str, &[u8]); 13] = [
    ("page.css", "text/css; charset=utf-8", include_bytes!("../page/page.css")),
    ("page.js", SCRIPT, include_bytes!("../page/page.js")),
    ("live.js", SCRIPT, include_bytes!("../page/live.js")),
    ("words.js", SCRIPT, include_bytes!("../page/words.js")),
    ("events.js", SCRIPT, include_bytes!("../page/events.js")),
    ("hub.js", SCRIPT, include_bytes!("../page/hub.js")),
    ("stream.js", SCRIPT, include_bytes!("../page/stream.js")),
    ("worker.js", SCRIPT, include_bytes!("../page/worker.js")),
    ("service.js", SCRIPT, include_bytes!("../page/service.js")),
    ("uPlot.min.js", SCRIPT, include_bytes!("../page/uPlot.min.js")),
    ("uPlot.min.css", "text/css; charset=utf-8", include_bytes!("../page/uPlot.min.css")),
    // Served here, because a reader in an emergency has no time to search for it, and possibly no network.
    ("in-doubt.md", "text/plain; charset=utf-8", include_bytes!("../../../../docs/in-doubt.md")),
    ("uPlot.LICENSE", "text/plain; charset=utf-8", include_bytes!("../page/uPlot.LICENSE")),
];

pub(super) async fn index() -> Response {
    let kind = [(header::CONTENT_TYPE, "text/html; charset=utf-8")];
    (kind, include_str!("../page/index.html")).into_response()
}

pub(super) async fn file(Path(name): Path<String>) -> Result<Response, Problem> {
    if name == "phases.js" {
        return Ok(part(SCRIPT, phases()));
    }
    let found = FILES.iter().find(|(known, ..)| *known == name);
    let Some((_, kind, content)) = found else { return Err(super::nothing_here().await) };
    Ok(part(kind, *content))
}

/// A page and its parts are of one build: a stale part would be worse than a request.
fn part(kind: &'static str, content: impl IntoResponse) -> Response {
    ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "no-cache")], content).into_response()
}

/// The phases as a module of the page: what happens in each, and who owns the guest; `null` where that depends on how the phase
/// was come to.
fn phases() -> String {
    let entry = |phase| (word(&phase), json!({ "description": description(phase), "owner": owner(phase) }));
    let table: Map<String, Value> = PhaseName::ALL.into_iter().map(entry).collect();
    format!("export const PHASES = {};\n", Value::Object(table))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_every_phase_as_the_events_name_it() {
        let module = phases();
        let table = module.strip_prefix("export const PHASES = ").and_then(|rest| rest.strip_suffix(";\n"));
        let table: Value = serde_json::from_str(table.unwrap()).unwrap();
        assert_eq!(table.as_object().unwrap().len(), PhaseName::ALL.len());
        for phase in PhaseName::ALL {
            let told = &table[serde_json::to_value(phase).unwrap().as_str().unwrap()];
            assert!(told["description"].as_str().is_some_and(|text| !text.is_empty()), "{phase}: {told}");
            assert_eq!(told["owner"].is_string(), phase != PhaseName::Done, "{phase}: {told}");
        }
        assert_eq!(table["switching_over"]["owner"], "handing_over");
    }

    #[tokio::test]
    async fn a_part_that_is_made_is_served_as_one_that_is_a_file() {
        let served = file(Path("phases.js".to_owned())).await.unwrap();
        let stored = file(Path("words.js".to_owned())).await.unwrap();
        assert_eq!(served.status(), stored.status());
        assert_eq!(served.headers(), stored.headers());
    }
}
