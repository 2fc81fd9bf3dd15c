//! What is written into the store, as it is handed to its writer.

use serde::Serialize;
use tokio::sync::oneshot;
use utoipa::ToSchema;

use whimbrel_drive::acks::Ack;

/// A migration that was requested.
#[derive(Clone, Debug)]
pub(crate) struct Begun {
    pub(crate) id: i64,
    pub(crate) spec: String,
    pub(crate) route: String,
    pub(crate) began_at_ms: i64,
    pub(crate) asked_by: String,
    pub(crate) target_uri: String,
    pub(crate) idempotency_key: Option<String>,
}

/// A record with the events that it caused.
#[derive(Clone, Debug)]
pub(crate) struct Append {
    pub(crate) migration: i64,
    pub(crate) line: String,
    pub(crate) at_ns: i64,
    /// Each event as a document.
    pub(crate) events: Vec<String>,
    /// When it ended, and how.
    pub(crate) end: Option<(i64, String)>,
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
pub(crate) struct Trouble {
    pub(crate) migration: i64,
    pub(crate) at_ms: i64,
    pub(crate) why: String,
    /// How it ended, where it came to an end.
    pub(crate) outcome: Option<String>,
    /// Whether it is driven on all the same: the end is written later then.
    pub(crate) goes_on: bool,
}

/// Who requested what, and the status of the answer.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Audit {
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
pub(crate) enum Write {
    /// Refused at once while the store does not accept writes.
    Begin(Begun, oneshot::Sender<Result<(), String>>),
    /// A migration that had ended is driven again. Refused as a beginning is.
    Reopen(i64, oneshot::Sender<Result<(), String>>),
    /// Kept in memory until it is written, or until it is certain that it never will be.
    Append(Append, Ack<String>),
    /// Kept in memory until it is written; acknowledged where a sender is given.
    Trouble(Trouble, Option<Ack<String>>),
    Audit(Audit),
    /// Answered when nothing waits any more.
    Flush(oneshot::Sender<()>),
}
