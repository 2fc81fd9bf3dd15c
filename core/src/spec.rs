//! What was asked for: one migration's guest, hosts and limits.

use alloc::string::String;
use core::fmt;

use serde::{Deserialize, Serialize};

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
    /// Cancel when pre-copy has lasted this long.
    pub timeout_ms: Option<u64>,
    /// Time between two looks at the progress, 10 to 60,000 ms. Hints of the hypervisor are looked at beside it.
    pub poll_interval_ms: u64,
    /// An answer that has not come after this long counts as "not known", 100 to 600,000 ms.
    pub reply_timeout_ms: u64,
}

/// A spec that no migration can follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpecError {
    field: &'static str,
    wanted: &'static str,
}

impl Spec {
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
            poll_interval_ms: 250,
            reply_timeout_ms: 15_000,
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
                self.downtime_limit_ms.is_none_or(|ms| within(ms, 1, 2_000_000)),
                "downtime_limit_ms",
                "1 to 2000000",
            ),
            (
                self.bandwidth_limit_bytes_per_second.is_none_or(|rate| within(rate, 1 << 20, 1 << 50)),
                "bandwidth_limit_bytes_per_second",
                "at least 1048576 (1 MiB/s)",
            ),
            (self.timeout_ms.is_none_or(|ms| ms > 0), "timeout_ms", "more than 0"),
            (within(self.poll_interval_ms, 10, 60_000), "poll_interval_ms", "10 to 60000"),
            (within(self.reply_timeout_ms, 100, 600_000), "reply_timeout_ms", "100 to 600000"),
        ];
        match checks.into_iter().find(|(holds, ..)| !holds) {
            None => Ok(()),
            Some((_, field, wanted)) => Err(SpecError { field, wanted }),
        }
    }
}

impl fmt::Display for SpecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is out of bounds: wanted {}", self.field, self.wanted)
    }
}

impl core::error::Error for SpecError {}
