//! Whimbrel on two real libvirt hosts: guests that move, and guests that cannot. What faults make of them is in `faults.rs`.
//!
//! Each test checks from inside the guest, by its witness, that no write was lost and that one copy ran.

#![cfg(test)]

use std::fs;
use std::io::Read as _;
use std::path::PathBuf;
use std::process::Stdio;

use whimbrel_core::{Cause, Ending, Event, Fault, GuestLocation, Outcome, PhaseName, Recovery, Verdict};
use whimbrel_lab::scenario::{self, Order, ScenarioRun, Show};
use whimbrel_lab::testing::{LONG, program, signal, wait_for};
use whimbrel_lab::{Host, Lab, LabOptions};
use whimbrel_sim::scenario::timeline;
use whimbrel_sim::{Scenario, Simulation};

fn lab() -> Lab {
    Lab::build(&LabOptions::default()).unwrap()
}

/// A guest of 256 MiB that writes at this rate to 64 MiB of it, over a link limited to 32 MiB/s, in a scenario file's words.
fn scenario(writes_per_second: u64, faults: &str) -> Scenario {
    let text = format!(
        "name = \"lab\"\n\
         [guest]\nname = \"wren\"\nmemory_mib = 256\nworking_set_mib = 64\nwrites_per_second = {writes_per_second}\n\
         [link]\nbandwidth_mib_per_second = 1000\n\
         [migration]\nbandwidth_limit_mib_per_second = 32\ndowntime_limit_ms = 200\n\
         {faults}\n\
         [expect]\nresult = \"completed\"\nguest_on = \"destination\"\n"
    );
    Scenario::parse(&text, "lab.toml").unwrap_or_else(|error| panic!("{error}"))
}

fn fault(trigger: &str, what: &str) -> String {
    format!("[[fault]]\n{trigger}\ndo = \"{what}\"\n")
}

fn run(lab: &Lab, scenario: &Scenario) -> ScenarioRun {
    scenario::run(lab, scenario, &program(), Show::Quiet).unwrap()
}

fn outcome(run: &ScenarioRun) -> &Outcome {
    run.outcome.as_ref().unwrap_or_else(|| panic!("no outcome:\n{}", run.output))
}

/// The guest runs on this host and nowhere else, none of its writes was lost, and its history happened once.
fn assert_sound(lab: &Lab, run: &ScenarioRun, on: &Host) {
    let now = run.guest.snapshot();
    let later = run.guest.wait_for_scan_after(&now, LONG).unwrap();
    assert_eq!(later.bad, 0, "a write was lost: {later:?}\n{}", run.output);
    assert!(!later.two_copies_ran(), "two copies ran: {later:?}\n{}", run.output);
    assert!(later.writes >= now.writes && later.seq > now.seq, "the guest does not run: {later:?}");
    for host in [lab.alpha(), lab.beta()] {
        let state = host.domain_state(run.guest.name()).unwrap();
        if host.name() == on.name() {
            assert!(
                state.as_ref().is_some_and(|state| state.starts_with("running")),
                "{}: {state:?}",
                host.name()
            );
        } else {
            assert_eq!(state, None, "something is left on {}\n{}", host.name(), run.output);
        }
    }
}

fn phases(events: &[Event]) -> Vec<PhaseName> {
    events
        .iter()
        .filter_map(|event| if let Event::Phase(name) = event { Some(*name) } else { None })
        .collect()
}

fn simulated(scenario: &Scenario) -> Vec<String> {
    let mut simulation = Simulation::new(scenario, scenario.conditions(), |_| Verdict::default()).unwrap();
    let mut events = Vec::new();
    simulation.run(|| None, |_, event, _| events.push(event.clone())).unwrap();
    timeline(&events)
}

/// The same scenario on both: the same course.
fn assert_as_simulated(scenario: &Scenario, run: &ScenarioRun) {
    let real = timeline(run.events.iter().map(|(_, event)| event));
    assert_eq!(real, simulated(scenario), "real on the left, simulated on the right\n{}", run.output);
}

