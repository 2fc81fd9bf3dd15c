//! What was asked for: one migration's guest, hosts and limits.

use alloc::string::String;
use core::fmt;
use core::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use crate::vocabulary::{Asked, AtTimeout, Change, Changes};

/// QEMU's own bounds.
pub(crate) const DOWNTIME_BOUNDS_MS: RangeInclusive<u64> = 1..=2_000_000;
/// libvirt counts in whole MiB/s; nothing is faster than 1 PiB/s.
pub(crate) const BANDWIDTH_BOUNDS_BYTES_PER_SECOND: RangeInclusive<u64> = 1 << 20..=1 << 50;

/// A migration that was asked for. Limits that are `None` are left as the hypervisor has them.
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
    /// In which of the hypervisor's ways the guest is moved.
    #[serde(default)]
    pub ways: Ways,
    /// Time between two looks at the progress, 10 to 60,000 ms. Hints of the hypervisor are looked at beside it.
    pub poll_interval_ms: u64,
    /// An answer that has not come after this long counts as "not known", 100 to 600,000 ms.
    pub reply_timeout_ms: u64,
    /// For how long both ends are looked at when it is not known where the guest is, before the best that was seen is
    /// reported; 1 s to a day.
    #[serde(default = "default_doubt_patience_ms")]
    pub doubt_patience_ms: u64,
    /// For how long a post-copy that lost its connection is resumed again and again; 1 s to a week.
    #[serde(default = "default_recovery_patience_ms")]
    pub recovery_patience_ms: u64,
}

/// The hypervisor's ways to move a guest. Everything is off unless it is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each is a way of its own that is taken or not")]
pub struct Ways {
    /// Whether the switch to post-copy may be asked for.
    pub postcopy: bool,
    /// Whether the guest is slowed down when it dirties memory faster than it is copied.
    pub auto_converge: bool,
    /// Whether pages that were sent before are sent as what changed in them.
    pub xbzrle: bool,
    /// Connections over which pages go at the same time, 1 to 255; none for the usual one.
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
    /// What was asked for, as far as safety is concerned.
    pub(crate) fn asked(&self) -> Asked {
        Asked { postcopy: self.ways.postcopy, offline: self.ways.offline, at_timeout: self.at_timeout }
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

    /// A spec with every limit left to the hypervisor, a look at the progress each 250 ms, and 15 s for a reply.
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
            ways: Ways::default(),
            poll_interval_ms: 250,
            reply_timeout_ms: 15_000,
            doubt_patience_ms: default_doubt_patience_ms(),
            recovery_patience_ms: default_recovery_patience_ms(),
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
                self.at_timeout != AtTimeout::Postcopy || self.ways.postcopy,
                "at_timeout",
                "a way that allows post-copy",
            ),
            (self.ways.parallel_connections != Some(0), "ways.parallel_connections", "1 to 255"),
            (
                self.ways == Ways { offline: true, ..Ways::default() } || !self.ways.offline,
                "ways.offline",
                "no other way beside it: nothing but the definition is moved",
            ),
            (within(self.doubt_patience_ms, 1_000, 86_400_000), "doubt_patience_ms", "1000 to 86400000"),
            (
                within(self.recovery_patience_ms, 1_000, 604_800_000),
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
const fn default_doubt_patience_ms() -> u64 {
    120_000
}

/// An hour: whoever mends a network needs time, and the guest has nowhere to go back to.
const fn default_recovery_patience_ms() -> u64 {
    3_600_000
}

impl fmt::Display for SpecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is out of bounds: wanted {}", self.field, self.wanted)
    }
}

impl core::error::Error for SpecError {}
