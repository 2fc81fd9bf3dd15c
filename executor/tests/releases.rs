//! Journals that earlier releases wrote, in every phase and with every outcome: this build reads all of them. What the
//! folders of `fixtures` hold, and how it was made, stands in their README files.

#![cfg(test)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use whimbrel_core::journal::{self, Left, Record};

const PROGRAM: &str = env!("CARGO_BIN_EXE_whimbrel");
const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures");

/// A journal with what the release that wrote it made of it.
struct Journal {
    path: PathBuf,
    expected: Value,
}

impl Journal {
    fn text(&self) -> String {
        fs::read_to_string(&self.path).unwrap()
    }

    fn name(&self) -> String {
        self.path.strip_prefix(FIXTURES).unwrap().display().to_string()
    }

    /// Whether `migrate` wrote it: then its header has what a driver needs to go on.
    fn is_migrated(&self) -> bool {
        self.path.parent().unwrap().ends_with("migrated")
    }

    fn is_ended(&self) -> bool {
        self.expected["phase"] == "done"
    }
}

/// The journals of every release.
fn journals() -> Vec<Journal> {
    let mut journals = Vec::new();
    for release in fs::read_dir(FIXTURES).unwrap() {
        let release = release.unwrap().path();
        let expected: Value =
            serde_json::from_str(&fs::read_to_string(release.join("expected.json")).unwrap()).unwrap();
        for (name, expected) in expected["journals"].as_object().unwrap() {
            journals.push(Journal { path: release.join(name), expected: expected.clone() });
        }
    }
    journals
}

fn whimbrel(arguments: &[&str]) -> Output {
    Command::new(PROGRAM).args(arguments).output().unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn every_phase_and_every_place_of_a_guest_is_there() {
    let journals = journals();
    let has = |key: &str, value: &str| journals.iter().any(|journal| journal.expected[key] == value);
    for phase in [
        "validating",
        "preparing",
        "precopy",
        "postcopy",
        "switching_over",
        "completing",
        "rolling_back",
        "resolving",
        "recovering",
        "done",
    ] {
        assert!(has("phase", phase), "{phase}");
    }
    for ending in ["completed", "cancelled", "failed", "in_doubt"] {
        assert!(has("ending", ending), "{ending}");
    }
    for place in whimbrel_core::GuestLocation::ALL {
        let name = serde_json::to_value(place).unwrap();
        assert!(has("guest", name.as_str().unwrap()), "{name}");
    }
}

/// Whatever becomes of the machine's states, the words of a journal stay readable.
#[test]
fn every_line_is_read() {
    for journal in journals() {
        let text = journal.text();
        let header = journal::header(&text).unwrap_or_else(|error| panic!("{}: {error}", journal.name()));
        assert_eq!(header.context.is_some(), journal.is_migrated(), "{}", journal.name());
        let whole = &text[..=text.rfind('\n').unwrap()];
        let records: Vec<Record> = whole
            .lines()
            .skip(1)
            .map(|line| {
                serde_json::from_str(line).unwrap_or_else(|error| panic!("{}: {error}", journal.name()))
            })
            .collect();
        assert_eq!(Some(records.len() as u64), journal.expected["inputs"].as_u64(), "{}", journal.name());
    }
}

/// The states of another release differ, so its journals do not replay: what is in them is read.
#[test]
fn every_journal_is_read_as_far_as_a_driver_needs_it() {
    for journal in journals() {
        let (name, expected) = (journal.name(), &journal.expected);
        let begun = !matches!(expected["phase"].as_str(), Some("validating" | "preparing"));
        let left = journal::resume(&journal.text(), |_, _, _| ());
        let takeover = match left.unwrap_or_else(|error| panic!("{name}: {error}")) {
            Left::Read { takeover, .. } => takeover,
            // Its states are the same in this release.
            Left::Replayed(replayed) => {
                let view = replayed.migration.view();
                let outcome = serde_json::to_value(view.outcome).unwrap();
                assert_eq!(serde_json::to_value(view.phase).unwrap(), expected["phase"], "{name}");
                assert_eq!(outcome["guest"], expected["guest"], "{name}");
                continue;
            }
        };
        let outcome = serde_json::to_value(&takeover.snapshot.outcome).unwrap();
        if journal.is_ended() {
            assert_eq!(
                (&outcome["ending"], &outcome["guest"]),
                (&expected["ending"], &expected["guest"]),
                "{name}"
            );
        } else {
            assert_eq!(outcome, Value::Null, "{name}");
            assert_eq!(takeover.snapshot.call_made, begun, "{name}");
            assert_eq!(takeover.facts.is_some(), begun || expected["phase"] == "preparing", "{name}");
        }
        let shown = whimbrel(&["replay", journal.path.to_str().unwrap()]);
        assert_eq!(shown.status.code(), Some(2), "{name}: {}", err(&shown));
        assert!(err(&shown).contains("another release"), "{name}: {}", err(&shown));
    }
}

#[test]
fn every_journal_of_migrate_is_adopted() {
    let folder = std::env::temp_dir().join(format!("whimbrel-releases-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    for journal in journals().iter().filter(|journal| journal.is_migrated()) {
        let name = journal.name();
        let copy = folder.join("journal.jsonl");
        fs::copy(&journal.path, &copy).unwrap();
        let scenario = release_of(&journal.path).join("scenarios/plain.toml");
        let copy_name = copy.to_str().unwrap();
        // A world in which the migration has not begun: what the machine finds there is not the journal's.
        let adopted = whimbrel(&["adopt", copy_name, "--sim-scenario", scenario.to_str().unwrap()]);
        // Where the guest is, whatever the answer; 2 is a journal that cannot be used.
        assert!(matches!(adopted.status.code(), Some(0 | 3 | 4 | 5)), "{name}: {}", err(&adopted));
        assert_eq!(
            err(&adopted).contains("has already ended"),
            journal.is_ended(),
            "{name}: {}",
            err(&adopted)
        );
        if !journal.is_ended() {
            let text = fs::read_to_string(&copy).unwrap();
            let replayed =
                journal::replay(&text, |_, _, _| ()).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert!(replayed.migration.view().outcome.is_some(), "{name}");
        }
    }
    fs::remove_dir_all(&folder).unwrap();
}

fn release_of(journal: &Path) -> &Path {
    journal.parent().unwrap().parent().unwrap()
}
