//! A guest that is paused and resumed in post-copy, past libvirt: the destination may be reported as plainly running while
//! memory of the guest is still on the source, and the source's half must stay until that has arrived.

use std::fs;
use std::path::Path;
use std::process::Child;
use std::thread;
use std::time::Duration;

use whimbrel_lab::{Guest, GuestSpec, Lab, LabOptions};

use crate::harness::{LONG, adopt_command, finished, kill, migrate_command, state, wait_for};

/// Two observations in a row call for a step, at most a second apart.
const LOOKS: Duration = Duration::from_millis(2500);

fn start_guest(lab: &Lab) -> Guest {
    let spec = GuestSpec {
        memory_mib: 192,
        region_mib: 128,
        writes_per_second: 500,
        monitor: true,
        ..GuestSpec::default()
    };
    lab.start_guest(&spec).unwrap()
}

/// Starts the migration over a slow link, and waits until the guest runs on the destination without most of its memory.
fn migrate_to_postcopy(lab: &Lab, journal: &Path) -> Child {
    lab.shape_link(Some(8 << 23)).unwrap();
    // On a busy machine the switch takes seconds, and at twice the timeout the migration is cancelled.
    let more = ["--postcopy", "--timeout", "3", "--at-timeout", "postcopy"];
    let child = migrate_command(lab, journal, &more).spawn().unwrap();
    wait_for("the guest is in post-copy", || {
        state(lab.alpha()) == "paused (post-copy)" && state(lab.beta()).starts_with("running")
    });
    child
}

/// The destination's QEMU is stopped and goes on; gives what libvirt reports then.
fn pause_and_resume(lab: &Lab) -> String {
    lab.beta().monitor("stop").unwrap();
    wait_for("the guest is paused", || state(lab.beta()).starts_with("paused"));
    lab.beta().monitor("cont").unwrap();
    wait_for("the guest goes on", || state(lab.beta()).starts_with("running"));
    let reported = state(lab.beta());
    println!("reported: {reported}");
    reported
}

fn assert_half_is_there(lab: &Lab, what: &str) {
    assert_eq!(state(lab.alpha()), "paused (post-copy)", "{what}");
    assert!(lab.alpha().qemu_pid("guest").is_ok(), "{what}");
}

fn assert_arrived(lab: &Lab, guest: &Guest, (code, text): (Option<i32>, String)) {
    assert_eq!(code, Some(0), "{text}");
    assert!(state(lab.beta()).starts_with("running"), "{}; {text}", state(lab.beta()));
    assert_eq!(lab.alpha().domain_state("guest").unwrap(), None, "{text}");
    let later = guest.wait_for_scan_after(&guest.snapshot(), LONG).unwrap();
    assert!(later.owner == Some(1) && later.bad == 0 && !later.two_copies_ran(), "{later:?}; {text}");
}

#[test]
#[ignore = "needs root and libvirt; run with cargo xtask test"]
fn a_guest_that_is_paused_and_resumed_in_postcopy_arrives() {
    let lab = Lab::build(&LabOptions::default()).unwrap();
    let guest = start_guest(&lab);
    let child = migrate_to_postcopy(&lab, &lab.folder().join("journal"));
    let reported = pause_and_resume(&lab);
    thread::sleep(LOOKS);
    assert_half_is_there(&lab, &reported);
    assert_arrived(&lab, &guest, finished(child));
    lab.remove().unwrap();
}

#[test]
#[ignore = "needs root and libvirt; run with cargo xtask test"]
fn a_driver_that_finds_the_guest_plainly_running_in_postcopy_leaves_the_other_half() {
    let lab = Lab::build(&LabOptions::default()).unwrap();
    let guest = start_guest(&lab);
    let journal = lab.folder().join("journal");
    kill(migrate_to_postcopy(&lab, &journal));
    let reported = pause_and_resume(&lab);
    let length = fs::metadata(&journal).unwrap().len();
    let child = adopt_command(&lab, &journal).spawn().unwrap();
    wait_for("the journal is adopted", || fs::metadata(&journal).unwrap().len() > length);
    thread::sleep(LOOKS);
    assert_half_is_there(&lab, &reported);
    assert_arrived(&lab, &guest, finished(child));
    lab.remove().unwrap();
}
