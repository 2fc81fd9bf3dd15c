//! The verbs that show the machine to be safe: what they write, and their exit codes.

#![cfg(test)]

use std::process::{Command, Output};

use serde_json::Value;

fn whimbrel(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_whimbrel")).args(arguments).output().unwrap()
}

fn document(arguments: &[&str]) -> Value {
    let output = whimbrel(arguments);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn keys(document: &Value) -> Vec<&str> {
    document.as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn an_exploration_tells_what_it_covered() {
    let told = document(&["explore", "--slice", "offline", "--format", "json"]);
    assert_eq!(told["schema"], "whimbrel.explore/1");
    for key in ["unique_states", "transitions", "depth", "interleavings", "violations", "seconds"] {
        assert!(!told[key].is_null(), "{key} of {:?}", keys(&told));
    }
    assert_eq!(
        (&told["is_exhaustive"], &told["violations"]),
        (&Value::Bool(true), &Value::Array(Vec::new()))
    );
    let number = |key: &str| told[key].as_u64().unwrap();
    assert!(number("unique_states") > 100_000 && number("transitions") > number("unique_states"));
    assert!(number("longest_calm_way") > 0 && number("longest_calm_way") < number("depth") * 4);
    // A guest that is off has nothing to copy by rounds, and ends off on either side.
    let ends = keys(&told["ends"]);
    assert!(ends.contains(&"completed: off, on the destination"), "{ends:?}");
    assert!(ends.iter().all(|end| !end.contains("running")), "{ends:?}");
}

#[test]
fn an_exploration_that_is_cut_short_says_so() {
    let told = document(&["explore", "--slice", "faults", "--states", "1000", "--format", "json"]);
    assert_eq!(told["is_exhaustive"], false);
    let output = whimbrel(&["explore", "--slice", "faults", "--states", "1000"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("incomplete"), "{text}");
}

#[test]
fn a_slice_that_is_not_there_is_answered_with_those_that_are() {
    let output = whimbrel(&["explore", "--slice", "nothing"]);
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("more-faults") && said.contains("everything"), "{said}");
}

#[test]
fn the_fuzzer_gives_the_same_digest_for_the_same_seeds() {
    let told = |seed| document(&["fuzz", "--cases", "3000", "--seed", seed, "--format", "json"]);
    let (one, again, other) = (told("7"), told("7"), told("8"));
    assert_eq!(one["schema"], "whimbrel.fuzz/1");
    assert_eq!((one["cases"].as_u64(), one["replayed"].as_u64()), (Some(3000), Some(30)));
    assert_eq!(one["violations"], Value::Array(Vec::new()));
    assert!(one["cases_per_second"].as_f64().unwrap() > 0.0);
    assert_eq!(one["log_hash"], again["log_hash"]);
    assert_ne!(one["log_hash"], other["log_hash"]);
}

#[test]
fn the_fuzzer_has_words_for_people() {
    let output = whimbrel(&["fuzz", "--cases", "500"]);
    assert_eq!(output.status.code(), Some(0));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("500") && text.contains("no violation"), "{text}");
}
