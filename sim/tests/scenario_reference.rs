//! The reference of scenario files: every example in it is a scenario that ends as it says.

#![cfg(test)]

use whimbrel_core::Verdict;
use whimbrel_sim::{Scenario, Simulation};

const REFERENCE: &str = include_str!("../../docs/scenarios.md");
/// The sections of the format; a new one needs its example.
const SECTIONS: [&str; 14] = [
    "[guest]",
    "[[guest.phase]]",
    "[[guest.writer]]",
    "[[guest.writer.phase]]",
    "[[guest.disk]]",
    "[link]",
    "[[link.change]]",
    "[migration]",
    "[source]",
    "[destination]",
    "[daemons]",
    "[costs]",
    "[[fault]]",
    "[expect]",
];

fn examples() -> Vec<&'static str> {
    REFERENCE.split("```toml\n").skip(1).filter_map(|rest| rest.split("\n```").next()).collect()
}

#[test]
fn every_section_has_an_example() {
    for section in SECTIONS {
        let is_shown = |example: &&str| example.lines().any(|line| line.starts_with(section));
        assert!(examples().iter().any(is_shown), "{section}");
    }
}

#[test]
fn every_example_ends_as_it_says() {
    assert_eq!(examples().len(), 12);
    let mut wrong = Vec::new();
    for text in examples() {
        let scenario = Scenario::parse(text, "docs/scenarios.md").unwrap_or_else(|error| panic!("{error}"));
        let mut simulation =
            Simulation::new(&scenario, scenario.conditions(), |_| Verdict::default()).unwrap();
        simulation.run(|| None, |_, _, _| {}).unwrap();
        let view = simulation.migration().view();
        let differences = scenario.differences(view, Some(&simulation.incidents()));
        if !differences.is_empty() {
            wrong.push(format!("{}: {differences:?} {:?}", scenario.name, view.outcome));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
