//! A scenario's guest and settings as the page-accurate engine takes them.

use crate::qemu::{Guest, HostConstants, SourceConfig, UniformPhase, Writer};

use super::sections::REGION_START_MIB;
use super::{GuestPhase, Scenario};

const BYTES_PER_MIB: u64 = 1 << 20;
const PAGES_PER_MIB: u64 = 256;
const NS_PER_MS: u64 = 1_000_000;
/// QEMU's own default, which libvirt leaves alone.
const DEFAULT_DOWNTIME_LIMIT_MS: u64 = 300;

impl Scenario {
    /// The guest, having started to write at `started_at_ns` in the engine's time.
    #[must_use]
    pub fn simulated_guest(&self, started_at_ns: u64) -> Guest {
        let guest = &self.guest;
        let phase = |phase: &GuestPhase| UniformPhase {
            from_ns: phase.at_ms.saturating_mul(NS_PER_MS),
            writes_per_second: phase.writes_per_second,
            working_set_pages: phase.working_set_mib.saturating_mul(PAGES_PER_MIB),
        };
        Guest {
            memory_mib: guest.memory_mib,
            region_first_page: REGION_START_MIB * PAGES_PER_MIB,
            filled_pages: guest.filled_mib.saturating_mul(PAGES_PER_MIB),
            paused: guest.paused,
            started_at_ns,
            writer: Writer::Uniform(guest.phases.iter().map(phase).collect()),
        }
    }

    /// The engine's settings on a host with these costs. The host pushes no more than the link carries; a
    /// limit that is not given is no limit, which is libvirt's default.
    #[must_use]
    pub fn source_config(&self, host: HostConstants) -> SourceConfig {
        let limit_mib = self.migration.bandwidth_limit_mib_per_second.unwrap_or(0);
        let link = self.link.bandwidth_mib_per_second.saturating_mul(BYTES_PER_MIB);
        SourceConfig {
            host: HostConstants { link_bytes_per_second: link.min(host.link_bytes_per_second), ..host },
            max_bandwidth_bytes_per_second: limit_mib.saturating_mul(BYTES_PER_MIB),
            downtime_limit_ms: self.migration.downtime_limit_ms.unwrap_or(DEFAULT_DOWNTIME_LIMIT_MS),
            ..SourceConfig::default()
        }
    }
}
