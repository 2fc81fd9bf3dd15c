//! What a policy sees: facts before the start, statistics at syncs and at polls, and the ends of its own actions.

use alloc::vec::Vec;

use whimbrel_core::convergence::Statistics;

use crate::SyncKind;
use crate::action::{Action, ActionResult};
use crate::intent::Intent;

/// What is known before the first byte.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Beforehand {
    /// The guest's memory.
    pub memory_bytes: u64,
    /// Disks that are copied along.
    pub disk_bytes: u64,
    /// Virtual CPUs; zero if not known.
    pub vcpus: u32,
    /// The link between the hosts; none if not known.
    pub link_bytes_per_second: Option<u64>,
    /// Dirty rates, each measured over an interval (libvirt's `virDomainStartDirtyRateCalc`); empty if not measured.
    pub dirty_rates: Vec<DirtyRate>,
    /// Whether a device is passed through, with which post-copy is impossible.
    pub has_passthrough: bool,
}

/// One measurement of the dirty rate. Longer intervals give smaller rates, as a page counts once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DirtyRate {
    /// Over so long.
    pub interval_ms: u64,
    /// Bytes dirtied at least once, by second.
    pub bytes_per_second: u64,
}

/// One sync of the dirty bitmap, with the statistics of the query that saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyncSeen {
    /// The hypervisor's count: 1 is the sync of the setup, 2 the end of the first pass unless one happened within it.
    pub iteration: u64,
    /// Syncs between the one seen before and this one that went unseen.
    pub unseen: u64,
    /// Whether it ended a pass.
    pub kind: SyncKind,
    /// Memory to be sent from here on.
    pub remaining_bytes: u64,
    /// Memory that was clean before it and is dirty now; with unseen syncs, of all of them together.
    pub dirtied_bytes: u64,
    /// Since the sync before.
    pub interval_ms: u64,
    /// The query's statistics.
    pub statistics: Statistics,
}

/// One observation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen<'a> {
    /// A sync, soon after it happened (libvirt's event `MIGRATION_ITERATION`).
    Sync(&'a SyncSeen),
    /// The statistics of a poll.
    Poll(&'a Statistics),
    /// How the policy's action ended.
    Answered(Action, ActionResult),
    /// The operator changed the intent.
    Intent(&'a Intent),
}

impl SyncSeen {
    /// How long the remaining memory takes at the measured bandwidth, in ms; none before one was measured.
    #[must_use]
    pub fn implied_downtime_ms(&self) -> Option<u64> {
        implied_ms(self.remaining_bytes, self.statistics.bandwidth_bytes_per_second?)
    }
}

/// The time for bytes at a bandwidth, in ms; none for a link that carries nothing.
pub(crate) fn implied_ms(bytes: u64, bandwidth: u64) -> Option<u64> {
    (bandwidth > 0)
        .then(|| u64::try_from(u128::from(bytes) * 1000 / u128::from(bandwidth)).unwrap_or(u64::MAX))
}
