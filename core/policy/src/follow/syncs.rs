//! Syncs as the model takes them, from the queries before and after each.

use whimbrel_core::Instant;
use whimbrel_core::convergence::{DirtySync, Statistics};

use crate::observation::SyncSeen;
use crate::sync_kind::SyncKind;

/// The last two queries, and the last sync.
#[derive(Clone, Debug, Default)]
pub(super) struct Syncs {
    before: Option<Statistics>,
    latest: Option<(Instant, Statistics)>,
    synced: Option<Instant>,
    is_pending: bool,
}

impl Syncs {
    /// Takes the statistics of a query. Whether they show a sync, whose event follows.
    pub(super) fn poll(&mut self, now: Instant, statistics: &Statistics) -> bool {
        self.before = self.latest.replace((now, *statistics)).map(|(_, before)| before);
        self.is_pending = statistics.iteration > self.before.map_or(0, |before| before.iteration);
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
    pub(super) fn sync(&mut self, now: Instant, sync: &DirtySync, limit_ms: u64) -> Option<SyncSeen> {
        self.is_pending = false;
        let (_, statistics) = self.latest?;
        let synced = self.synced.replace(now);
        Some(SyncSeen {
            iteration: sync.iteration,
            // Without a sync before it the count says nothing about an interval.
            unseen: if synced.is_some() { sync.unseen } else { 0 },
            kind: self.kind(sync, limit_ms),
            remaining_bytes: sync.memory_remaining_bytes,
            dirtied_bytes: sync.dirtied_bytes,
            interval_ms: synced.map_or(0, |synced| now.since_ms(synced)),
            statistics,
        })
    }

    /// Whether it ended a pass. The only place that decides it: where the events say it themselves, it is read here.
    fn kind(&self, sync: &DirtySync, limit_ms: u64) -> SyncKind {
        match (self.before, self.latest) {
            (Some(before), Some((_, after))) if sync.unseen == 0 => {
                SyncKind::between(&before, &after, limit_ms)
            }
            _ => SyncKind::Unknown,
        }
    }
}
