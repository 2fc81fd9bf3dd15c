//! The downtime that a migration reports, held against how long the guest really did not run.

#![cfg(test)]

use whimbrel_core::{Ending, GuestLocation, Outcome, Verdict};
use whimbrel_sim::{Scenario, Simulation};

/// How often progress is polled, and how long hints and answers take at most.
const PRECISION_MS: u64 = 250 + 50;

struct Run {
    outcome: Outcome,
    /// How long no copy of the guest ran.
    real_ms: u64,
}

/// A guest whose pause lasts long: its memory goes through a narrow link.
fn run(migration: &str, faults: &str) -> Run {
    let text = format!(
        "name = \"test\"\n\
         [guest]\nname = \"wren\"\nmemory_mib = 512\nworking_set_mib = 256\nwrites_per_second = 20000\n\
         [link]\nbandwidth_mib_per_second = 100\n\
         [migration]\nbandwidth_limit_mib_per_second = 16\n{migration}\n{faults}\n\
         [expect]\nresult = \"completed\"\nguest_on = \"destination\"\n"
    );
    let scenario = Scenario::parse(&text, "test.toml").unwrap_or_else(|error| panic!("{error}"));
    let mut simulation =
        Simulation::new(&scenario, scenario.conditions(), |_| Verdict::default()).unwrap().with_journal();
    simulation.run(|| None, |_, _, _| {}).unwrap();
    let world = simulation.world();
    let guest = world.guests().next().unwrap();
    Run {
        outcome: simulation.migration().view().outcome.unwrap().clone(),
        real_ms: world.stopped_ns(guest, 0) / 1_000_000,
    }
}

fn fault(trigger: &str, what: &str) -> String {
    format!("[[fault]]\n{trigger}\ndo = \"{what}\"\n")
}

#[track_caller]
fn assert_true(run: &Run) {
    let told_ms = run.outcome.downtime_ms.expect("everything was observed");
    assert!(
        told_ms.abs_diff(run.real_ms) <= PRECISION_MS,
        "reported {told_ms} ms, really {} ms",
        run.real_ms
    );
}

#[test]
fn a_guest_that_is_paused_until_it_has_arrived_has_all_of_that_as_downtime() {
    let run = run("", &fault("at_ms = 4000", "pause"));
    assert_eq!(run.outcome.guest, GuestLocation::DestinationRunning);
    assert!(run.real_ms > 10_000, "{}", run.real_ms);
    assert_true(&run);
    let by_hypervisor = run.outcome.hypervisor_downtime_ms.unwrap();
    assert!(by_hypervisor < 1_000, "the hypervisor counts from its own stop: {by_hypervisor}");
}

#[test]
fn a_pause_at_the_timeout_counts_as_one_that_an_operator_asks_for() {
    let run = run("timeout_ms = 40000\nat_timeout = \"pause\"", "");
    assert_eq!(run.outcome.ending, Ending::Completed);
    assert!(run.real_ms > 1_000, "{}", run.real_ms);
    assert_true(&run);
}

#[test]
fn a_hand_over_without_a_pause_and_a_post_copy_are_observed_too() {
    let plain = run("downtime_limit_ms = 20000", "");
    assert_eq!(plain.outcome.ending, Ending::Completed);
    assert_true(&plain);
    let postcopy = run("postcopy = true", &fault("at_ms = 4000", "postcopy"));
    assert_eq!(postcopy.outcome.ending, Ending::Completed);
    assert_true(&postcopy);
}

#[test]
fn a_migration_that_is_cancelled_or_fails_after_a_pause_had_its_downtime() {
    for end in ["cancel", "break-stream"] {
        let run = run("", &(fault("at_ms = 4000", "pause") + &fault("at_ms = 7000", end)));
        assert_eq!(run.outcome.guest, GuestLocation::SourceRunning, "{end}");
        assert!(run.real_ms > 2_900, "{end}: {}", run.real_ms);
        assert_true(&run);
        assert_eq!(run.outcome.hypervisor_downtime_ms, None, "{end}");
    }
}

#[test]
fn a_driver_that_is_gone_during_a_pause_still_knows_when_it_began() {
    let faults =
        fault("at_ms = 4000", "pause") + &fault("at_ms = 6000", "restart-driver\"\ngone_ms = 2000 #");
    let run = run("", &faults);
    assert_eq!(run.outcome.ending, Ending::Completed);
    assert!(run.real_ms > 10_000, "{}", run.real_ms);
    assert_true(&run);
}

#[test]
fn what_was_not_observed_is_absent_and_never_zero() {
    let cancelled = run("", &fault("at_ms = 3000", "cancel"));
    assert_eq!(cancelled.outcome.guest, GuestLocation::SourceRunning);
    assert_eq!((cancelled.real_ms, cancelled.outcome.downtime_ms), (0, None), "it never stopped");
    let deferred = run("downtime_limit_ms = 20000", &fault("at_ms = 0", "lose-source-events"));
    assert_eq!(deferred.outcome.ending, Ending::Completed);
    assert_eq!(deferred.outcome.downtime_ms, None, "nothing reported the stop");
    assert!(deferred.outcome.hypervisor_downtime_ms.is_some());
}
