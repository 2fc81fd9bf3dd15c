//! A scenario's guest and settings as the engines take them.

use crate::guest::{Guest, Pace, Pattern, Writer};
use crate::qemu::{HostConstants, SourceConfig};

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
        // A writer for each size of the working set, silent while another has its turn.
        let mut sizes: Vec<u64> = guest.phases.iter().map(|phase| phase.working_set_mib).collect();
        sizes.sort_unstable();
        sizes.dedup();
        let writer = |working_set_mib: u64| {
            let pace = |phase: &GuestPhase| {
                let writes =
                    if phase.working_set_mib == working_set_mib { phase.writes_per_second } else { 0 };
                (phase.at_ms.saturating_mul(NS_PER_MS), writes)
            };
            Writer {
                pace: Pace::phases(guest.phases.iter().map(pace)),
                ..Writer::steady(Pattern::Uniform, 0, working_set_mib.saturating_mul(PAGES_PER_MIB))
            }
        };
        Guest {
            memory_mib: guest.memory_mib,
            region_first_page: REGION_START_MIB * PAGES_PER_MIB,
            filled_pages: guest.filled_mib.saturating_mul(PAGES_PER_MIB),
            paused: guest.paused,
            started_at_ns,
            writers: sizes.into_iter().map(writer).collect(),
            ..Guest::default()
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
