//! The request: one migration's guest, hosts and limits.

use alloc::string::String;
use core::fmt;
use core::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use crate::vocabulary::{AtTimeout, Change, Changes, ControlOptions};

/// QEMU's own bounds.
pub(crate) const DOWNTIME_BOUNDS_MS: RangeInclusive<u64> = 1..=2_000_000;
/// libvirt counts in whole MiB/s; nothing is faster than 1 PiB/s.
pub(crate) const BANDWIDTH_BOUNDS_BYTES_PER_SECOND: RangeInclusive<u64> = 1 << 20..=1 << 50;

/// A requested migration. Limits that are `None` are left as the hypervisor has them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// The guest's name on the source.
    pub guest: String,
    /// The source as the driver addresses it, for messages only.
    pub source: String,
    /// The destination as the driver addresses it, for messages only.
    pub destination: String,
    /// Longest pause at switchover that the hypervisor may plan for, 1 to 2,000,000 ms (QEMU's own bound).
    pub downtime_limit_ms: Option<u64>,
    /// Most bytes a second on the migration link, at least 1 MiB/s: libvirt counts in whole MiB.
    pub bandwidth_limit_bytes_per_second: Option<u64>,
    /// When pre-copy has lasted this long, [`at_timeout`](Self::at_timeout) happens.
    pub timeout_ms: Option<u64>,
    /// What happens at the timeout. When that does not end the copy within as long again, it is cancelled.
    #[serde(default)]
    pub at_timeout: AtTimeout,
    /// Options of the transfer.
    #[serde(default, rename = "ways")]
    pub transfer: TransferOptions,
    /// Time between two queries of the progress, 10 to 60,000 ms. Hints of the hypervisor cause further queries.
    pub poll_interval_ms: u64,
    /// An answer that has not come after this long counts as "unknown", 100 to 600,000 ms.
    pub reply_timeout_ms: u64,
    /// For how long both hosts are queried when the guest's location is unknown, before the best observation is
    /// reported; 1 s to a day.
    #[serde(rename = "doubt_patience_ms", default = "default_resolve_timeout_ms")]
    pub resolve_timeout_ms: u64,
    /// For how long attempts are made to resume a post-copy that lost its connection; 1 s to a week.
    #[serde(rename = "recovery_patience_ms", default = "default_postcopy_recovery_timeout_ms")]
    pub postcopy_recovery_timeout_ms: u64,
}

/// How the hypervisor transfers the guest. Every option is off by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of its own")]
pub struct TransferOptions {
    /// Whether the switch to post-copy is allowed.
    pub postcopy: bool,
    /// Whether the guest is throttled when it dirties memory faster than it is copied.
    pub auto_converge: bool,
    /// Whether pages that were sent before are sent as XBZRLE deltas.
    pub xbzrle: bool,
    /// Number of parallel connections for pages, 1 to 255; `None` for the usual single one.
    pub parallel_connections: Option<u8>,
    /// Whether disks that the hosts do not share are copied along.
    pub copy_disks: bool,
    /// Whether a guest that is off is moved: its definition only.
    pub offline: bool,
}

/// A spec that no migration can follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpecError {
    field: &'static str,
    wanted: &'static str,
}

impl Spec {
    /// The part of the request that safety depends on.
    pub(crate) fn control_options(&self) -> ControlOptions {
        ControlOptions {
            postcopy: self.transfer.postcopy,
            offline: self.transfer.offline,
            at_timeout: self.at_timeout,
        }
    }

    /// The settings that are to be changed before the copy begins.
    pub(crate) fn plan(&self) -> Changes {
        let wanted = [
            (Change::DowntimeLimit, self.downtime_limit_ms.is_some()),
            (Change::BandwidthLimit, self.bandwidth_limit_bytes_per_second.is_some()),
        ];
        wanted
            .into_iter()
            .filter(|(_, is_wanted)| *is_wanted)
            .fold(Changes::EMPTY, |plan, (change, _)| plan.with(change))
    }

    /// A spec with every limit left to the hypervisor, a query of the progress each 250 ms, and 15 s for a reply.
    #[must_use]
    pub fn new(guest: impl Into<String>, source: impl Into<String>, destination: impl Into<String>) -> Self {
        Self {
            guest: guest.into(),
            source: source.into(),
            destination: destination.into(),
            downtime_limit_ms: None,
            bandwidth_limit_bytes_per_second: None,
            timeout_ms: None,
            at_timeout: AtTimeout::Cancel,
            transfer: TransferOptions::default(),
            poll_interval_ms: 250,
            reply_timeout_ms: 15_000,
            resolve_timeout_ms: default_resolve_timeout_ms(),
            postcopy_recovery_timeout_ms: default_postcopy_recovery_timeout_ms(),
        }
    }

    /// Checks the bounds that the fields' documentation gives.
    ///
    /// # Errors
    /// The first field that is out of its bounds.
    pub fn check(&self) -> Result<(), SpecError> {
        let within = |value: u64, low: u64, high: u64| (low..=high).contains(&value);
        let checks = [
            (!self.guest.is_empty(), "guest", "a name"),
            (
                self.downtime_limit_ms.is_none_or(|ms| DOWNTIME_BOUNDS_MS.contains(&ms)),
                "downtime_limit_ms",
                "1 to 2000000",
            ),
            (
                self.bandwidth_limit_bytes_per_second
                    .is_none_or(|rate| BANDWIDTH_BOUNDS_BYTES_PER_SECOND.contains(&rate)),
                "bandwidth_limit_bytes_per_second",
                "at least 1048576 (1 MiB/s)",
            ),
            (self.timeout_ms.is_none_or(|ms| ms > 0), "timeout_ms", "more than 0"),
            (within(self.poll_interval_ms, 10, 60_000), "poll_interval_ms", "10 to 60000"),
            (within(self.reply_timeout_ms, 100, 600_000), "reply_timeout_ms", "100 to 600000"),
            (
                self.at_timeout != AtTimeout::Postcopy || self.transfer.postcopy,
                "at_timeout",
                "a way that allows post-copy",
            ),
            (self.transfer.parallel_connections != Some(0), "ways.parallel_connections", "1 to 255"),
            (
                self.transfer == TransferOptions { offline: true, ..TransferOptions::default() }
                    || !self.transfer.offline,
                "ways.offline",
                "no other way beside it: nothing but the definition is moved",
            ),
            (within(self.resolve_timeout_ms, 1_000, 86_400_000), "doubt_patience_ms", "1000 to 86400000"),
            (
                within(self.postcopy_recovery_timeout_ms, 1_000, 604_800_000),
                "recovery_patience_ms",
                "1000 to 604800000",
            ),
        ];
        match checks.into_iter().find(|(holds, ..)| !holds) {
            None => Ok(()),
            Some((_, field, wanted)) => Err(SpecError { field, wanted }),
        }
    }
}

/// Two minutes: a daemon that is being restarted is back by then.
const fn default_resolve_timeout_ms() -> u64 {
    120_000
}

/// An hour: the repair of a network takes time, and the guest cannot return to the source.
const fn default_postcopy_recovery_timeout_ms() -> u64 {
    3_600_000
}

impl fmt::Display for SpecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is out of bounds: wanted {}", self.field, self.wanted)
    }
}

impl core::error::Error for SpecError {}
