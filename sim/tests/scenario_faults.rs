//! Faults of scenario files that need more than one example: the driver goes and comes back at every moment, and
//! requests and faults do what their names say.

#![cfg(test)]

use whimbrel_core::{
    AdjustmentKind, AdjustmentResult, Cause, Ending, Event, GuestLocation, Outcome, Verdict, journal,
};
use whimbrel_sim::scenario::{FaultAction, Trigger};
use whimbrel_sim::world::IncidentKind;
use whimbrel_sim::{Scenario, Simulation};

struct Run {
    outcome: Outcome,
    events: Vec<Event>,
    incidents: Vec<IncidentKind>,
    journal: String,
}

fn run(writes_per_second: u64, more: &str) -> Run {
    let text = format!(
        "name = \"test\"\n\
         [guest]\nname = \"wren\"\nmemory_mib = 128\nworking_set_mib = 32\nwrites_per_second = {writes_per_second}\n\
         [link]\nbandwidth_mib_per_second = 100\n{more}\n\
         [expect]\nresult = \"completed\"\nguest_on = \"destination\"\n"
    );
    let scenario = Scenario::parse(&text, "test.toml").unwrap_or_else(|error| panic!("{error}"));
    let mut simulation =
        Simulation::new(&scenario, scenario.conditions(), |_| Verdict::default()).unwrap().with_journal();
    let mut events = Vec::new();
    simulation.run(|| None, |_, event, _| events.push(event.clone())).unwrap();
    Run {
        outcome: simulation.migration().view().outcome.unwrap().clone(),
        events,
        incidents: simulation.incidents(),
        journal: simulation.journal().unwrap().to_owned(),
    }
}

fn fault(trigger: &str, what: &str) -> String {
    format!("[[fault]]\n{trigger}\ndo = \"{what}\"\n")
}

fn reactions(run: &Run) -> Vec<(AdjustmentKind, AdjustmentResult)> {
    let reaction = |event: &Event| match event {
        Event::Reacted(reaction, result) => Some((*reaction, *result)),
        _ => None,
    };
    run.events.iter().filter_map(reaction).collect()
}

#[test]
fn a_driver_that_comes_back_at_any_moment_finds_the_guest_moved() {
    for at in ["preparing", "copying", "stopped", "finishing", "starting", "started", "confirming"] {
        for gone_ms in [0, 150, 2_000, 60_000] {
            let run = run(
                300,
                &fault(&format!("at = \"{at}\""), &format!("restart-driver\"\ngone_ms = {gone_ms} #")),
            );
            let label = format!("{at}, {gone_ms} ms");
            let Outcome { ending, guest, .. } = run.outcome;
            assert_eq!((ending, guest), (Ending::Completed, GuestLocation::DestinationRunning), "{label}");
            assert!(run.incidents.is_empty(), "{label}: {:?}", run.incidents);
            let replayed = journal::replay(&run.journal, |_, _, _| {});
            assert_eq!(replayed.unwrap().migration.view().outcome, Some(&run.outcome), "{label}");
        }
    }
}

#[test]
fn an_operator_reaches_the_driver_that_came_back() {
    let restart = fault("at_ms = 400", "restart-driver\"\ngone_ms = 500 #");
    let stays = "[migration]\nbandwidth_limit_mib_per_second = 16\n";
    let before = run(60_000, &format!("{stays}{restart}{}", fault("at_ms = 600", "cancel")));
    let six_hours_ms = 6 * 3_600_000;
    assert!(before.outcome.total_ms >= six_hours_ms, "no host answered before the last timeout");
    let after = run(60_000, &format!("{stays}{restart}{}", fault("at_ms = 5000", "cancel")));
    assert_eq!((after.outcome.ending, after.outcome.total_ms / 1000), (Ending::Cancelled, 5));
}

