//! One driver for each guest: drivers in different processes see each other by the owner tag in the guest's metadata, which
//! is gone when the migration has ended.

#![cfg(test)]

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use whimbrel_lab::{Guest, GuestSpec, Host, Lab, LabOptions};

const LONG: Duration = Duration::from_mins(2);
const NAMESPACE: &str = "https://whimbrel.dev/xmlns/owner/1";

fn program() -> String {
    std::env::var("WHIMBREL_BIN").expect("WHIMBREL_BIN is the program to test")
}

fn wait_for(what: &str, condition: impl Fn() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < LONG, "it never happened: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

fn start_guest(lab: &Lab) -> Guest {
    lab.start_guest(&GuestSpec { memory_mib: 256, region_mib: 192, ..GuestSpec::default() }).unwrap()
}

fn migrate(lab: &Lab, journal: &Path, more: &[&str]) -> Command {
    let (alpha, beta) = (lab.alpha().uri(), lab.beta().uri());
    let mut command = lab.operator_command(&program());
    command.args(["migrate", "guest", beta.as_str(), "--source", alpha.as_str(), "--journal"]);
    command.arg(journal).args(more).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn said(output: &Output) -> (Option<i32>, String) {
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    println!("{}\n{text}", output.status);
    (output.status.code(), text)
}

/// The tag of the guest as it runs, or as it is stored.
fn tag(host: &Host, more: &[&str]) -> Option<String> {
    host.virsh(&[&["metadata", "guest", "--uri", NAMESPACE], more].concat()).ok()
}

fn owner(tag: &str) -> String {
    let id =
        tag.split_once(" id=\"").or_else(|| tag.split_once(" id='")).unwrap_or_else(|| panic!("{tag}")).1;
    id.split(['"', '\'']).next().unwrap().to_owned()
}

/// No description of the guest on either host names a driver.
fn assert_no_tag(lab: &Lab) {
    for host in [lab.alpha(), lab.beta()] {
        for more in [&[][..], &["--inactive"][..]] {
            let xml = host.virsh(&[&["dumpxml", "guest"], more].concat()).unwrap_or_default();
            assert!(!xml.contains(NAMESPACE), "{} {more:?}: {xml}", host.name());
        }
    }
}

#[test]
#[ignore = "needs root and libvirt; run with cargo xtask test"]
fn a_second_driver_is_refused_with_the_first_ones_name_and_changes_nothing() {
    let lab = Lab::build(&LabOptions::default()).unwrap();
    let guest = start_guest(&lab);
    let file = |name: &str| lab.folder().join(name);
    let slow = ["--bandwidth", "4", "--downtime", "123"];
    let mut first = migrate(&lab, &file("first.journal"), &slow).spawn().unwrap();
    wait_for("the copy is under way", || {
        fs::read_to_string(file("first.journal")).is_ok_and(|text| text.contains("\"iteration\":1"))
    });
    let written = tag(lab.alpha(), &[]).expect("the guest carries the owner's tag");
    let id = owner(&written);
    assert!(id.starts_with("first.journal@"), "{written}");
    assert_eq!(tag(lab.alpha(), &["--config"]), None, "the stored definition has none");

    let settings = || {
        (
            lab.alpha().virsh(&["migrate-getmaxdowntime", "guest"]).unwrap(),
            lab.alpha().virsh(&["migrate-getspeed", "guest"]).unwrap(),
        )
    };
    let before = settings();
    let refused = |name: &str, more: &[&str]| {
        let (code, text) = said(&migrate(&lab, &file(name), more).output().unwrap());
        assert_eq!(code, Some(3), "{text}");
        assert!(text.contains(&id) && text.contains("first.journal"), "{text}");
        assert!(text.contains("since 20") && text.contains("--replace-owner"), "{text}");
        assert_eq!((tag(lab.alpha(), &[]), settings()), (Some(written.clone()), before.clone()));
        assert!(first_is_there(&lab), "{text}");
    };
    refused("second.journal", &["--bandwidth", "9", "--downtime", "456"]);
    // Another driver's name opens nothing.
    refused("third.journal", &["--replace-owner", "first.journal@1"]);

    // A driver that was killed leaves its tag; the same migration is adopted, and removes it.
    first.kill().unwrap();
    first.wait().unwrap();
    refused("fourth.journal", &["--downtime", "456"]);
    lab.alpha().virsh(&["migrate-setspeed", "guest", "1000"]).unwrap();
    let mut adopt = lab.operator_command(&program());
    adopt.arg("adopt").arg(file("first.journal"));
    let (code, text) = said(&adopt.output().unwrap());
    assert_eq!(code, Some(0), "{text}");
    assert!(!text.contains("owner tag"), "{text}");
    guest.wait_until(LONG, |now| now.owner == Some(1)).unwrap();
    assert_no_tag(&lab);
    lab.remove().unwrap();
}

fn first_is_there(lab: &Lab) -> bool {
    lab.alpha().domain_state("guest").unwrap().is_some_and(|state| state.starts_with("running"))
}

#[test]
#[ignore = "needs root and libvirt; run with cargo xtask test"]
fn no_tag_is_left_by_a_migration_that_ended_and_a_stale_one_can_be_replaced() {
    let lab = Lab::build(&LabOptions::default()).unwrap();
    let _guest = start_guest(&lab);
    let file = |name: &str| lab.folder().join(name);
    // One that fails: the copy is too slow for its time.
    let (code, text) =
        said(&migrate(&lab, &file("slow"), &["--bandwidth", "1", "--timeout", "1"]).output().unwrap());
    assert_eq!(code, Some(3), "{text}");
    assert_no_tag(&lab);

    // One whose driver is gone for good, with its record.
    let mut lost = migrate(&lab, &file("lost"), &["--bandwidth", "1"]).spawn().unwrap();
    wait_for("the guest is tagged", || tag(lab.alpha(), &[]).is_some());
    lost.kill().unwrap();
    lost.wait().unwrap();
    let stale = owner(&tag(lab.alpha(), &[]).unwrap());
    // Its copy may be under way.
    let _ = lab.alpha().virsh(&["domjobabort", "guest"]);
    wait_for("no job works on the guest", || {
        lab.alpha().virsh(&["domjobinfo", "guest"]).unwrap().contains("None")
            && lab.beta().domain_state("guest").unwrap().is_none()
    });
    let (code, text) = said(&migrate(&lab, &file("refused"), &[]).output().unwrap());
    assert_eq!((code, text.contains(&stale)), (Some(3), true), "{text}");
    // The lost driver's limit was never put back.
    lab.alpha().virsh(&["migrate-setspeed", "guest", "1000"]).unwrap();
    let (code, text) = said(&migrate(&lab, &file("taken"), &["--replace-owner", &stale]).output().unwrap());
    assert_eq!(code, Some(0), "{text}");
    let there = lab.beta().domain_state("guest").unwrap();
    assert!(there.as_ref().is_some_and(|state| state.starts_with("running")), "{there:?}");
    assert_no_tag(&lab);
    lab.remove().unwrap();
}

#[test]
#[ignore = "needs root and libvirt; run with cargo xtask test"]
fn the_definition_of_a_guest_that_is_off_carries_the_tag_only_while_it_moves() {
    let lab = Lab::build(&LabOptions::default()).unwrap();
    let spec = GuestSpec { memory_mib: 128, region_mib: 32, ..GuestSpec::default() };
    let _guest = lab.define_guest_on(lab.alpha(), &spec).unwrap();
    let tagged =
        "<owner id='other@5' record='journal `other`' host='h' user='u' pid='1' began-at-unix-ms='5'/>";
    lab.alpha()
        .virsh(&["metadata", "guest", "--uri", NAMESPACE, "--key", "whimbrel", "--set", tagged, "--config"])
        .unwrap();
    let journal = lab.folder().join("refused");
    let (code, text) = said(&migrate(&lab, &journal, &["--offline"]).output().unwrap());
    assert_eq!((code, text.contains("other@5")), (Some(3), true), "{text}");
    assert!(lab.beta().domain_state("guest").unwrap().is_none());
    let journal = lab.folder().join("moved");
    let more = ["--offline", "--replace-owner", "other@5"];
    let (code, text) = said(&migrate(&lab, &journal, &more).output().unwrap());
    assert_eq!(code, Some(0), "{text}");
    assert_no_tag(&lab);
    assert!(lab.beta().domain_state("guest").unwrap().is_some());
    lab.remove().unwrap();
}
