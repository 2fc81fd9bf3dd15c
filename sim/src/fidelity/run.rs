//! One recorded set-up through the page engine.

use crate::qemu::{Guest, Pattern, SourceConfig, SourceMigration, Statistics, Status, SteadyWriter, Writer};
use crate::random::Random;

use super::recording::Setup;

/// First page that the recorder's guest writes to, at 16 MiB.
const REGION_FIRST_PAGE: u64 = 4096;
/// The recorder's guest had been writing for some time when its migration began: at least this long, as its rate was
/// measured first.
const SHORTEST_LEAD_NS: u64 = NS_PER_S;
const NS_PER_S: u64 = 1_000_000_000;

/// How a migration went, a recorded or a simulated one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// Whether it completed; if not, it was cancelled at the case's timeout.
    pub completed: bool,
    /// From the request to the end, if it is known.
    pub total_ms: Option<u64>,
    /// How long the guest stood still, if it completed and it is known.
    pub downtime_ms: Option<u64>,
    /// Pages sent with their content.
    pub normal_pages: u64,
    /// Syncs of the dirty bitmap.
    pub syncs: u64,
}

impl Run {
    /// Runs the set-up in the page engine, all chance from `seed`.
    pub(super) fn simulate(setup: &Setup, seed: u64) -> Self {
        let mut random = Random::from_seed(seed);
        let started_ns = SHORTEST_LEAD_NS + lead_ns(&setup.writer, &mut random);
        let guest = Guest {
            memory_mib: setup.memory_mib,
            region_first_page: REGION_FIRST_PAGE,
            filled_pages: setup.filled_pages,
            paused: false,
            started_at_ns: 0,
            writer: setup.writer.clone(),
        };
        let config = SourceConfig {
            max_bandwidth_bytes_per_second: setup.max_bandwidth_bytes_per_second,
            downtime_limit_ms: setup.downtime_limit_ms,
            auto_converge: setup.auto_converge,
            ..SourceConfig::default()
        };
        let mut source = SourceMigration::start(config, guest, started_ns, random);
        let deadline_ns = started_ns.saturating_add(setup.timeout_s.saturating_mul(NS_PER_S));
        while source.advance_to(deadline_ns).is_some() {}
        source.cancel();
        while let Some(next_ns) = source.next_event_at() {
            source.advance_to(next_ns);
        }
        source.statistics().into()
    }
}

impl From<Statistics> for Run {
    fn from(statistics: Statistics) -> Self {
        Self {
            completed: statistics.status == Status::Completed,
            total_ms: Some(statistics.elapsed_ms),
            downtime_ms: statistics.downtime_ms,
            normal_pages: statistics.memory.normal_pages,
            syncs: statistics.memory.dirty_sync_count,
        }
    }
}

/// Where the guest stood in its cycle when the migration began. No recording tells, so it is anywhere.
fn lead_ns(writer: &Writer, random: &mut Random) -> u64 {
    let Writer::Steady(SteadyWriter {
        pattern,
        writes_per_second,
        working_set_pages,
        moves_after_writes,
        ..
    }) = writer
    else {
        return 0;
    };
    let scan = if *pattern == Pattern::Sequential { *working_set_pages } else { 0 };
    let moves = moves_after_writes.map_or(0, |length| length.get().saturating_mul(2));
    let cycle_ns =
        u128::from(scan.max(moves)) * u128::from(NS_PER_S) / u128::from((*writes_per_second).max(1));
    // A cycle longer than a day would only push the engine's clock towards its end.
    random.below(u64::try_from(cycle_ns).unwrap_or(u64::MAX).min(86_400 * NS_PER_S))
}
