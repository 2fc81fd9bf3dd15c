//! What is written into the store, as it is handed to its writer.

use serde::Serialize;
use tokio::sync::oneshot;
use utoipa::ToSchema;

use crate::drive::acks::Ack;

/// A migration that was requested.
#[derive(Clone, Debug)]
pub(in crate::service) struct Begun {
    pub(in crate::service) id: i64,
    pub(in crate::service) spec: String,
    pub(in crate::service) route: String,
    pub(in crate::service) began_at_ms: i64,
    pub(in crate::service) asked_by: String,
    pub(in crate::service) target_uri: String,
    pub(in crate::service) idempotency_key: Option<String>,
}

/// A record with the events that it caused.
#[derive(Clone, Debug)]
pub(in crate::service) struct Append {
    pub(in crate::service) migration: i64,
    pub(in crate::service) line: String,
    pub(in crate::service) at_ns: i64,
    /// Each event as a document.
    pub(in crate::service) events: Vec<String>,
    /// When it ended, and how.
    pub(in crate::service) end: Option<(i64, String)>,
}

impl Append {
    /// About what it takes in memory.
    pub(super) fn bytes(&self) -> usize {
        let texts = self.events.iter().map(String::len).sum::<usize>();
        size_of::<Self>() + self.line.len() + texts + self.end.as_ref().map_or(0, |(_, text)| text.len())
    }
}

/// A migration that must not be driven on from its journal, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::service) struct Trouble {
    pub(in crate::service) migration: i64,
    pub(in crate::service) at_ms: i64,
    pub(in crate::service) why: String,
    /// How it ended, where it came to an end.
    pub(in crate::service) outcome: Option<String>,
    /// Whether it is driven on all the same: the end is written later then.
    pub(in crate::service) goes_on: bool,
}

/// Who requested what, and the status of the answer.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(in crate::service) struct Audit {
    /// Milliseconds since 1970.
    pub at_ms: i64,
    /// The token's name, or `local` without tokens.
    pub caller: String,
    /// Where the request came from.
    pub address: String,
    /// The request's method.
    pub method: String,
    /// Its path, without a query.
    pub path: String,
    /// The answer's status.
    pub status: u16,
}

/// Something to be written.
#[derive(Debug)]
pub(in crate::service) enum Write {
    /// Refused at once while the store does not accept writes.
    Begin(Begun, oneshot::Sender<Result<(), String>>),
    /// A migration that had ended is driven again. Refused as a beginning is.
    Reopen(i64, oneshot::Sender<Result<(), String>>),
    /// Kept in memory until it is written, or until it is certain that it never will be.
    Append(Append, Ack<String>),
    /// Kept in memory until it is written; acknowledged where somebody waits for it.
    Trouble(Trouble, Option<Ack<String>>),
    Audit(Audit),
    /// Answered when nothing waits any more.
    Flush(oneshot::Sender<()>),
}
