//! The observer of a migration while it is driven. A watcher must never change, delay or stop it.

use whimbrel_core::{Event, Instant, View};

/// Receives every event, in order.
pub trait Watcher {
    /// An event, with the migration as it stands right after it.
    fn on_event(&mut self, now: Instant, event: &Event, view: View<'_>);
}
