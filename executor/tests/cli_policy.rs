//! `whimbrel policy`: what it writes, and its exit codes.

#![cfg(test)]

use std::process::{Command, Output};

use serde_json::Value;

fn whimbrel(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_whimbrel")).arg("policy").args(arguments).output().unwrap()
}

fn text(arguments: &[&str]) -> String {
    let output = whimbrel(arguments);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn document(arguments: &[&str]) -> Value {
    serde_json::from_str(&text(arguments)).unwrap()
}

#[test]
fn the_list_has_every_policy_with_its_source() {
    let list = document(&["list", "--format", "json"]);
    assert_eq!(list["schema"], "whimbrel.policies/1");
    let policies = list["policies"].as_array().unwrap();
    assert!(policies.len() >= 18, "{}", policies.len());
    let people = text(&["list"]);
    for policy in policies {
        for key in ["name", "does", "source"] {
            assert!(people.contains(policy[key].as_str().unwrap()), "{policy}");
        }
    }
}

#[test]
fn an_explanation_shows_the_schedule() {
    insta::assert_snapshot!(text(&["explain", "kubevirt-vep291"]));
    let document = document(&["explain", "cyberus-throttle", "--format", "json"]);
    assert_eq!(
        (&document["is_simulator_only"], &document["schema"]),
        (&true.into(), &"whimbrel.policy/1".into())
    );
    assert_eq!(document["actions"][0]["action"], "throttle 10 %");
}

#[test]
fn a_comparison_has_the_policies_given_and_those_of_hindsight() {
    let arguments = ["compare", "--policy", "ladder", "--policy", "qemu", "--seeds", "1"];
    let document = document(&[&arguments[..], &["--format", "json"]].concat());
    assert_eq!((&document["grid"], &document["cases"]), (&"small".into(), &6.into()));
    let names: Vec<&Value> =
        document["policies"].as_array().unwrap().iter().map(|policy| &policy["name"]).collect();
    assert_eq!(names, ["ladder", "qemu", "best-static-in-hindsight", "oracle"]);
    let people = text(&arguments);
    assert!(people.contains("ladder") && people.contains("oracle"), "{people}");
}

#[test]
fn names_that_do_not_exist_are_answered_with_those_that_do() {
    for (arguments, exists) in [
        (["explain", "ladders", "--format", "text"], "ladder-restart"),
        (["compare", "--policy", "nothing", "--seeds=1"], "kubevirt-vep248"),
        (["compare", "--grid", "nothing", "--seeds=1"], "unseen"),
        (["compare", "--grid", "no/such/file.toml", "--seeds=1"], "no/such/file.toml"),
    ] {
        let output = whimbrel(&arguments);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), said.contains(exists)), (Some(2), true), "{said}");
    }
}
