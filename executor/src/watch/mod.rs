//! Those who watch a migration: a live picture on a terminal, plain lines, documents for machines.
//!
//! A watcher shows what it is told and nothing else; it must never change, delay or stop a migration.

use whimbrel_core::{Event, Instant, View};

/// Somebody who is told everything, in order.
pub trait Watcher {
    /// An event, with the migration as it stands right after it.
    fn saw(&mut self, now: Instant, event: &Event, view: View<'_>);
}
