//! The options of a migration that are fixed when it starts.

/// How a migration starts. Apart from the limits nothing of this can be changed while it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Start {
    /// The first downtime limit. QEMU's default is 300 ms.
    pub downtime_limit_ms: u64,
    /// The first bandwidth limit in bytes a second; zero for none, which is libvirt's default.
    pub bandwidth_bytes_per_second: u64,
    /// `VIR_MIGRATE_AUTO_CONVERGE`.
    pub auto_converge: Option<AutoConverge>,
    /// QEMU's `dirty-limit` with this `vcpu-dirty-limit`, in bytes a second; not in libvirt.
    pub dirty_limit_bytes_per_second: Option<u64>,
    /// `VIR_MIGRATE_POSTCOPY`: whether the switch may be requested later.
    pub postcopy: bool,
    /// `VIR_MIGRATE_COMPRESSED` by XBZRLE, with a cache of this many bytes.
    pub xbzrle_cache_bytes: Option<u64>,
}

/// QEMU's auto-converge: steps of the throttle, and when they begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AutoConverge {
    /// `cpu-throttle-initial`. QEMU's default is 20 %.
    pub initial_percent: u64,
    /// `cpu-throttle-increment`. Default 10 %.
    pub increment_percent: u64,
    /// `cpu-throttle-tailslow`; not in libvirt.
    pub tailslow: bool,
}

impl Default for AutoConverge {
    fn default() -> Self {
        Self { initial_percent: 20, increment_percent: 10, tailslow: false }
    }
}

impl Default for Start {
    fn default() -> Self {
        Self {
            downtime_limit_ms: 300,
            bandwidth_bytes_per_second: 0,
            auto_converge: None,
            dirty_limit_bytes_per_second: None,
            postcopy: false,
            xbzrle_cache_bytes: None,
        }
    }
}

impl Start {
    /// QEMU's defaults with another downtime limit.
    #[must_use]
    pub fn with_limit(downtime_limit_ms: u64) -> Self {
        Self { downtime_limit_ms, ..Self::default() }
    }

    /// Whether libvirt has a flag or parameter for everything in it.
    #[must_use]
    pub fn is_in_libvirt(&self) -> bool {
        let tailslow = self.auto_converge.is_some_and(|auto_converge| auto_converge.tailslow);
        self.dirty_limit_bytes_per_second.is_none() && !tailslow
    }
}
