//! Events as they happen (server-sent events). An event's number is its place in the journal, so a client that comes
//! back with `Last-Event-ID` continues where it was: no event is lost or delivered twice.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt as _;
use futures_util::stream::{Stream, once, try_unfold, unfold};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use super::extract::Number;
use super::problem::Problem;
use crate::AppState;
use crate::broadcast::EventRow;
use crate::store::{Store, StoreError};

/// Read from the store at a time.
const TOGETHER: i64 = 256;
/// Without an event for so long, a comment shows that the connection lives.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// The events of one migration, from its beginning or after `Last-Event-ID`. Ends with the migration; a client that
/// comes back after that receives 204.
#[utoipa::path(get, path = "/api/v1/migrations/{id}/events", tag = "events",
    params(("id" = String, Path, description = "Its number"), ("Last-Event-ID" = Option<String>, Header, description = "The `id` of the last event that was seen")),
    responses((status = 200, body = String, content_type = "text/event-stream"), (status = 204, description = "It has ended, and every event was seen"),
        (status = "default", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn of_one(
    State(desk): State<AppState>,
    Number(id): Number,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let place = last_seen(&desk, &headers).await?;
    // Listen first: what is committed from now on is found here or there.
    let live = desk.supervisor.hub.listen(Some(id));
    let row = desk.supervisor.store.migration(id).await?.ok_or_else(Problem::no_migration)?;
    let place = place.unwrap_or((0, -1));
    // Its outcome is committed with its last event, a moment before its driver is gone. Without one it ended in trouble.
    let is_over =
        row.ended_at_ms.is_some() && (row.outcome.is_some() || desk.supervisor.running(id).is_none());
    let nothing_left = is_over && desk.supervisor.store.events_after(Some(id), place, 1).await?.is_empty();
    if nothing_left {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    // One that ended in trouble has no event of its end.
    Ok(respond(&desk, Some(id), place, (!is_over).then_some(live)))
}

/// The events of every migration, from now on or after `Last-Event-ID`.
#[utoipa::path(get, path = "/api/v1/events", tag = "events",
    params(("Last-Event-ID" = Option<String>, Header, description = "The `id` of the last event that was seen")),
    responses((status = 200, body = String, content_type = "text/event-stream"), (status = "default", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn of_all(State(desk): State<AppState>, headers: HeaderMap) -> Result<Response, Problem> {
    let live = desk.supervisor.hub.listen(None);
    let place = match last_seen(&desk, &headers).await? {
        Some(place) => place,
        None => desk.supervisor.store.last_event().await?,
    };
    Ok(respond(&desk, None, place, Some(live)))
}

async fn last_seen(desk: &AppState, headers: &HeaderMap) -> Result<Option<(i64, i64)>, Problem> {
    let Some(id) = headers.get("last-event-id") else { return Ok(None) };
    let seen = place(id.to_str().unwrap_or_default())?;
    known(desk, seen).await.map(Some)
}

/// An event's id.
pub(super) fn place(id: &str) -> Result<(i64, i64), Problem> {
    let parsed = id.split_once('.').and_then(|(number, place)| {
        let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        (plain(number) && plain(place)).then_some(())?;
        Some((number.parse().ok()?, place.parse().ok()?))
    });
    parsed.ok_or_else(|| {
        Problem::bad_request("an event's id has the form `NUMBER.PLACE`, as sent by this service")
    })
}

/// Refuses the id of an event that is not in the store: a client that came from another store would wait for events that
/// never come. `0.0` is before every event.
pub(super) async fn known(desk: &AppState, seen: (i64, i64)) -> Result<(i64, i64), Problem> {
    if seen == (0, 0) || desk.supervisor.store.has_event(seen).await? {
        return Ok(seen);
    }
    Err(Problem::new(
        StatusCode::CONFLICT,
        "events.unknown-id",
        "this service has no event with that id: its store was replaced",
        "read the state again, then follow the events without an id",
    ))
}

fn respond(
    desk: &AppState,
    migration: Option<i64>,
    place: (i64, i64),
    live: Option<Receiver<Arc<EventRow>>>,
) -> Response {
    let follow = Follow {
        store: desk.supervisor.store.clone(),
        migration,
        place,
        live,
        waiting: Vec::new(),
        behind: true,
        over: false,
    };
    Sse::new(events(follow)).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response()
}

fn events(follow: Follow) -> impl Stream<Item = Result<Event, Infallible>> {
    unfold(follow, |mut follow| async move {
        let event = follow.next().await?;
        let kind = kind(&event.body);
        let data = format!(
            "{{\"migration\":\"{}\",\"at_ns\":{},\"event\":{}}}",
            event.migration, event.at_ns, event.body
        );
        Some((Ok(Event::default().id(event.id()).event(kind).data(data)), follow))
    })
}

/// The event's own name stands first in its document: `{"phase":…}`.
fn kind(body: &str) -> &str {
    body.split('"').nth(1).unwrap_or("event")
}

/// One client's place in the events.
struct Follow {
    store: Store,
    migration: Option<i64>,
    place: (i64, i64),
    /// None where nothing can come but what is in the store.
    live: Option<Receiver<Arc<EventRow>>>,
    /// Read from the store, the next last.
    waiting: Vec<EventRow>,
    /// Whether the store may have events that were not read yet.
    behind: bool,
    over: bool,
}

impl Follow {
    async fn next(&mut self) -> Option<EventRow> {
        if self.over {
            return None;
        }
        let event = loop {
            if let Some(event) = self.waiting.pop() {
                break event;
            }
            if self.behind {
                let read = self.store.events_after(self.migration, self.place, TOGETHER).await.ok()?;
                self.behind = !read.is_empty();
                self.waiting = read;
                self.waiting.reverse();
                continue;
            }
            match self.live.as_mut()?.recv().await {
                Ok(event) if (event.number, event.place) > self.place => break (*event).clone(),
                Ok(_) => {}
                // Too slow for the live events: the store has them.
                Err(RecvError::Lagged(_)) => self.behind = true,
                Err(RecvError::Closed) => return None,
            }
        };
        self.place = (event.number, event.place);
        self.over = self.migration.is_some() && kind(&event.body) == "ended";
        Some(event)
    }
}

/// A migration's journal behind this header, page by page: it may be longer than what a client may make this process keep
/// in memory.
pub(super) fn journal(store: Store, id: i64, header: String) -> Body {
    let records = try_unfold((store, 0), move |(store, after)| async move {
        let page = store.records_after(id, after, TOGETHER).await?;
        let Some((last, _)) = page.last() else { return Ok::<_, StoreError>(None) };
        let (last, mut text) = (*last, String::new());
        for (_, line) in &page {
            text.push_str(line);
            text.push('\n');
        }
        Ok(Some((text, (store, last))))
    });
    Body::from_stream(once(async { Ok(header) }).chain(records))
}
