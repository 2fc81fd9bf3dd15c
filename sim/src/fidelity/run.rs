//! One recorded set-up through the page engine.

use crate::batch::{Batch, Outcome};
use crate::guest::{Guest, Pattern, Writer};
use crate::qemu::{Engine, SourceConfig};
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
    /// Runs the set-up in an engine, all chance from `seed`.
    pub(super) fn simulate(setup: &Setup, engine: Engine, seed: u64) -> Self {
        let mut random = Random::from_seed(seed);
        let started_ns = SHORTEST_LEAD_NS + lead_ns(&setup.writers, &mut random);
        let guest = Guest {
            memory_mib: setup.memory_mib,
            region_first_page: REGION_FIRST_PAGE,
            filled_pages: setup.filled_pages,
            writers: setup.writers.clone(),
            ..Guest::default()
        };
        let config = SourceConfig {
            max_bandwidth_bytes_per_second: setup.max_bandwidth_bytes_per_second,
            downtime_limit_ms: setup.downtime_limit_ms,
            auto_converge: setup.auto_converge.then(Default::default),
            ..SourceConfig::default()
        };
        let patience_ms = setup.timeout_s.saturating_mul(1000);
        Batch::new(&config, guest, started_ns).migrate(engine, random, patience_ms).into()
    }
}

impl From<Outcome> for Run {
    fn from(outcome: Outcome) -> Self {
        Self {
            completed: outcome.converged,
            total_ms: Some(outcome.total_ms),
            downtime_ms: outcome.downtime_ms,
            normal_pages: outcome.normal_pages,
            syncs: outcome.syncs,
        }
    }
}

/// Where the guest stood in its cycle when the migration began. No recording tells, so it is anywhere.
fn lead_ns(writers: &[Writer], random: &mut Random) -> u64 {
    let cycle_ns = |writer: &Writer| {
        let scan = if writer.pattern == Pattern::Sequential { writer.working_set_pages } else { 0 };
        let moves = writer.moves_after_writes.map_or(0, |length| length.get().saturating_mul(2));
        let rate = u128::from(writer.pace.most_writes_per_second().max(1));
        u128::from(scan.max(moves)) * u128::from(NS_PER_S) / rate
    };
    let longest = writers.iter().map(cycle_ns).max().unwrap_or(0);
    // A cycle longer than a day would only push the engine's clock towards its end.
    random.below(u64::try_from(longest).unwrap_or(u64::MAX).min(86_400 * NS_PER_S))
}
