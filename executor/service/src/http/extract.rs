//! What comes in, parsed: nothing behind this module sees a name, a number or a document that is not within bounds.

use std::time::Duration;

use axum::body::to_bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use serde::de::DeserializeOwned;
use whimbrel_core::document;
use zeroize::Zeroize;

use super::problem::Problem;

/// Bytes of a request's body at most.
pub(crate) const MOST_BODY_BYTES: usize = 64 << 10;
/// How long a body may take to come.
const BODY_PATIENCE: Duration = Duration::from_secs(10);
/// Characters of a guest's name at most.
const MOST_NAME: usize = 255;

/// A JSON document.
#[derive(Debug)]
pub(super) struct Body<T>(pub(super) T);

impl<S: Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let kind =
            request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or("");
        if kind.split(';').next().map(str::trim) != Some("application/json") {
            return Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "request.not-json",
                "the request's body is not JSON",
                "send it as `Content-Type: application/json`",
            ));
        }
        read_body(request).await.map(Self)
    }
}

/// Reads a JSON document, whatever the client says of its kind. What it held is wiped: it may have been a password.
pub(super) async fn read_body<T: DeserializeOwned>(request: Request) -> Result<T, Problem> {
    let reading = to_bytes(request.into_body(), MOST_BODY_BYTES);
    let Ok(read) = tokio::time::timeout(BODY_PATIENCE, reading).await else {
        return Err(Problem::new(
            StatusCode::REQUEST_TIMEOUT,
            "request.slow",
            "the request's body did not arrive in time",
            "send the body without delay",
        ));
    };
    let bytes = read.map_err(|_| too_large())?;
    let parsed = document::from_json_bytes(&bytes).map_err(|error| {
        let problem = if error.is_data() { Problem::invalid } else { Problem::bad_request };
        problem(error.to_string())
    });
    if let Ok(mut bytes) = bytes.try_into_mut() {
        bytes.as_mut().zeroize();
    }
    parsed
}

fn too_large() -> Problem {
    Problem::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "request.too-large",
        "the request's body is too large, or incomplete",
        "send at most 64 KiB, and the whole body",
    )
}

/// A guest's name from the path. Anything is a name that libvirt could have let in.
#[derive(Clone, Debug)]
pub(super) struct GuestName(pub(super) String);

impl<S: Sync + Send> FromRequestParts<S> for GuestName {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Path(name) = Path::<String>::from_request_parts(parts, state)
            .await
            .map_err(|_| Problem::bad_request("the guest's name is not valid UTF-8"))?;
        check_name(&name).map(|()| Self(name))
    }
}

/// Checks a guest's name.
pub(super) fn check_name(name: &str) -> Result<(), Problem> {
    if name.is_empty() || name.chars().count() > MOST_NAME || name.chars().any(|c| c.is_control() || c == '/')
    {
        return Err(Problem::bad_request(
            "a guest's name has 1 to 255 characters, no `/` and no control character",
        ));
    }
    Ok(())
}

/// A migration's number from the path.
#[derive(Clone, Copy, Debug)]
pub(super) struct Number(pub(super) i64);

impl<S: Sync + Send> FromRequestParts<S> for Number {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Path(text) =
            Path::<String>::from_request_parts(parts, state).await.map_err(|_| Problem::no_migration())?;
        let plain = text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse().ok().filter(|_| plain).map(Self).ok_or_else(Problem::no_migration)
    }
}
