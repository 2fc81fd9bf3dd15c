//! Syncs as the model takes them, from the queries before and after each.

use whimbrel_core::Instant;
use whimbrel_core::convergence::{DirtySync, Statistics};

use crate::observation::SyncSeen;

/// The last query, and the last sync.
#[derive(Clone, Debug, Default)]
pub(super) struct Syncs {
    latest: Option<(Instant, Statistics)>,
    synced: Option<Instant>,
    is_pending: bool,
}

impl Syncs {
    /// Takes the statistics of a query. Whether they show a sync, whose event follows.
    pub(super) fn poll(&mut self, now: Instant, statistics: &Statistics) -> bool {
        let before = self.latest.replace((now, *statistics));
        self.is_pending = statistics.iteration > before.map_or(0, |(_, before)| before.iteration);
        self.is_pending
    }

    /// Whether the event of a sync is still to come.
    pub(super) fn is_pending(&self) -> bool {
        self.is_pending
    }

    /// The last query.
    pub(super) fn latest(&self) -> Option<(Instant, Statistics)> {
        self.latest
    }

    /// The sync that the last query showed.
    pub(super) fn sync(&mut self, now: Instant, sync: &DirtySync) -> Option<SyncSeen> {
        self.is_pending = false;
        let (_, statistics) = self.latest?;
        let synced = self.synced.replace(now);
        Some(SyncSeen {
            iteration: sync.iteration,
            // Without a sync before it the count says nothing about an interval.
            unseen: if synced.is_some() { sync.unseen } else { 0 },
            kind: sync.kind,
            remaining_bytes: sync.memory_remaining_bytes,
            dirtied_bytes: sync.dirtied_bytes,
            interval_ms: synced.map_or(0, |synced| now.since_ms(synced)),
            statistics,
        })
    }
}
