//! One recorded set-up through an engine.
//!
//! A set-up that is left alone goes through a batch; one whose limits change, that is switched to post-copy or waits
//! for a word is stepped to each of these instants.

use whimbrel_sim::batch::{Batch, Outcome};
use whimbrel_sim::guest::{Guest, Pattern, Writer};
use whimbrel_sim::qemu::{Engine, EventKind, SourceConfig, SourceMigration, Status};
use whimbrel_sim::random::Random;

use super::constants::Host;
use super::recording::{Before, Case, Setup};

/// First page that the recorder's guest writes to, at 16 MiB.
const REGION_FIRST_PAGE: u64 = 4096;
/// A guest of the older recordings had been writing for some time when its migration began: at least this long, as its
/// rate was measured first.
const SHORTEST_LEAD_NS: u64 = NS_PER_S;
const NS_PER_S: u64 = 1_000_000_000;
const NS_PER_MS: u64 = 1_000_000;

/// How a migration went, a recorded or a simulated one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// Whether it completed; if not, it was cancelled at the case's timeout.
    pub completed: bool,
    /// From the request to the end, if it is known.
    pub total_ms: Option<u64>,
    /// The downtime, if the migration completed and it is known.
    pub downtime_ms: Option<u64>,
    /// Pages sent with their content.
    pub normal_pages: u64,
    /// Zero pages sent as a header, if they were counted.
    pub zero_pages: Option<u64>,
    /// Bytes as QEMU's statistics count them, if they were.
    pub transferred_bytes: Option<u64>,
    /// Syncs of the dirty bitmap.
    pub syncs: u64,
}

/// What is done to a migration from outside, at an instant from its start on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Bandwidth(u64),
    DowntimeLimit(u64),
    Postcopy,
}

impl Run {
    /// Runs the case on a host in an engine, all chance from `seed`, at this many thousandths of the requested rate.
    /// The seeds take what was known before each of the repeats in turn.
    pub(super) fn simulate(case: &Case, host: &Host, engine: Engine, seed: u64, rate_permille: u64) -> Self {
        let setup = &case.setup;
        let repeats = case.repeats.len().max(1) as u64;
        let place = usize::try_from(seed % repeats).unwrap_or(0);
        let Some(before) = case.repeats.get(place).map(|repeat| &repeat.before) else {
            return Outcome::default().into();
        };
        let mut random = Random::from_seed(seed);
        let guest = guest(setup, before, host, rate_permille);
        // QEMU's clock counts whole milliseconds, and the guest's time is somewhere within one.
        let within_ms = random.below(NS_PER_MS);
        let started_ns = match before.age_ms {
            Some(age_ms) => age_ms.saturating_mul(NS_PER_MS).saturating_add(within_ms),
            None => SHORTEST_LEAD_NS + lead_ns(&guest.writers, &mut random),
        };
        let config = configuration(setup, host);
        let patience_ms = setup.timeout_s.saturating_mul(1000);
        let actions = actions(setup);
        if actions.is_empty() && !config.pause_before_switchover {
            return Batch::new(&config, guest, started_ns).migrate(engine, random, patience_ms).into();
        }
        let migration = SourceMigration::start(engine, &config, guest, started_ns, random);
        stepped(migration, &actions, host.switchover_wait_ns, patience_ms.saturating_mul(NS_PER_MS))
    }
}

impl From<Outcome> for Run {
    fn from(outcome: Outcome) -> Self {
        Self {
            completed: outcome.converged,
            total_ms: Some(outcome.total_ms),
            downtime_ms: outcome.downtime_ms.filter(|_| outcome.converged),
            normal_pages: outcome.normal_pages,
            zero_pages: Some(outcome.zero_pages),
            transferred_bytes: Some(outcome.transferred_bytes),
            syncs: outcome.syncs,
        }
    }
}

fn guest(setup: &Setup, before: &Before, host: &Host, rate_permille: u64) -> Guest {
    let mut speeds = before.speeds;
    speeds.rate_permille = rate_permille;
    let profile = before.profile.as_ref().filter(|_| setup.workload.is_some());
    let (mut writers, filled_pages) = match profile {
        Some(profile) => (profile.law().writers, profile.nonzero_pages),
        // The reader has verified that there are writers.
        None => (
            setup.arguments.writers(speeds, setup.lasts_ms(before)).unwrap_or_default(),
            setup.arguments.filled_pages(speeds.is_old_guest),
        ),
    };
    let sharing = writers.len().max(1) as u64;
    for writer in &mut writers {
        writer.top_writes_per_second = host.guest_writes_per_second / sharing;
    }
    Guest {
        memory_mib: setup.memory_mib,
        region_first_page: REGION_FIRST_PAGE,
        filled_pages,
        writers,
        paused: setup.paused,
        content: setup.arguments.content(),
        ..Guest::default()
    }
}

fn configuration(setup: &Setup, host: &Host) -> SourceConfig {
    let mut config = SourceConfig { host: host.constants, ..setup.config };
    if setup.prealloc {
        config.host.first_touch_ns = 0;
    }
    config
}

/// Everything that was done from outside, in its order.
fn actions(setup: &Setup) -> Vec<(u64, Action)> {
    let mut actions: Vec<(u64, Action)> = Vec::new();
    for change in &setup.changes {
        let bandwidth = change.max_bandwidth_bytes_per_second.map(Action::Bandwidth);
        let limit = change.downtime_limit_ms.map(Action::DowntimeLimit);
        actions.extend(bandwidth.into_iter().chain(limit).map(|action| (change.at_ns, action)));
    }
    actions.extend(setup.postcopy_at_ns.map(|at_ns| (at_ns, Action::Postcopy)));
    actions.sort_by_key(|(at_ns, _)| *at_ns);
    actions
}

fn stepped(
    mut migration: SourceMigration,
    actions: &[(u64, Action)],
    switchover_wait_ns: u64,
    patience_ns: u64,
) -> Run {
    let begin_ns = migration.now_ns();
    let deadline_ns = begin_ns.saturating_add(patience_ns);
    let due = actions.iter().map(|(after_ns, action)| (begin_ns.saturating_add(*after_ns), Some(*action)));
    for (at_ns, action) in due.chain([(deadline_ns, None)]) {
        let at_ns = at_ns.min(deadline_ns);
        while let Some(event) = migration.run_to(at_ns) {
            if event.kind == EventKind::PreSwitchover {
                wait(&mut migration, event.at_ns.saturating_add(switchover_wait_ns).min(deadline_ns));
            }
        }
        match action {
            Some(Action::Bandwidth(bytes_per_second)) => migration.set_max_bandwidth(bytes_per_second),
            Some(Action::DowntimeLimit(limit_ms)) => migration.set_downtime_limit_ms(limit_ms),
            Some(Action::Postcopy) => {
                migration.start_postcopy();
            }
            None => {}
        }
    }
    let statistics = migration.statistics();
    let outcome = Outcome::from(statistics);
    Run { completed: statistics.status == Status::Completed, ..outcome.into() }
}

/// The switchover waits until libvirt continues it.
fn wait(migration: &mut SourceMigration, until_ns: u64) {
    while migration.run_to(until_ns).is_some() {}
    migration.continue_switchover();
}

/// Where the guest stood in its cycle when the migration began. Older recordings do not contain it, so it is drawn.
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
