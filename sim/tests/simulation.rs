//! Whole migrations in the simulated world: how they end, which events they report, and that their journals replay.

#![cfg(test)]

use whimbrel_core::{
    CancelAnswer, Cause, Ending, Event, GuestLocation, Outcome, PhaseName, Side, Verdict, journal,
};
use whimbrel_sim::scenario::Conditions;
use whimbrel_sim::{Scenario, Simulation};

/// Those that come without a source; the others are held to theirs in `field.rs`.
const BUILT_IN: [&str; 3] = ["regression", "converges", "never-converges"];

struct Told {
    outcome: Outcome,
    phases: Vec<PhaseName>,
    cancel: Vec<CancelAnswer>,
    journal: String,
}

fn run(scenario: &Scenario, seed: u64) -> Told {
    let mut simulation =
        Simulation::new(scenario, Conditions { seed, ..scenario.conditions() }, |_| Verdict::default())
            .unwrap()
            .with_journal();
    let (mut phases, mut cancel) = (Vec::new(), Vec::new());
    simulation
        .run(
            || None,
            |_, event, _| match event {
                Event::Phase(name) => phases.push(*name),
                Event::CancelAnswered(answer) => cancel.push(*answer),
                _ => {}
            },
        )
        .unwrap();
    let view = simulation.migration().view();
    Told {
        outcome: view.outcome.unwrap().clone(),
        phases,
        cancel,
        journal: simulation.journal().unwrap().to_owned(),
    }
}

/// A small guest with these faults, in the words of a scenario file.
fn with_faults(writes_per_second: u64, faults: &str) -> Scenario {
    let text = format!(
        "name = \"test\"\n\
         [guest]\nname = \"wren\"\nmemory_mib = 128\nworking_set_mib = 32\nwrites_per_second = {writes_per_second}\n\
         [link]\nbandwidth_mib_per_second = 1000\n\
         [migration]\nbandwidth_limit_mib_per_second = 16\ndowntime_limit_ms = 100\n\
         {faults}\n\
         [expect]\nresult = \"completed\"\nguest_on = \"destination\"\n"
    );
    Scenario::parse(&text, "test.toml").unwrap_or_else(|error| panic!("{error}"))
}

fn fault(at_ms: u64, what: &str) -> String {
    format!("[[fault]]\nat_ms = {at_ms}\ndo = \"{what}\"\n")
}

#[test]
fn the_built_in_scenarios_end_as_they_say() {
    for name in BUILT_IN {
        let scenario = Scenario::built_in(name).unwrap().unwrap();
        let mut simulation =
            Simulation::new(&scenario, scenario.conditions(), |_| Verdict::default()).unwrap();
        simulation.run(|| None, |_, _, _| {}).unwrap();
        let view = simulation.migration().view();
        assert_eq!(scenario.differences(view, Some(&simulation.incidents())), Vec::<String>::new(), "{name}");
        assert!(view.convergence.totals().regressions > 0, "{name} shows a saw-tooth");
    }
}

