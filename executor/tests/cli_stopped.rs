//! Verbs that take long: progress on standard error, and a partial result when Ctrl-C stops them.

#![cfg(test)]

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};

use serde_json::Value;

/// What a process wrote after Ctrl-C, and its exit code.
struct Stopped {
    progress: String,
    code: Option<i32>,
    out: String,
}

/// Presses Ctrl-C once the process says that its work has begun.
fn stopped(arguments: &[&str]) -> Stopped {
    let mut process = Command::new(env!("CARGO_BIN_EXE_whimbrel"))
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(process.stderr.take().unwrap());
    let mut progress = String::new();
    while !progress.ends_with(" begun\n") {
        assert!(said.read_line(&mut progress).unwrap() > 0, "ended without progress: {progress}");
    }
    let pid = process.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let mut out = String::new();
    process.stdout.take().unwrap().read_to_string(&mut out).unwrap();
    Stopped { progress, code: process.wait().unwrap().code(), out }
}

fn partial(document: &Value) -> (u64, u64, &str) {
    let partial = &document["partial"];
    let number = |key: &str| partial[key].as_u64().unwrap();
    (number("done"), number("of"), partial["unit"].as_str().unwrap())
}

#[test]
fn a_fuzzer_that_is_stopped_reports_what_it_ran() {
    const CASES: u64 = 1_000_000_000;
    let cases = CASES.to_string();
    let json = stopped(&["fuzz", "--cases", &cases, "--format", "json"]);
    assert_eq!(json.code, Some(130), "{}", json.out);
    assert_eq!(json.progress, "fuzz: 1,000,000,000 cases begun\n");
    let report: Value = serde_json::from_str(&json.out).unwrap();
    let (done, of, unit) = partial(&report);
    assert!(done < CASES && of == CASES && unit == "cases", "{done} of {of} {unit}");
    assert_eq!(report["cases"], done);
    assert_eq!(report["log_hash"], Value::Null, "a digest of chance is none");

    let text = stopped(&["fuzz", "--cases", &cases]);
    assert_eq!(text.code, Some(130));
    assert!(text.out.starts_with("PARTIAL: stopped after "), "{}", text.out);
    assert!(text.out.ends_with("no violation so far\n"), "{}", text.out);
}

#[test]
fn an_exploration_that_is_stopped_reports_what_it_met() {
    let slices = ["--slice", "offline", "--slice", "more-faults", "--slice", "two-requests"];
    let with = |more: &[&'static str]| stopped(&[&["explore"], &slices[..], more].concat());
    let json = with(&["--format", "json"]);
    assert_eq!(json.code, Some(130), "{}", json.out);
    assert!(json.progress.contains("explore more-faults (1 of 3): "), "{}", json.progress);
    let report: Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(partial(&report), (0, 3, "slices"));
    assert_eq!(
        (&report["is_exhaustive"], &report["violations"]),
        (&Value::Bool(false), &Value::Array(Vec::new()))
    );

    let text = with(&[]);
    assert_eq!(text.code, Some(130));
    assert!(text.out.starts_with("PARTIAL: stopped after 0 of 3 slices\n"), "{}", text.out);
    assert!(text.out.contains("  stopped\n") && text.out.ends_with("no violation so far\n"), "{}", text.out);
}

#[test]
fn a_comparison_that_is_stopped_reports_whole_cases() {
    let runs = concat!(env!("CARGO_MANIFEST_DIR"), "/../sim/tests/data/qemu-7.2-quiet.jsonl");
    let json = stopped(&["fidelity", runs, "--seeds", "100000", "--format", "json"]);
    assert_eq!(json.code, Some(130), "{}", json.out);
    assert!(json.progress.starts_with("fidelity: "), "{}", json.progress);
    let report: Value = serde_json::from_str(&json.out).unwrap();
    let (done, of, unit) = partial(&report);
    assert!(done < of && unit == "cases");
    assert_eq!(report["targets"], Value::Array(Vec::new()), "a target is over all cases");
}