#[test]
#[ignore = "needs root and libvirt; run with cargo xtask test"]
fn an_idle_guest_moves() {
    let lab = lab();
    let idle = scenario(0, "");
    let run = run(&lab, &idle);
    assert_eq!(run.exit_code, Some(0), "{}", run.output);
    assert_eq!(outcome(&run).guest, GuestLocation::DestinationRunning);
    assert!(outcome(&run).hypervisor_downtime_ms.is_some(), "libvirt reports its downtime");
    assert!(outcome(&run).downtime_ms.is_some_and(|ms| ms > 0), "the stop and the start were observed");
    assert_sound(&lab, &run, lab.beta());
    assert_as_simulated(&idle, &run);
    lab.remove().unwrap();
}

#[test]
#[ignore = "needs root and libvirt; run with cargo xtask test"]
fn a_guest_that_dirties_memory_moves_and_its_regressions_are_seen() {
    let lab = lab();
    let busy = scenario(3000, "");
    let run = run(&lab, &busy);
    assert_eq!(outcome(&run).ending, Ending::Completed, "{}", run.output);
    let rises = run
        .events
        .iter()
        .filter(|(_, event)| matches!(event, Event::Sync(seen) if seen.sync.dirtied_bytes > 0));
    assert!(rises.count() >= 2, "{}", run.output);
    assert_sound(&lab, &run, lab.beta());
    assert_as_simulated(&busy, &run);
    lab.remove().unwrap();
}

#[test]
#[ignore = "needs root and libvirt; run with cargo xtask test"]
fn a_guest_that_cannot_converge_is_cancelled_and_goes_on_where_it_was() {
    let lab = lab();
    let hopeless = scenario(60_000, &fault("at_iteration = 3", "cancel"));
    let run = run(&lab, &hopeless);
    assert_eq!(run.exit_code, Some(4), "{}", run.output);
    assert_eq!(
        (outcome(&run).ending, outcome(&run).guest),
        (Ending::Cancelled, GuestLocation::SourceRunning)
    );
    assert_eq!(
        outcome(&run).recovered,
        [Recovery::DowntimeLimitRestored, Recovery::BandwidthLimitRestored],
        "what was set is put back"
    );
    assert_sound(&lab, &run, lab.alpha());
    assert_as_simulated(&hopeless, &run);
    let speed = lab.alpha().virsh(&["migrate-getspeed", "wren"]).unwrap();
    assert_ne!(speed.trim(), "32");
    let downtime = lab.alpha().virsh(&["migrate-getmaxdowntime", "wren"]).unwrap();
    assert_eq!(downtime.trim(), "300");
    lab.remove().unwrap();
}

#[test]
#[ignore = "needs root and libvirt; run with cargo xtask test"]
fn a_guest_that_cannot_converge_arrives_when_the_timeout_stops_it_or_moves_it_first() {
    let lab = lab();
    for at_timeout in ["pause", "postcopy"] {
        let ways = format!("timeout_ms = 6000\nat_timeout = \"{at_timeout}\"\npostcopy = true\n");
        let hopeless = scenario(60_000, &ways);
        let run = run(&lab, &hopeless);
        assert_eq!(outcome(&run).ending, Ending::Completed, "{at_timeout}: {}", run.output);
        assert_sound(&lab, &run, lab.beta());
        assert_as_simulated(&hopeless, &run);
        lab.beta().virsh(&["destroy", "wren"]).unwrap();
        lab.beta().virsh(&["undefine", "wren"]).unwrap();
    }
    lab.remove().unwrap();
}

/// What is tried, with which arguments; the cause, the fault, and words that must be said.
type Case<'a> = (&'a str, &'a [&'a str], Cause, Option<Fault>, &'a str);

