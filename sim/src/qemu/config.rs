//! What a migration is asked to do, on which host, with which of QEMU's features.

use std::num::NonZeroU64;

use super::host::HostConstants;

/// What a migration is asked to do, and on which host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceConfig {
    /// Costs of the host.
    pub host: HostConstants,
    /// Limit in bytes a second; zero means none. QEMU's own default is 128 MiB/s.
    pub max_bandwidth_bytes_per_second: u64,
    /// The hand-over starts once the rest would take less than this; QEMU's default is 300 ms.
    pub downtime_limit_ms: u64,
    /// Whether and how the guest is slowed down when it dirties too much; QEMU's default is not at all.
    pub auto_converge: Option<AutoConverge>,
}

/// How a guest is slowed down, with QEMU's parameters and their defaults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AutoConverge {
    /// `cpu-throttle-initial`: the first step, 1 to 99 %. Default 20.
    pub initial_percent: u64,
    /// `cpu-throttle-increment`: each further step, 1 to 99 %. Default 10.
    pub increment_percent: u64,
    /// `max-cpu-throttle`: the end of it, 1 to 99 %. Default 99.
    pub max_percent: u64,
    /// `throttle-trigger-threshold`: too much is dirtied when it is more than this part of what was sent, 1 to 100 %.
    /// Default 50.
    pub trigger_threshold_percent: u64,
    /// `cpu-throttle-tailslow`: whether the last steps are smaller. Default no.
    pub tailslow: bool,
    /// How long no sync may happen before one is forced, while the guest is slowed: 5 s from QEMU 9.2 on, none before.
    /// Default none.
    pub periodic_sync_ns: Option<NonZeroU64>,
}

impl Default for SourceConfig {
    fn default() -> Self {
        Self {
            host: HostConstants::default(),
            max_bandwidth_bytes_per_second: 128 << 20,
            downtime_limit_ms: 300,
            auto_converge: None,
        }
    }
}

impl Default for AutoConverge {
    fn default() -> Self {
        Self {
            initial_percent: 20,
            increment_percent: 10,
            max_percent: 99,
            trigger_threshold_percent: 50,
            tailslow: false,
            periodic_sync_ns: None,
        }
    }
}
