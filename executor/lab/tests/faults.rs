//! The fault scenarios on two real libvirt hosts: each takes the course that it takes in the simulator, and the guest is
//! where its file says, by the guest's own witness.
//!
//! A group of files shares a lab. Every difference is reported at the end, so that one run shows all of them. With
//! `WHIMBREL_FAULTS` set, only scenarios whose names contain it are run.

#![cfg(test)]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use whimbrel_core::{Event, Verdict};
use whimbrel_lab::scenario::{self, ScenarioRun, Show};
use whimbrel_lab::testing::{LONG, program};
use whimbrel_lab::{Host, Lab, LabError, LabOptions};
use whimbrel_sim::scenario::{Conditions, GuestPlace, end_of, timeline};
use whimbrel_sim::{Scenario, Simulation};

/// How often a race is run here, and with how many seeds simulated.
const RACES: u64 = 5;
const SIMULATED_RACES: u64 = 300;

/// The scenarios whose names begin so.
fn scenarios(prefix: &str) -> Vec<Scenario> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../sim/scenarios/faults");
    let mut all: Vec<Scenario> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| Scenario::parse(&fs::read_to_string(&path).unwrap(), &path.to_string_lossy()).unwrap())
        .filter(|scenario| scenario.name.starts_with(prefix))
        .collect();
    all.sort_by(|one, other| one.name.cmp(&other.name));
    assert!(!all.is_empty(), "no scenario begins with `{prefix}`");
    let wanted = std::env::var("WHIMBREL_FAULTS").unwrap_or_default();
    all.retain(|scenario| scenario.name.contains(&wanted));
    all
}

/// The course that a scenario takes in the simulator.
fn simulated(scenario: &Scenario, seed: u64) -> Vec<String> {
    let conditions = Conditions { seed, ..scenario.conditions() };
    let mut simulation = Simulation::new(scenario, conditions, |_| Verdict::default()).unwrap();
    let mut events: Vec<Event> = Vec::new();
    simulation.run(|| None, |_, event, _| events.push(event.clone())).unwrap();
    timeline(&events)
}

/// What is wrong with a run, with the reports of both hosts.
fn judge(lab: &Lab, scenario: &Scenario, allowed: &BTreeSet<Vec<String>>) -> String {
    let mut wrong = compare(lab, scenario, allowed);
    if !wrong.is_empty() {
        // A race that happens once in many runs has to be understood from one.
        for host in [lab.alpha(), lab.beta()] {
            let guest = &scenario.guest.name;
            for query in [
                ["domstate", guest, "--reason"].as_slice(),
                &["domjobinfo", guest],
                &["domjobinfo", guest, "--completed"],
                &["qemu-monitor-command", guest, "{\"execute\":\"query-migrate\"}"],
            ] {
                let _ =
                    writeln!(wrong, "{}: virsh {}: {:?}", host.name(), query.join(" "), host.virsh(query));
            }
        }
    }
    wrong
}

/// What differs from the simulator and from the file.
fn compare(lab: &Lab, scenario: &Scenario, allowed: &BTreeSet<Vec<String>>) -> String {
    let mut wrong = String::new();
    let run = match scenario::run(lab, scenario, &program(), Show::Quiet) {
        Ok(run) => run,
        Err(error) => return error.to_string(),
    };
    let real = timeline(run.events.iter().map(|(_, event)| event));
    if !allowed.contains(&real) {
        let _ = writeln!(wrong, "real: {real:#?}\nsimulated: {allowed:#?}\n{}", run.output);
    }
    lab.clear_faults().unwrap();
    let Some(outcome) = &run.outcome else { return wrong + "there is no outcome" };
    let end = end_of(outcome);
    let expect = &scenario.expect;
    if end != (expect.result, expect.guest_on) && !expect.or.contains(&end) {
        let _ = writeln!(wrong, "the file expects another end than {end:?}");
    }
    // A daemon may still be at it.
    let begun = Instant::now();
    let mut found = whereabouts(lab, &run, end.1);
    while found.is_err() && begun.elapsed() < LONG {
        std::thread::sleep(Duration::from_millis(200));
        found = whereabouts(lab, &run, end.1);
    }
    if let Err(why) = found.and_then(|()| witness(&run, end.1)) {
        let _ = writeln!(wrong, "{why}");
    }
    wrong
}