/// Attempts that cannot work, one lab for all: each leaves the guest untouched and says why.
#[test]
#[ignore = "needs root and libvirt; run with cargo xtask test"]
fn attempts_that_cannot_work_leave_the_guest_untouched() {
    let lab = Lab::build(&LabOptions {
        names_resolve: false,
        migration_ports: 49152..=49153,
        ..LabOptions::default()
    })
    .unwrap();
    let plain = scenario(500, "");
    let guest = lab.start_guest(&scenario::guest_spec(&plain).unwrap()).unwrap();

    let cases: [Case<'_>; 5] = [
        (
            "unknown guest",
            &["migrate", "no-such-guest", "BETA"],
            Cause::FactsMissing,
            Some(Fault::GuestNotFound),
            "`wren`",
        ),
        ("same host", &["migrate", "wren", "ALPHA"], Cause::RulesRefused, None, "destination.is-source"),
        (
            "refused connection",
            &["migrate", "wren", "qemu+tcp://10.77.0.12:1/system"],
            Cause::FactsMissing,
            Some(Fault::DestinationUnreachable),
            "refused",
        ),
        (
            "unknown destination",
            &["migrate", "wren", "qemu+tcp://no-such-host.invalid/system"],
            Cause::FactsMissing,
            Some(Fault::AddressNotResolved),
            "no-such-host",
        ),
        (
            "name of the destination does not resolve on the source",
            &["migrate", "wren", "BETA"],
            Cause::CopyFailed,
            Some(Fault::AddressNotResolved),
            "beta",
        ),
    ];
    for (what, arguments, cause, fault, words) in cases {
        let attempt = attempt(&lab, arguments);
        assert_eq!(attempt.exit_code, Some(3), "{what}:\n{}", attempt.output);
        let outcome = attempt.outcome.as_ref().unwrap();
        assert_eq!(outcome.cause, Some(cause), "{what}:\n{}", attempt.output);
        assert_eq!(
            outcome.failure.as_ref().map(|failure| failure.fault),
            fault,
            "{what}:\n{}",
            attempt.output
        );
        assert!(attempt.output.contains(words), "{what}:\n{}", attempt.output);
    }
    let now = guest.snapshot();
    assert_eq!(guest.wait_for_scan_after(&now, LONG).unwrap().bad, 0, "the guest never noticed");
    lab.remove().unwrap();
}

#[test]
#[ignore = "needs root and libvirt; run with cargo xtask test"]
fn what_the_destination_lacks_is_said_and_the_guest_goes_on() {
    let lab = Lab::build(&LabOptions { migration_ports: 49152..=49153, ..LabOptions::default() }).unwrap();
    let plain = scenario(500, "");
    let guest = lab.start_guest(&scenario::guest_spec(&plain).unwrap()).unwrap();

    // Both migration ports are taken.
    let taken = [49152, 49153].map(|port| lab.beta().occupy_port(port).unwrap());
    let order = Order { program: &program(), scenario: &plain, arguments: &[], show: Show::Quiet };
    let run = scenario::migrate(&lab, guest, &order).unwrap();
    assert_eq!(
        outcome(&run).failure.as_ref().map(|failure| failure.fault),
        Some(Fault::PortUnavailable),
        "{}",
        run.output
    );
    drop(taken);
    assert_sound(&lab, &run, lab.alpha());

    // A guest of the same name over there is found before anything is begun.
    let guest = run.guest;
    let double = lab.start_guest_on(lab.beta(), &scenario::guest_spec(&plain).unwrap()).unwrap();
    let attempt_there = attempt(&lab, &["migrate", "wren", "BETA"]);
    assert!(attempt_there.output.contains("destination.has-guest"), "{}", attempt_there.output);
    lab.beta().virsh(&["destroy", "wren"]).unwrap();
    lab.beta().virsh(&["undefine", "wren"]).unwrap();
    drop(double);

    // A guest that is switched off cannot be migrated live.
    lab.alpha().virsh(&["destroy", guest.name()]).unwrap();
    let attempt_off = attempt(&lab, &["migrate", "wren", "BETA"]);
    assert!(attempt_off.output.contains("guest.not-running"), "{}", attempt_off.output);
    assert_eq!(attempt_off.exit_code, Some(3));
    lab.remove().unwrap();
}

struct Attempt {
    exit_code: Option<i32>,
    outcome: Option<Outcome>,
    output: String,
}

