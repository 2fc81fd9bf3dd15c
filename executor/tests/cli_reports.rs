//! Reports from the field about messages and exit codes, each by the name of its row in `docs/checks.md`.

#![cfg(test)]

mod folder;

use std::fs;
use std::process::{Command, Output};

use folder::Folder;

fn text(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned()).concat()
}

/// A copy that is slower than what the guest writes, with a limit.
const TOO_SLOW: &str = r#"
name = "too-slow"
description = "a guest that dirties more than the link carries, until the time limit"
[guest]
name = "web"
memory_mib = 1024
working_set_mib = 512
filled_mib = 1000
writes_per_second = 60000
[link]
bandwidth_mib_per_second = 100
[migration]
timeout_ms = 20000
[expect]
result = "failed"
guest_on = "source"
"#;

/// `report.83`: at its time limit a migration has failed, as the help and the guide say, and its exit code is 3.
#[test]
fn a_migration_that_reaches_its_time_limit_has_failed() {
    let folder = Folder::new("limit");
    fs::write(folder.0.join("slow.toml"), TOO_SLOW).unwrap();
    let simulated = folder.whimbrel(&["simulate", "slow.toml"]).output().unwrap();
    assert_eq!(simulated.status.code(), Some(0), "{}", text(&simulated));
    let migrate = ["migrate", "web", "sim://beta", "--source", "sim://alpha", "--sim-scenario", "slow.toml"];
    let limit = ["--sim-speed", "1000", "--timeout", "20", "--at-timeout", "cancel", "--journal", "j"];
    let ended = folder.whimbrel(&[&migrate[..], &limit].concat()).output().unwrap();
    assert_eq!(ended.status.code(), Some(3), "{}", text(&ended));
    assert!(text(&ended).contains("Failed: `web` runs on"), "{}", text(&ended));
    let help = text(&folder.whimbrel(&["migrate", "--help"]).output().unwrap());
    assert!(help.contains("End the copy as failed (exit code 3)"), "{help}");
}

/// `report.87`: a copy that cannot converge says so in numbers before its limit: what is dirtied, what the link carries,
/// what is left, and that no limit of the downtime would do.
#[test]
fn a_copy_that_cannot_converge_says_by_how_much() {
    let folder = Folder::new("numbers");
    fs::write(folder.0.join("slow.toml"), TOO_SLOW).unwrap();
    let said = text(&folder.whimbrel(&["simulate", "slow.toml"]).output().unwrap());
    let forecasts: Vec<&str> = said.lines().filter(|line| line.contains("  forecast  ")).collect();
    let is_said = |parts: &[&str]| forecasts.iter().any(|line| parts.iter().all(|part| line.contains(part)));
    assert!(is_said(&["dirties ", " MiB/s", "recent passes left ", "no limit up to "]), "{said}");
}

/// `report.85`: where not even the first line of the journal can be written, no host was queried, and the
/// location of the guest is not in doubt.
#[test]
fn a_journal_that_cannot_be_begun_leaves_everything_as_it_was() {
    let folder = Folder::new("unbegun");
    let journal = folder.0.join("journal");
    // No file may get a byte; without the trap the first write would kill the process.
    let script =
        "trap '' XFSZ; ulimit -f 0; exec \"$0\" migrate web sim://beta --source sim://alpha --journal \"$1\"";
    let output = Command::new("sh")
        .args(["-c", script, env!("CARGO_BIN_EXE_whimbrel")])
        .arg(&journal)
        .env("HOME", &folder.0)
        .output()
        .unwrap();
    let message = text(&output);
    assert_eq!(output.status.code(), Some(2), "{message}");
    assert!(
        message.contains("cannot write the journal") && message.contains("nothing was done"),
        "{message}"
    );
}
