//! The answer to a cancel. Anything but `cancelled` is never a plain success.

use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;
use whimbrel_core::{CancelAnswer, Ending, Outcome, Side};

use super::documents::Migration;
use super::native::read;
use super::problem::Problem;
use super::serialize::word;
use crate::AppState;

/// The answer to a cancel.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct CancelReply {
    /// `cancelled` (200), `in_doubt` (202), `too_late`, `refused` or `unresolved` (409).
    pub(super) answer: String,
    /// The same in plain English.
    pub(super) description: String,
    /// What was restored, in order, in plain English.
    pub(super) recovery: Vec<String>,
    /// The migration as it stands now.
    pub(super) migration: Migration,
    /// Whether it had ended before, other than by a cancel, with the guest on its source.
    #[serde(skip)]
    had_ended_on_source: bool,
}

/// A cancel that did not keep the guest on the source: a problem whose code is the answer.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct CancelRefused {
    /// With `code`: `too_late`, `refused` or `unresolved`.
    #[serde(flatten)]
    problem: Problem,
    #[serde(flatten)]
    reply: CancelReply,
}

/// Cancels, and waits for the answer.
pub(super) async fn cancel(desk: &AppState, id: i64) -> Result<(CancelAnswer, CancelReply), Problem> {
    let answer = desk.supervisor.cancel(id).await;
    let migration = read(desk, id).await?;
    let row = desk.supervisor.store.migration(id).await?.ok_or_else(Problem::no_migration)?;
    let outcome: Option<Outcome> = row.outcome.as_deref().and_then(|text| serde_json::from_str(text).ok());
    let was_cancelled = outcome.as_ref().is_some_and(|outcome| outcome.ending == Ending::Cancelled);
    // One that had ended before is answered by where its guest is.
    let answer = answer.unwrap_or_else(|| match outcome.as_ref().and_then(|outcome| outcome.guest.side()) {
        Some(Side::Source) if was_cancelled => CancelAnswer::Cancelled,
        // Nothing was cancelled: it had failed.
        Some(_) => CancelAnswer::TooLate,
        None => CancelAnswer::Unresolved,
    });
    let side = outcome.as_ref().and_then(|outcome| outcome.guest.side());
    let had_ended_on_source = answer == CancelAnswer::TooLate && side == Some(Side::Source);
    let description = if had_ended_on_source {
        "too late: the migration had ended, and the guest is on the source".to_owned()
    } else {
        answer.to_string()
    };
    let recovered = outcome.map(|outcome| outcome.recovered).unwrap_or_default();
    let reply = CancelReply {
        answer: word(&answer),
        description,
        recovery: recovered.iter().map(ToString::to_string).collect(),
        migration,
        had_ended_on_source,
    };
    Ok((answer, reply))
}

/// The error that an answer is, if it is one.
pub(super) fn problem(answer: CancelAnswer, reply: &CancelReply) -> Option<Problem> {
    let (code, guest, remedy) = match answer {
        CancelAnswer::Cancelled | CancelAnswer::InDoubt => return None,
        CancelAnswer::TooLate if reply.had_ended_on_source => {
            ("too_late", "on the source", "nothing: `migration` says how it ended")
        }
        CancelAnswer::TooLate => {
            ("too_late", "on the destination", "to return it to the source, migrate it there")
        }
        CancelAnswer::Refused => (
            "refused",
            "running on the destination while the rest of its memory is copied from the source",
            "wait until the migration has ended: both hosts and the network between them are needed until then",
        ),
        CancelAnswer::Unresolved => (
            "unresolved",
            "unknown: see `migration`",
            "follow docs/in-doubt.md, which this service has at /page/in-doubt.md",
        ),
    };
    let problem = Problem::new(status(answer), code, "the migration was not cancelled", remedy);
    Some(problem.guest(guest).detail(reply.description.as_str()))
}

/// 200 when it was cancelled, 202 while that is not known, 409 when it was not.
pub(super) const fn status(answer: CancelAnswer) -> StatusCode {
    match answer {
        CancelAnswer::Cancelled => StatusCode::OK,
        CancelAnswer::InDoubt => StatusCode::ACCEPTED,
        CancelAnswer::TooLate | CancelAnswer::Refused | CancelAnswer::Unresolved => StatusCode::CONFLICT,
    }
}

/// The answer as a document, or as a problem.
pub(super) fn respond(answer: CancelAnswer, reply: CancelReply) -> Response {
    match problem(answer, &reply) {
        Some(problem) => {
            let kind = [(header::CONTENT_TYPE, "application/problem+json")];
            (status(answer), kind, Json(CancelRefused { problem, reply })).into_response()
        }
        None => (status(answer), Json(reply)).into_response(),
    }
}
