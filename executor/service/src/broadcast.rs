//! Broadcast of events from the writer to listeners, as they are committed.
//!
//! A listener that is too slow loses its place here and continues from the store: no listener delays another.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::broadcast::{Receiver, Sender, channel};

/// Events that wait for a slow listener.
const KEPT: usize = 1_024;

/// An event as it was published.
#[derive(Clone, Debug)]
pub(super) struct EventRow {
    pub(super) number: i64,
    pub(super) place: i64,
    pub(super) migration: i64,
    pub(super) at_ns: i64,
    pub(super) body: String,
}

impl EventRow {
    /// Its `id`, as clients see it and give it back.
    pub(super) fn id(&self) -> String {
        format!("{}.{}", self.number, self.place)
    }
}

/// The broadcast channels. Clones share them.
#[derive(Clone, Debug)]
pub(super) struct Hub {
    all: Sender<Arc<EventRow>>,
    by_migration: Arc<Mutex<HashMap<i64, Sender<Arc<EventRow>>>>>,
}

impl Hub {
    pub(super) fn new() -> Self {
        Self { all: channel(KEPT).0, by_migration: Arc::default() }
    }

    /// Listens to one migration or to all, from the next event on.
    pub(super) fn listen(&self, migration: Option<i64>) -> Receiver<Arc<EventRow>> {
        let Some(id) = migration else { return self.all.subscribe() };
        let mut places = self.by_migration.lock().unwrap_or_else(PoisonError::into_inner);
        places.entry(id).or_insert_with(|| channel(KEPT).0).subscribe()
    }

    /// No event of this migration follows: its listeners can end.
    pub(super) fn close(&self, migration: i64) {
        self.by_migration.lock().unwrap_or_else(PoisonError::into_inner).remove(&migration);
    }

    pub(super) fn publish(&self, event: EventRow) {
        let event = Arc::new(event);
        let mut places = self.by_migration.lock().unwrap_or_else(PoisonError::into_inner);
        // A channel without listeners is dropped: there are more migrations than listeners.
        if let Some(place) = places.get(&event.migration)
            && place.send(Arc::clone(&event)).is_err()
        {
            places.remove(&event.migration);
        }
        drop(places);
        // There may be no listener to all migrations.
        let _ = self.all.send(event);
    }
}
