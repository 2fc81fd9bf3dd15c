//! The fault scenarios: every one ends in the simulator as its file says. The lab's tests run the same files on two
//! real libvirt hosts and compare the courses.

#![cfg(test)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use whimbrel_core::Verdict;
use whimbrel_sim::oracle::{Actor, check};
use whimbrel_sim::scenario::{Conditions, end_of};
use whimbrel_sim::{Scenario, Simulation};

/// Seeds that a race is run with.
const RACES: u64 = 200;

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Every fault scenario, by name.
fn scenarios() -> Vec<Scenario> {
    let files = fs::read_dir(here("scenarios/faults")).unwrap().map(|entry| entry.unwrap().path());
    let mut all: Vec<Scenario> = files.map(|path| read(&path)).collect();
    all.sort_by(|one, other| one.name.cmp(&other.name));
    all
}

fn read(path: &Path) -> Scenario {
    let name = path.file_stem().unwrap().to_str().unwrap();
    let text = fs::read_to_string(path).unwrap();
    let scenario = Scenario::parse(&text, name).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(scenario.name, name, "a file is called as its scenario");
    scenario
}

fn simulated(scenario: &Scenario, seed: u64) -> Simulation {
    let conditions = Conditions { seed, ..scenario.conditions() };
    let mut simulation = Simulation::new(scenario, conditions, |_| Verdict::default()).unwrap();
    simulation.run(|| None, |_, _, _| {}).unwrap();
    simulation
}

#[test]
fn every_fault_scenario_ends_as_its_file_says() {
    let mut wrong = Vec::new();
    let all = scenarios();
    assert!(all.len() >= 20, "{}", all.len());
    for scenario in &all {
        assert!(
            scenario.expect.incidents.is_some(),
            "{}: what really happens is expected too",
            scenario.name
        );
        let simulation = simulated(scenario, scenario.seed);
        let found = scenario.differences(simulation.migration().view(), Some(&simulation.incidents()));
        let world = simulation.world();
        let violations = world.guests().flat_map(|guest| check(world.history(guest)));
        let ours = violations.filter(|violation| violation.by == Actor::Migration);
        wrong.extend(ours.map(|violation| format!("{}: {violation}", scenario.name)));
        wrong.extend(found.into_iter().map(|difference| format!("{}: {difference}", scenario.name)));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A race may end in more than one way: in all that are allowed, and in no other. It may also take different courses to
/// the same end.
#[test]
fn every_race_ends_in_each_of_its_ways() {
    let races = |scenario: &&Scenario| scenario.faults.iter().any(|fault| fault.within_ms > 0);
    for scenario in scenarios().iter().filter(races) {
        let expect = &scenario.expect;
        let allowed: BTreeSet<String> = expect
            .or
            .iter()
            .chain([&(expect.result, expect.guest_on)])
            .map(|end| format!("{end:?}"))
            .collect();
        let ends: BTreeSet<String> = (0..RACES)
            .map(|seed| {
                let simulation = simulated(scenario, seed);
                assert!(simulation.incidents().is_empty(), "{} with seed {seed}", scenario.name);
                format!("{:?}", end_of(simulation.migration().view().outcome.unwrap()))
            })
            .collect();
        assert_eq!(ends, allowed, "{}", scenario.name);
    }
}

/// The table in the documentation is written from the files.
#[test]
fn the_table_of_fault_scenarios_is_fresh() {
    let mut table =
        String::from("| scenario | what fails, and when | ends | the guest is |\n|---|---|---|---|\n");
    for Scenario { name, description, expect, .. } in scenarios() {
        let mut ends = vec![expect.result.word()];
        let mut places = vec![expect.guest_on.word()];
        for (result, place) in &expect.or {
            ends.push(result.word());
            places.push(place.word());
        }
        let row = format!("| `{name}` | {description} | {} | {} |\n", ends.join(" or "), places.join(" or "));
        table.push_str(&row);
    }
    let path = here("../docs/safety.md");
    let page = fs::read_to_string(&path).unwrap();
    let (begin, end) = ("<!-- fault scenarios -->\n", "<!-- end of fault scenarios -->\n");
    let (before, rest) = page.split_once(begin).expect("the page has a place for the table");
    let (_, after) = rest.split_once(end).expect("the place has an end");
    let fresh = format!("{before}{begin}{table}{end}{after}");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, fresh).unwrap();
    } else {
        assert!(page == fresh, "run it with UPDATE_DOCS=1 to rewrite the table:\n{table}");
    }
}
