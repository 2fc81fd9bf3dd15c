//! The built-in scenarios do on the engine what their files promise.

#![expect(clippy::unwrap_used, reason = "a failing helper fails the test")]

use whimbrel_sim::qemu::{Engine, EventKind, HostConstants, SourceMigration, Status};
use whimbrel_sim::random::Random;
use whimbrel_sim::scenario::{ExpectedResult, FaultAction, Scenario, Trigger};

const NS_PER_MS: u64 = 1_000_000;
const FIRST: &str = "regression";

struct Run {
    /// Bytes left after each sync, without the one of the switchover.
    remaining: Vec<u64>,
    status: Status,
    elapsed_ms: u64,
}

/// Runs a scenario whose only faults are cancels at an iteration.
fn run(scenario: &Scenario, seed: u64) -> Run {
    let config = scenario.source_config(HostConstants::default());
    let mut source = SourceMigration::start(
        Engine::Page,
        &config,
        scenario.simulated_guest(0),
        0,
        Random::from_seed(seed),
    );
    let timeout_ns = scenario.migration.timeout_ms.unwrap() * NS_PER_MS;
    let mut remaining = Vec::new();
    while let Some(event) = source.advance_to(timeout_ns) {
        let EventKind::SyncDone { iteration, remaining_bytes, .. } = event.kind else { continue };
        if source.guest_runs() {
            remaining.push(remaining_bytes);
        }
        for fault in &scenario.faults {
            assert_eq!(fault.action, FaultAction::Cancel);
            if fault.trigger == Trigger::AtIteration(iteration) {
                assert!(source.cancel());
            }
        }
    }
    Run { remaining, status: source.status(), elapsed_ms: source.statistics().elapsed_ms }
}

#[test]
fn built_in_scenarios_keep_their_promises() {
    for name in [FIRST, "converges", "never-converges"] {
        let scenario = Scenario::built_in(name).unwrap().unwrap();
        assert_eq!(scenario.name, name);
        for seed in [scenario.seed, 2, 3, 4, 5] {
            let Run { remaining, status, elapsed_ms } = run(&scenario, seed);
            let mib: Vec<u64> = remaining.iter().map(|bytes| bytes >> 20).collect();
            println!("{name} seed {seed}: {status:?} after {elapsed_ms} ms, left at syncs {mib:?} MiB");
            let expected = match scenario.expect.result {
                ExpectedResult::Completed | ExpectedResult::ArrivedStopped => Status::Completed,
                ExpectedResult::Cancelled => Status::Cancelled,
                ExpectedResult::Failed | ExpectedResult::InDoubt => Status::Failed,
            };
            assert_eq!(status, expected);
            let regressions = remaining.array_windows().filter(|[before, after]| after > before).count();
            assert!(regressions as u64 >= scenario.expect.gains_at_least);
        }
    }
}

/// The one to show takes long enough to watch and has something to see.
#[test]
fn the_first_built_in_regresses_visibly() {
    assert_eq!(Scenario::built_in_names().next(), Some(FIRST));
    let scenario = Scenario::built_in(FIRST).unwrap().unwrap();
    let Run { remaining, elapsed_ms, .. } = run(&scenario, scenario.seed);
    assert!((30_000..=60_000).contains(&elapsed_ms));
    assert!((9..=20).contains(&remaining.len()), "{}", remaining.len());
    let leap = remaining.array_windows().map(|[before, after]| after.saturating_sub(*before)).max().unwrap();
    assert!(leap > 100 << 20, "the largest leap is {leap} bytes");
}