/// Whether the guest is where it is said to be, once everything that failed is there again.
fn whereabouts(lab: &Lab, run: &ScenarioRun, place: GuestPlace) -> Result<(), String> {
    let state = |host: &Host| host.domain_state(run.guest.name()).map_err(|error| error.to_string());
    let (source, destination) = (state(lab.alpha())?, state(lab.beta())?);
    let runs = |state: &Option<String>| state.as_ref().is_some_and(|state| state.starts_with("running"));
    let is_there =
        |state: &Option<String>| state.as_ref().is_some_and(|state| !state.starts_with("shut off"));
    let fits = match place {
        // What could not be found out then can be now: one copy, on one side.
        GuestPlace::Source => runs(&source) && destination.is_none(),
        GuestPlace::Destination => runs(&destination) && source.is_none(),
        GuestPlace::Nowhere => !is_there(&source) && !is_there(&destination),
        GuestPlace::Unknown => runs(&source) != runs(&destination),
        GuestPlace::Halves => is_there(&source) && is_there(&destination),
        GuestPlace::Lost => is_there(&source) != is_there(&destination),
        GuestPlace::Both => runs(&source) && runs(&destination),
    };
    if !fits {
        return Err(format!("said to be {place:?}, and alpha has {source:?}, beta {destination:?}"));
    }
    Ok(())
}

/// Whether the guest that goes on lost no write and ran once.
fn witness(run: &ScenarioRun, place: GuestPlace) -> Result<(), String> {
    if matches!(place, GuestPlace::Source | GuestPlace::Destination) {
        let now = run.guest.snapshot();
        let later = run.guest.wait_for_scan_after(&now, LONG).map_err(|error: LabError| error.to_string())?;
        if later.bad != 0 || later.two_copies_ran() {
            return Err(format!("the witness: {later:?}"));
        }
    }
    Ok(())
}

/// Runs every scenario of a group in one lab.
fn run_group(prefix: &str) {
    let lab = Lab::build(&LabOptions::default()).unwrap();
    let mut all_wrong = String::new();
    for scenario in scenarios(prefix) {
        let races = !scenario.expect.or.is_empty() || scenario.faults.iter().any(|fault| fault.within_ms > 0);
        let allowed = if races {
            (0..SIMULATED_RACES).map(|seed| simulated(&scenario, seed)).collect()
        } else {
            BTreeSet::from([simulated(&scenario, scenario.seed)])
        };
        for seed in 0..if races { RACES } else { 1 } {
            let begun = Instant::now();
            let scenario = Scenario { seed: if races { seed } else { scenario.seed }, ..scenario.clone() };
            let wrong = judge(&lab, &scenario, &allowed);
            println!("{}: {} s", scenario.name, begun.elapsed().as_secs());
            if !wrong.is_empty() {
                let _ = writeln!(all_wrong, "== {}\n{wrong}", scenario.name);
            }
            lab.remove_guest(&scenario.guest.name).unwrap();
        }
    }
    lab.remove().unwrap();
    assert!(all_wrong.is_empty(), "\n{all_wrong}");
}

#[test]
#[ignore = "needs root and libvirt; run with cargo xtask test"]
fn faults_while_the_destination_prepares_are_as_simulated() {
    run_group("preparing-");
}

#[test]
#[ignore = "needs root and libvirt; run with cargo xtask test"]
fn faults_in_precopy_are_as_simulated() {
    run_group("precopy-");
}

#[test]
#[ignore = "needs root and libvirt; run with cargo xtask test"]
fn faults_in_the_switchover_are_as_simulated() {
    run_group("switchover-");
}

#[test]
#[ignore = "needs root and libvirt; run with cargo xtask test"]
fn faults_in_postcopy_are_as_simulated() {
    run_group("postcopy-");
}

#[test]
#[ignore = "needs root and libvirt; run with cargo xtask test"]
fn a_cancel_that_races_with_the_end_is_as_simulated() {
    run_group("cancel-");
}
