//! A scenario's guest and settings as the engines take them.

use super::bounds::{BYTES_PER_MIB, NS_PER_MS, PAGES_PER_MIB, REGION_START_MIB};
use super::{GuestPhase, Scenario, ScenarioWriter, Writing};
use crate::guest::{Guest, Pace, Pattern, Writer};
use crate::qemu::{AutoConverge, Channels, HostConstants, SourceConfig};
use crate::versions::{Version, qemu};

/// QEMU's own default, which libvirt leaves alone.
const DEFAULT_DOWNTIME_LIMIT_MS: u64 = 300;

impl Scenario {
    /// The guest, having started to write at `started_at_ns` in the engine's time.
    #[must_use]
    pub fn simulated_guest(&self, started_at_ns: u64) -> Guest {
        let guest = &self.guest;
        Guest {
            memory_mib: guest.memory_mib,
            region_first_page: REGION_START_MIB * PAGES_PER_MIB,
            filled_pages: guest.filled_mib.saturating_mul(PAGES_PER_MIB),
            ballooned_pages: guest.ballooned_mib.saturating_mul(PAGES_PER_MIB),
            balloon_is_hinted: guest.balloon_is_hinted,
            paused: guest.paused,
            started_at_ns,
            writers: match &guest.writing {
                Writing::Phases(phases) => writers_of_phases(phases),
                Writing::Writers(writers) => writers.iter().map(ScenarioWriter::simulated).collect(),
            },
            content: guest.content,
        }
    }

    /// The engine's settings on a host with these costs. The host pushes no more than the link carries at first; a
    /// limit that is not given is no limit, which is libvirt's default.
    #[must_use]
    pub fn source_config(&self, host: HostConstants) -> SourceConfig {
        let migration = &self.migration;
        let limit_mib = migration.bandwidth_limit_mib_per_second.unwrap_or(0);
        let link = self.link.bandwidth_mib_per_second.saturating_mul(BYTES_PER_MIB);
        SourceConfig {
            host: HostConstants { link_bytes_per_second: link.min(host.link_bytes_per_second), ..host },
            behaviour: qemu::behaviour(self.source.qemu),
            max_bandwidth_bytes_per_second: limit_mib.saturating_mul(BYTES_PER_MIB),
            downtime_limit_ms: migration.downtime_limit_ms.unwrap_or(DEFAULT_DOWNTIME_LIMIT_MS),
            auto_converge: self.auto_converge(),
            dirty_limit: migration.dirty_limit,
            xbzrle: migration.xbzrle,
            channels: self.channels(),
            postcopy: migration.postcopy,
            ..SourceConfig::default()
        }
    }

    /// How the guest is slowed down by the source's QEMU.
    pub(super) fn auto_converge(&self) -> Option<AutoConverge> {
        let periodic_sync_ns = qemu::periodic_sync_ns(self.source.qemu);
        self.migration.auto_converge.map(|rules| AutoConverge { periodic_sync_ns, ..rules })
    }

    /// The channels, as the guest's machine type has them.
    pub(super) fn channels(&self) -> Option<Channels> {
        let machine = self.source.machines.first().and_then(|machine| machine.rsplit('-').next());
        let version: Option<Version> = machine.and_then(|version| version.parse().ok());
        let flush_after_each_burst = version.is_none_or(|version| version < qemu::FLUSHES_ONCE_A_ROUND);
        self.migration.channels.map(|channels| Channels { flush_after_each_burst, ..channels })
    }
}

/// A writer for each size of the working set, silent while another has its turn.
fn writers_of_phases(phases: &[GuestPhase]) -> Vec<Writer> {
    let mut sizes: Vec<u64> = phases.iter().map(|phase| phase.working_set_mib).collect();
    sizes.sort_unstable();
    sizes.dedup();
    let writer = |working_set_mib: u64| {
        let pace = |phase: &GuestPhase| {
            let writes = if phase.working_set_mib == working_set_mib { phase.writes_per_second } else { 0 };
            (phase.at_ms.saturating_mul(NS_PER_MS), writes)
        };
        Writer {
            pace: Pace::phases(phases.iter().map(pace)),
            ..Writer::steady(Pattern::Uniform, 0, working_set_mib.saturating_mul(PAGES_PER_MIB))
        }
    };
    sizes.into_iter().map(writer).collect()
}