#[test]
fn the_operators_wishes_are_passed_on() {
    let busy = "[migration]\nbandwidth_limit_mib_per_second = 16\n";
    let wish = |what: &str| run(60_000, &format!("{busy}{}", fault("at_iteration = 3", what)));
    let paused = wish("pause");
    assert_eq!(paused.outcome.ending, Ending::Completed);
    assert_eq!(reactions(&paused), [(AdjustmentKind::Pause, AdjustmentResult::Done)]);
    let faster = wish("bandwidth-limit\"\nto_mib_per_second = 100000 #");
    assert_eq!(reactions(&faster), [(AdjustmentKind::BandwidthLimit, AdjustmentResult::Done)]);
    let longer = wish("downtime-limit\"\nto_ms = 100000 #");
    assert_eq!((longer.outcome.ending, reactions(&longer)[0].1), (Ending::Completed, AdjustmentResult::Done));
    let unasked = wish("postcopy");
    assert_ne!(reactions(&unasked)[0].1, AdjustmentResult::Done, "it was not begun with post-copy allowed");
}

#[test]
fn answers_that_are_late_doubled_or_lost_change_nothing_about_the_end() {
    for what in [
        "delay-source-replies\"\nby_ms = 400 #",
        "delay-destination-replies\"\nby_ms = 3000 #",
        "double-source-replies",
        "double-destination-replies",
        "lose-source-events",
    ] {
        let run = run(1_000, &fault("at_ms = 1", what));
        assert_eq!(run.outcome.guest, GuestLocation::DestinationRunning, "{what}");
        assert!(run.incidents.is_empty(), "{what}");
    }
    let faults = fault("at = \"copying\"", "silence-source") + &fault("at_ms = 60000", "speak-source");
    let silent = run(1_000, &faults);
    assert_eq!(silent.outcome.guest, GuestLocation::DestinationRunning);
    assert!(silent.outcome.total_ms > 60_000, "nothing is known before it speaks again");
}

#[test]
fn a_host_that_is_lost_takes_its_guest_with_it() {
    let source = run(1_000, &fault("at = \"copying\"", "lose-source-host"));
    assert_eq!(source.incidents, [IncidentKind::LastCopyGone]);
    let back = fault("at = \"copying\"", "lose-source-host") + &fault("at_ms = 50000", "start-source-host");
    assert_eq!(run(1_000, &back).outcome.guest, GuestLocation::Nowhere);
    let destination = run(1_000, &fault("at = \"copying\"", "lose-destination-host"));
    assert_eq!(destination.outcome.guest, GuestLocation::SourceRunning);
}

/// Post-copy from the third sync on, and what goes wrong then; everything as the file expects it.
fn assert_postcopy_ends(faults: &str, expect: &str) {
    let text = format!(
        "name = \"test\"\n\
         [guest]\nname = \"wren\"\nmemory_mib = 256\nworking_set_mib = 200\nwrites_per_second = 60000\n\
         [link]\nbandwidth_mib_per_second = 100\n[migration]\npostcopy = true\n{}{faults}[expect]\n{expect}\n",
        fault("at_iteration = 3", "postcopy")
    );
    let scenario = Scenario::parse(&text, "test.toml").unwrap_or_else(|error| panic!("{error}"));
    let mut simulation = Simulation::new(&scenario, scenario.conditions(), |_| Verdict::default()).unwrap();
    simulation.run(|| None, |_, _, _| {}).unwrap();
    let view = simulation.migration().view();
    let differences = scenario.differences(view, Some(&simulation.incidents()));
    assert!(differences.is_empty(), "{faults}: {differences:?}");
}

#[test]
fn a_postcopy_ends_in_every_way_that_there_is() {
    let cut = fault("at = \"postcopy\"", "cut-link");
    let restored = fault("at = \"postcopy\"\nafter_ms = 40000", "restore-link");
    assert_postcopy_ends(
        "",
        "result = \"completed\"\nguest_on = \"destination\"\nrecovered = []\nincidents = []",
    );
    assert_postcopy_ends(
        &format!("{cut}{restored}"),
        "result = \"completed\"\nguest_on = \"destination\"\ntotal_ms = [40000, 80000]\nincidents = []",
    );
    assert_postcopy_ends(&cut, "result = \"in-doubt\"\nguest_on = \"halves\"\nincidents = []");
    assert_postcopy_ends(
        &fault("at = \"postcopy\"", "kill-source-guest"),
        "result = \"failed\"\nguest_on = \"lost\"\nincidents = [\"last-copy-gone\"]",
    );
}

#[test]
fn a_guest_that_is_off_is_moved_by_its_definition() {
    let moved = run(0, "[migration]\noffline = true\n");
    assert_eq!(moved.outcome.guest, GuestLocation::DestinationOff);
}

