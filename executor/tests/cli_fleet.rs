//! `whimbrel simulate` with a fleet's file: text, a document, a line a migration, and exit codes.

#![cfg(test)]

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

const FLEET: &str = r#"
name = "four-into-two"
[fleet]
[[fleet.hosts]]
name = "old"
count = 4
memory_mib = 65536
card_mib_per_second = 1190
uplink_mib_per_second = 1500
[[fleet.hosts]]
name = "new"
count = 2
memory_mib = 131072
card_mib_per_second = 2980
[[fleet.guests]]
name = "web"
count = 16
on = "old"
memory_mib = 2048
working_set_mib = 128
writes_per_second = 2000
[fleet.evacuation]
from = ["old"]
to = ["new"]
at_once = 4
"#;

/// A file of this test's own, which goes with the guard.
struct File(PathBuf);

impl File {
    fn new(name: &str, text: &str) -> Self {
        let path = std::env::temp_dir().join(format!("whimbrel-fleet-{}-{name}.toml", std::process::id()));
        fs::write(&path, text).unwrap();
        Self(path)
    }

    fn simulate(&self, options: &[&str]) -> Output {
        let program = env!("CARGO_BIN_EXE_whimbrel");
        Command::new(program).arg("simulate").arg(&self.0).args(options).output().unwrap()
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn a_fleet_is_reported_in_words() {
    let output = File::new("words", FLEET).simulate(&[]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    insta::assert_snapshot!(text(&output.stdout));
}

#[test]
fn a_fleet_is_one_document_for_machines_and_the_same_every_time() {
    let file = File::new("document", FLEET);
    let output = file.simulate(&["--format", "json"]);
    assert!(text(&output.stdout).starts_with("{\"schema\":\"whimbrel.fleet/1\""), "the schema stands first");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((report["guests"]["moved"].as_u64(), report["seed"].as_u64()), (Some(16), Some(1)));
    assert_eq!(report["engine"], "lumped");
    assert_eq!(output.stdout, file.simulate(&["--format", "json"]).stdout);
    assert_ne!(output.stdout, file.simulate(&["--format", "json", "--engine", "page", "--seed", "2"]).stdout);
}

#[test]
fn every_migration_has_a_line_of_its_own() {
    let output = File::new("lines", FLEET).simulate(&["--format", "ndjson"]);
    let lines: Vec<serde_json::Value> =
        text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 17);
    assert!(lines[..16].iter().all(|line| line["schema"] == "whimbrel.fleet-migration/1"));
    assert!(lines[..16].iter().all(|line| line["outcome"]["ending"] == "completed"));
    assert_eq!(lines[16]["schema"], "whimbrel.fleet/1");
}

#[test]
fn what_is_not_as_expected_and_what_cannot_be_done_have_their_exit_codes() {
    let killed = "[[fault]]\nat_ms = 1000\ndo = \"kill-daemon\"\nhost = \"new-1\"\n";
    let unmet = File::new("unmet", &format!("{FLEET}{killed}[expect]\nwithin_ms = 1000\n")).simulate(&[]);
    assert_eq!(unmet.status.code(), Some(1));
    assert!(text(&unmet.stdout).contains(" from old-"), "{}", text(&unmet.stdout));
    assert!(text(&unmet.stderr).contains("of 1000 at most"), "{}", text(&unmet.stderr));

    let mistaken = File::new("mistaken", &FLEET.replace("on = \"old\"", "on = \"odl\"")).simulate(&[]);
    assert_eq!(mistaken.status.code(), Some(2));
    assert!(text(&mistaken.stderr).contains("there are `old`, `new`"), "{}", text(&mistaken.stderr));

    let journal = File::new("journal", FLEET).simulate(&["--journal", "journal.ndjson"]);
    assert_eq!(journal.status.code(), Some(2));
    assert!(
        text(&journal.stderr).contains("`--journal` applies to a single migration"),
        "{}",
        text(&journal.stderr)
    );
}