#[test]
fn every_journal_replays_to_the_same_states() {
    for name in BUILT_IN {
        let scenario = Scenario::built_in(name).unwrap().unwrap();
        let simulated = run(&scenario, scenario.seed);
        let replayed = journal::replay(&simulated.journal, |_, _, _| {})
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(replayed.migration.view().outcome, Some(&simulated.outcome));
    }
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_seed_others() {
    let scenario = with_faults(3000, "");
    assert_eq!(run(&scenario, 7).journal, run(&scenario, 7).journal);
    assert_ne!(run(&scenario, 7).journal, run(&scenario, 8).journal);
}

#[test]
fn an_idle_guest_moves() {
    let simulated = run(&with_faults(0, ""), 1);
    assert_eq!(
        simulated.phases,
        [
            PhaseName::Validating,
            PhaseName::Preparing,
            PhaseName::Precopy,
            PhaseName::SwitchingOver,
            PhaseName::Completing,
            PhaseName::Done
        ]
    );
    assert!(simulated.outcome.hypervisor_downtime_ms.is_some_and(|ms| ms < 100));
    assert!(simulated.outcome.downtime_ms.is_some_and(|ms| ms < 500), "{:?}", simulated.outcome.downtime_ms);
}

#[test]
fn a_guest_that_never_converges_is_cancelled_and_stays() {
    let simulated = run(&with_faults(60_000, &fault(20_000, "cancel")), 1);
    assert_eq!(
        (simulated.outcome.ending, simulated.outcome.guest),
        (Ending::Cancelled, GuestLocation::SourceRunning)
    );
    assert_eq!(simulated.cancel, [CancelAnswer::Cancelled]);
    assert_eq!(simulated.outcome.recovered.len(), 2, "both settings are put back");
}

#[test]
fn a_cancel_at_any_moment_is_answered_truly() {
    let calm = run(&with_faults(0, ""), 1).outcome.total_ms;
    for at_ms in (0..calm + 50).step_by(11) {
        let simulated = run(&with_faults(0, &fault(at_ms, "cancel")), 1);
        let on_source =
            matches!(simulated.outcome.guest, GuestLocation::Untouched | GuestLocation::SourceRunning);
        match simulated.cancel.last() {
            Some(CancelAnswer::Cancelled) => assert!(on_source, "at {at_ms} ms"),
            Some(CancelAnswer::TooLate) => assert!(!on_source, "at {at_ms} ms"),
            None => assert!(at_ms >= calm, "a cancel at {at_ms} ms went unanswered"),
            Some(answer) => panic!("at {at_ms} ms: {answer:?}"),
        }
    }
}

#[test]
fn a_destination_daemon_that_dies_leaves_the_guest_on_the_source() {
    let dies = with_faults(3000, &fault(2000, "kill-destination-daemon"));
    let simulated = run(&dies, 1);
    assert_eq!(simulated.outcome.guest, GuestLocation::SourceRunning);
    assert_eq!(simulated.outcome.unsettled, Some(Side::Destination), "it could not be queried");

    let returns = with_faults(
        3000,
        &(fault(2000, "kill-destination-daemon") + &fault(4000, "start-destination-daemon")),
    );
    let simulated = run(&returns, 1);
    assert_eq!((simulated.outcome.guest, simulated.outcome.unsettled), (GuestLocation::SourceRunning, None));
    assert_eq!(simulated.outcome.cause, Some(Cause::CopyFailed));
}

#[test]
fn a_short_cut_is_survived_and_a_lasting_one_is_not() {
    let short = with_faults(1000, &(fault(2000, "cut-link") + &fault(5000, "restore-link")));
    assert_eq!(run(&short, 1).outcome.ending, Ending::Completed);
    let lasting = with_faults(1000, &fault(2000, "cut-link"));
    let simulated = run(&lasting, 1);
    assert_eq!(
        (simulated.outcome.ending, simulated.outcome.guest),
        (Ending::Failed, GuestLocation::SourceRunning)
    );
}

#[test]
fn a_source_daemon_that_dies_is_in_doubt_until_it_is_back() {
    let faults = fault(2000, "kill-source-daemon") + &fault(5000, "start-source-daemon");
    let simulated = run(&with_faults(1000, &faults), 1);
    assert!(simulated.phases.contains(&PhaseName::Resolving));
    assert_eq!(simulated.outcome.guest, GuestLocation::SourceRunning);
    assert_eq!(simulated.outcome.cause, Some(Cause::ReplyLost));
}

#[test]
fn a_source_daemon_that_dies_after_the_hand_over_confirms_it_when_it_is_back() {
    let calm = run(&with_faults(0, ""), 1).outcome.total_ms;
    let faults = fault(calm - 100, "kill-source-daemon") + &fault(calm + 3000, "start-source-daemon");
    let simulated = run(&with_faults(0, &faults), 1);
    assert!(simulated.phases.contains(&PhaseName::Resolving));
    assert_eq!(
        (simulated.outcome.ending, simulated.outcome.guest),
        (Ending::Completed, GuestLocation::DestinationRunning)
    );
    assert!(simulated.outcome.recovered.is_empty(), "libvirt ends the source's copy by itself");
}

#[test]
fn a_guest_whose_process_dies_is_said_to_be_nowhere() {
    let simulated = run(&with_faults(1000, &fault(2000, "kill-source-guest")), 1);
    assert_eq!(simulated.outcome.guest, GuestLocation::Nowhere);
}

#[test]
fn no_fault_at_any_moment_leaves_two_copies_or_a_lie() {
    let calm = run(&with_faults(500, ""), 1).outcome.total_ms;
    for what in ["cut-link", "kill-destination-daemon", "kill-source-daemon", "kill-destination-guest"] {
        for at_ms in (0..calm + 50).step_by(97) {
            let simulated = run(&with_faults(500, &fault(at_ms, what)), 1);
            assert_ne!(simulated.outcome.guest, GuestLocation::BothRunning, "{what} at {at_ms} ms");
            journal::replay(&simulated.journal, |_, _, _| {})
                .unwrap_or_else(|error| panic!("{what}: {error}"));
        }
    }
}