/// libvirt checks at the beginning of the call whether the guest runs.
#[test]
fn a_guest_that_somebody_stops_meanwhile_runs_when_it_has_arrived() {
    let pause = run(1_000, &fault("at = \"copying\"", "pause-source-guest"));
    assert_eq!(pause.outcome.guest, GuestLocation::DestinationRunning);
}

/// At every step after the guest has begun to run on the destination, by an I/O error, another client's pause, or its
/// death.
#[test]
fn a_guest_that_stops_right_after_it_arrived_is_not_completed() {
    let mut met = std::collections::BTreeSet::new();
    for at in ["started", "confirming"] {
        for (what, place) in [
            ("fail-destination-disk", GuestLocation::DestinationPaused),
            ("pause-destination-guest", GuestLocation::DestinationPaused),
            ("kill-destination-guest", GuestLocation::Nowhere),
        ] {
            let Run { outcome, .. } = run(300, &fault(&format!("at = \"{at}\""), what));
            assert_eq!((outcome.ending, outcome.guest), (Ending::ArrivedStopped, place), "{what} at {at}");
            assert_eq!(outcome.cause, Some(Cause::GuestStopped), "{what} at {at}");
            met.insert(outcome.advice.to_string());
        }
    }
    assert_eq!(met.len(), 2, "one that is paused is resumed, one that is gone is looked for");
}

#[test]
fn a_guest_that_is_stopped_for_a_moment_when_it_arrives_is_completed() {
    let faults = fault("at = \"started\"", "pause-destination-guest")
        + &fault("at = \"started\"\nafter_ms = 300", "unpause-destination-guest");
    let Run { outcome, .. } = run(300, &faults);
    assert_eq!((outcome.ending, outcome.guest), (Ending::Completed, GuestLocation::DestinationRunning));
}

#[test]
fn memory_and_room_can_be_taken() {
    let full = run(0, &fault("at_ms = 0", "take-destination-memory\"\nmib = 1000000 #"));
    assert_eq!(full.outcome.ending, Ending::Failed);
    let disk = "[[guest.disk]]\ntarget = \"vda\"\nused_mib = 500\nshared = false\n";
    let text = |more: &str| format!("[migration]\ncopy_disks = \"background\"\n{more}");
    let with_disk = |more: &str| {
        let text = format!(
            "name = \"test\"\n[guest]\nname = \"wren\"\nmemory_mib = 128\nworking_set_mib = 32\nwrites_per_second = 1\n\
             {disk}[link]\nbandwidth_mib_per_second = 100\n{}[expect]\nresult = \"completed\"\nguest_on = \"destination\"\n",
            text(more)
        );
        let scenario = Scenario::parse(&text, "test.toml").unwrap_or_else(|error| panic!("{error}"));
        let mut simulation =
            Simulation::new(&scenario, scenario.conditions(), |_| Verdict::default()).unwrap();
        simulation.run(|| None, |_, _, _| {}).unwrap();
        simulation.migration().view().outcome.unwrap().ending
    };
    assert_eq!(with_disk(""), Ending::Completed);
    let no_room = fault("at = \"preparing\"", "leave-destination-room\"\nmib = 100 #");
    assert_eq!(with_disk(&no_room), Ending::Failed);
}

#[test]
fn words_name_their_action() {
    let text = |word: &str| {
        format!(
            "name = \"test\"\n[guest]\nname = \"wren\"\nmemory_mib = 128\nworking_set_mib = 32\nwrites_per_second = 1\n\
             [link]\nbandwidth_mib_per_second = 100\n[[fault]]\nat_iteration = 2\n{word}\n\
             [expect]\nresult = \"completed\"\nguest_on = \"destination\"\n"
        )
    };
    let read = |lines: &str| Scenario::parse(&text(lines), "test.toml").unwrap().faults[0];
    let gone = read("do = \"restart-driver\"\ngone_ms = 7");
    assert_eq!(
        (gone.trigger, gone.action),
        (Trigger::AtIteration(2), FaultAction::RestartDriver { gone_ms: 7 })
    );
    for word in ["lose-source-host", "speak-destination", "unpause-destination-guest", "drop-source-clients"]
    {
        assert_eq!(read(&format!("do = \"{word}\"")).action.word(), word);
    }
}
