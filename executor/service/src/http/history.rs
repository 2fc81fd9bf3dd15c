//! The events of one migration as documents, a page at a time: for clients that follow all migrations on one stream and
//! read here what was before, or what they missed.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::extract::Number;
use super::problem::Problem;
use super::stream;
use crate::AppState;

/// Events in one page at most.
const MOST_EVENTS: i64 = 1_000;

/// Which events are read.
#[derive(Clone, Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct After {
    /// Those after the event with this `id`; from the beginning without it.
    #[param(pattern = "^[0-9]{1,15}\\.[0-9]{1,9}$")]
    after: Option<String>,
}

/// An event that was.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct PastEvent {
    /// Its id, as `Last-Event-ID` takes it.
    id: String,
    /// The migration's number.
    migration: String,
    /// ns since the migration began.
    at_ns: i64,
    /// What the stream's `event` holds.
    #[schema(value_type = Object)]
    event: Value,
}

/// Events, the oldest first.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct History {
    /// At most 1,000.
    events: Vec<PastEvent>,
    /// Whether there are more after the last of these.
    more: bool,
}

/// The events of one migration so far, the oldest first, 1,000 at most at a time.
#[utoipa::path(get, path = "/api/v1/migrations/{id}/history", tag = "events", params(After, ("id" = String, Path, description = "Its number")),
    responses((status = 200, body = History), (status = "default", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn history(
    State(desk): State<AppState>,
    Number(id): Number,
    query: Result<Query<After>, QueryRejection>,
) -> Result<Json<History>, Problem> {
    let Query(After { after }) = query.map_err(|error| Problem::bad_request(error.body_text()))?;
    let store = &desk.supervisor.store;
    store.migration(id).await?.ok_or_else(Problem::no_migration)?;
    let place = match after {
        Some(after) => stream::known(&desk, stream::place(&after)?).await?,
        None => (0, -1),
    };
    let mut rows = store.events_after(Some(id), place, MOST_EVENTS + 1).await?;
    let most = usize::try_from(MOST_EVENTS).unwrap_or(usize::MAX);
    let more = rows.len() > most;
    rows.truncate(most);
    let event = |row: crate::broadcast::EventRow| PastEvent {
        id: row.id(),
        migration: row.migration.to_string(),
        at_ns: row.at_ns,
        // The writer wrote it.
        event: serde_json::from_str(&row.body).unwrap_or_default(),
    };
    Ok(Json(History { events: rows.into_iter().map(event).collect(), more }))
}
