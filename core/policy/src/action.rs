//! What a policy may do to a migration that runs.

use core::fmt;

use crate::start::Start;

/// A request to the hypervisor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Sets the downtime limit (`virDomainMigrateSetMaxDowntime`).
    DowntimeLimit {
        /// The limit, up to [`MAX_DOWNTIME_MS`](Self::MAX_DOWNTIME_MS).
        ms: u64,
    },
    /// Sets the bandwidth limit (`virDomainMigrateSetMaxSpeed`); zero for none.
    Bandwidth {
        /// The limit.
        bytes_per_second: u64,
    },
    /// Switches to post-copy (`virDomainMigrateStartPostCopy`); must have been permitted at the start.
    Postcopy,
    /// Stops the guest on the source, which ends all dirtying (`virDomainSuspend`).
    Pause,
    /// Keeps the virtual CPUs from running for this part of their time. libvirt has no such call: QEMU's own
    /// auto-converge alone decides it, so that policies with this action run in the simulator only.
    Throttle {
        /// 0 to 99.
        percent: u64,
    },
    /// Ends the migration; the guest stays on the source.
    Cancel,
    /// Ends it, and begins again with these options.
    Restart(Start),
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ActionResult {
    /// It is in force.
    Done,
    /// It was refused: too late, or not possible here.
    Refused,
    /// Nothing is known of it: the answer was lost.
    Unknown,
}

impl Action {
    /// QEMU's own upper bound of the downtime limit (`MAX_MIGRATE_DOWNTIME`, 2,000 s).
    pub const MAX_DOWNTIME_MS: u64 = 2_000_000;

    /// Switches over now, whatever the downtime: the largest limit, as KubeVirt does it.
    pub const SWITCH_OVER: Self = Self::DowntimeLimit { ms: Self::MAX_DOWNTIME_MS };

    /// Whether libvirt has a call for it.
    #[must_use]
    pub const fn is_in_libvirt(&self) -> bool {
        !matches!(self, Self::Throttle { .. })
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DowntimeLimit { ms: Self::MAX_DOWNTIME_MS } => {
                f.write_str("switch over, whatever the downtime")
            }
            Self::DowntimeLimit { ms } => write!(f, "downtime limit {ms} ms"),
            Self::Bandwidth { bytes_per_second: 0 } => f.write_str("no bandwidth limit"),
            Self::Bandwidth { bytes_per_second } => {
                write!(f, "bandwidth limit {} MiB/s", bytes_per_second >> 20)
            }
            Self::Postcopy => f.write_str("post-copy"),
            Self::Pause => f.write_str("pause the guest"),
            Self::Throttle { percent } => write!(f, "throttle {percent} %"),
            Self::Cancel => f.write_str("cancel"),
            Self::Restart(_) => f.write_str("restart with other options"),
        }
    }
}
