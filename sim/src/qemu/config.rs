//! What a migration is asked to do, on which host, with which of QEMU's features.
//!
//! Each feature is off by default, as in QEMU, and carries QEMU's parameters with their defaults. Which
//! version offers what stands in [`crate::versions`]; nothing here may depend on a version. How a version's loop behaves
//! is a setting like any other ([`Behaviour`]).

use std::num::NonZeroU64;

use super::behaviour::Behaviour;
use super::host::HostConstants;

/// What a migration is asked to do, and on which host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceConfig {
    /// Costs of the host.
    pub host: HostConstants,
    /// How the loop behaves where QEMU's versions differ. Default: as 7.2's.
    pub behaviour: Behaviour,
    /// Limit in bytes a second; zero means none. QEMU's own default is 128 MiB/s.
    pub max_bandwidth_bytes_per_second: u64,
    /// The switchover starts once the rest would take less than this; QEMU's default is 300 ms.
    pub downtime_limit_ms: u64,
    /// `avail-switchover-bandwidth`: the bandwidth that the switchover decision uses instead of the measured one.
    pub switchover_bandwidth_bytes_per_second: Option<NonZeroU64>,
    /// Whether and how the guest is slowed down when it dirties too much.
    pub auto_converge: Option<AutoConverge>,
    /// Whether and how the pages that a virtual CPU may dirty are limited; not together with auto-converge.
    pub dirty_limit: Option<DirtyLimit>,
    /// Whether pages that were sent before are sent as what changed in them.
    pub xbzrle: Option<Xbzrle>,
    /// Whether pages travel over connections of their own.
    pub channels: Option<Channels>,
    /// Whether the guest may be moved before its memory has arrived.
    pub postcopy: Option<Postcopy>,
    /// `pause-before-switchover`: whether the switchover waits, with the guest stopped, until libvirt continues it.
    pub pause_before_switchover: bool,
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
    /// How long no sync may happen after the first pass before one is forced: 5 s from QEMU 9.2 on, none before. The
    /// timer runs from the start of the migration, whether the guest is slowed or not. Default none.
    pub periodic_sync_ns: Option<NonZeroU64>,
}

/// `dirty-limit`: from the same trigger as auto-converge on, each virtual CPU may dirty so much and no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DirtyLimit {
    /// `vcpu-dirty-limit` in bytes a second. Default 1 MiB/s.
    pub vcpu_bytes_per_second: u64,
    /// `x-vcpu-dirty-limit-period`: how often the sleep of a virtual CPU is adjusted. Default 1 s.
    pub period_ns: u64,
    /// Entries of a virtual CPU's dirty ring: it sleeps each time the ring is full. Default 4096.
    pub ring_pages: u64,
    /// As for auto-converge. Default 50.
    pub trigger_threshold_percent: u64,
}

/// `xbzrle`: a cache of what was sent, by which a page that is sent again becomes a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Xbzrle {
    /// `xbzrle-cache-size`. Default 64 MiB.
    pub cache_bytes: u64,
}

/// `multifd`: pages go over several connections, in packets of 128.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Channels {
    /// `multifd-channels`, 1 to 255. Default 2.
    pub count: u64,
    /// `multifd-compression`: what a channel's thread needs to compress a page, if it does.
    pub compression_ns_per_page: Option<u64>,
    /// `zero-copy-send`: whether pages go out without being copied first.
    pub zero_copy: bool,
    /// Whether the channels wait for each other after every burst, as before QEMU 8.1, or only once a round. Default
    /// yes.
    pub flush_after_each_burst: bool,
}

/// `postcopy-ram`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Postcopy {
    /// `max-postcopy-bandwidth` in bytes a second, for pages that were not requested; zero means no limit.
    pub max_bandwidth_bytes_per_second: u64,
    /// `postcopy-preempt`: whether a page that the guest waits for overtakes what is in the pipe.
    pub preempt: bool,
}

impl Default for SourceConfig {
    fn default() -> Self {
        Self {
            host: HostConstants::default(),
            behaviour: Behaviour::default(),
            max_bandwidth_bytes_per_second: 128 << 20,
            downtime_limit_ms: 300,
            switchover_bandwidth_bytes_per_second: None,
            auto_converge: None,
            dirty_limit: None,
            xbzrle: None,
            channels: None,
            postcopy: None,
            pause_before_switchover: false,
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

impl Default for DirtyLimit {
    fn default() -> Self {
        Self {
            vcpu_bytes_per_second: 1 << 20,
            period_ns: 1_000_000_000,
            ring_pages: 4096,
            trigger_threshold_percent: 50,
        }
    }
}

impl Default for Xbzrle {
    fn default() -> Self {
        Self { cache_bytes: 64 << 20 }
    }
}

impl Default for Channels {
    fn default() -> Self {
        Self { count: 2, compression_ns_per_page: None, zero_copy: false, flush_after_each_burst: true }
    }
}