/// Runs the program with its own arguments; `ALPHA` and `BETA` stand for the hosts.
fn attempt(lab: &Lab, arguments: &[&str]) -> Attempt {
    let journal = tempfile(lab);
    let name = program();
    let mut command = lab.operator_command(&name.to_string_lossy());
    for argument in arguments {
        match *argument {
            "ALPHA" => command.arg(lab.alpha().uri()),
            "BETA" => command.arg(lab.beta().uri()),
            other => command.arg(other),
        };
    }
    command.args(["--source", &lab.alpha().uri()]).arg("--journal").arg(&journal);
    let output = command.output().unwrap();
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    let replayed =
        whimbrel_core::journal::replay(&fs::read_to_string(&journal).unwrap(), |_, _, _| {}).unwrap();
    Attempt {
        exit_code: output.status.code(),
        outcome: replayed.migration.view().outcome.cloned(),
        output: text,
    }
}

fn tempfile(lab: &Lab) -> PathBuf {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    lab.folder().join(format!("attempt-{}.journal", NUMBER.fetch_add(1, Ordering::Relaxed)))
}

#[test]
#[ignore = "needs root and libvirt; run with cargo xtask test"]
fn an_operator_who_leaves_is_told_how_to_look_after_the_guest() {
    let lab = lab();
    let plain = scenario(0, "");
    let guest = lab.start_guest(&scenario::guest_spec(&plain).unwrap()).unwrap();
    let journal = tempfile(&lab);
    let name = program();
    let mut command = lab.operator_command(&name.to_string_lossy());
    command.args(["migrate", "wren", &lab.beta().uri(), "--source", &lab.alpha().uri(), "--bandwidth", "16"]);
    command.arg("--journal").arg(&journal).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    wait_for("the copy is under way", || {
        fs::read_to_string(&journal).is_ok_and(|text| text.contains("\"iteration\":1,"))
    });

    // A daemon that is stopped cannot answer the first Ctrl-C, so the operator has a reason for the second.
    let daemon = lab.alpha().daemon_pid().unwrap();
    signal("STOP", daemon);
    signal("INT", child.id());
    wait_for("the cancel is on record", || {
        fs::read_to_string(&journal).is_ok_and(|text| text.contains("\"operator\":\"cancel\""))
    });
    signal("INT", child.id());
    let status = child.wait().unwrap();
    signal("CONT", daemon);

    let mut told = String::new();
    child.stderr.take().unwrap().read_to_string(&mut told).unwrap();
    assert_eq!(status.code(), Some(6), "{told}");
    assert!(told.contains("domjobabort wren"), "{told}");
    let now = guest.snapshot();
    let later = guest.wait_for_scan_after(&now, LONG).unwrap();
    assert!(later.bad == 0 && !later.two_copies_ran(), "{later:?}");
    lab.remove().unwrap();
}

#[test]
#[ignore = "needs root and libvirt; run with cargo xtask test"]
fn the_built_in_scenarios_run_here_as_they_do_simulated() {
    let lab = lab();
    for name in ["converges", "never-converges"] {
        let scenario = Scenario::built_in(name).unwrap().unwrap();
        let run = run(&lab, &scenario);
        assert_as_simulated(&scenario, &run);
        let place = if name == "converges" { lab.beta() } else { lab.alpha() };
        assert_sound(&lab, &run, place);
    }
    lab.remove().unwrap();
}

#[test]
#[ignore = "needs root and libvirt; run with cargo xtask test"]
fn the_phases_of_a_real_migration_come_in_order() {
    let lab = lab();
    let run = run(&lab, &scenario(500, ""));
    let events: Vec<_> = run.events.iter().map(|(_, event)| event.clone()).collect();
    assert_eq!(
        phases(&events),
        [
            PhaseName::Validating,
            PhaseName::Preparing,
            PhaseName::Precopy,
            PhaseName::SwitchingOver,
            PhaseName::Completing,
            PhaseName::Done
        ]
    );
    lab.remove().unwrap();
}
