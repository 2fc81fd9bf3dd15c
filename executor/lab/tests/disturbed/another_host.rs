//! Another host answers at the destination's address in the middle of a migration: nothing is concluded from what it says
//! of the guest, and the migration goes on when the destination is back.

use std::fs;
use std::path::Path;

use whimbrel_lab::{Guest, GuestSpec, Host, Lab, LabOptions};

use crate::harness::{LONG, adopt_command, kill, migrate_command, run, state, wait_for, wait_for_copy};

fn start_guest(lab: &Lab) -> Guest {
    let spec = GuestSpec { memory_mib: 256, region_mib: 192, writes_per_second: 500, ..GuestSpec::default() };
    lab.start_guest(&spec).unwrap()
}

/// The destination's daemon has been killed, and another host answers in its place.
fn replace(beta: &Host) {
    beta.start_other_host_here().unwrap();
    let capabilities = beta.virsh(&["capabilities"]).unwrap();
    assert!(capabilities.contains(beta.other_host()), "{capabilities}");
    assert_eq!(beta.domain_state("guest").unwrap(), None, "the other host has no such guest");
}

/// `adopt` goes on from this journal, under its own name in a folder of its own.
fn adopt(lab: &Lab, journal: &Path, folder: &str) -> (Option<i32>, String) {
    let folder = lab.folder().join(folder);
    fs::create_dir(&folder).unwrap();
    let copy = folder.join(journal.file_name().unwrap());
    fs::copy(journal, &copy).unwrap();
    let (code, text) = run(adopt_command(lab, &copy));
    let added = fs::read_to_string(&copy).unwrap().split_off(fs::read_to_string(journal).unwrap().len());
    (code, text + &added)
}

#[test]
#[ignore = "needs root and libvirt; run with cargo xtask test"]
fn a_guest_that_stands_still_is_not_resumed_on_the_word_of_another_host() {
    let lab = Lab::build(&LabOptions::default()).unwrap();
    let guest = start_guest(&lab);
    let journal = lab.folder().join("journal");
    // The migration pauses the guest in the middle of the copy, while the destination receives; then the driver dies.
    // Longer than a call of the dead driver may still be on its way.
    let slow = ["--bandwidth", "2", "--timeout", "2", "--at-timeout", "pause", "--resolve-timeout", "25"];
    let child = migrate_command(&lab, &journal, &slow).spawn().unwrap();
    wait_for("the guest is paused by the migration", || {
        fs::read_to_string(&journal).is_ok_and(|text| text.contains("\"acted\":{\"Ok\":null}"))
    });
    assert!(state(lab.alpha()).starts_with("paused"), "{}", state(lab.alpha()));
    kill(child);
    // The destination's daemon dies too, and the guest is paused on the source.
    lab.beta().kill_daemon().unwrap();
    wait_for("the source's daemon gives up", || state(lab.alpha()).starts_with("running"));
    lab.alpha().virsh(&["suspend", "guest"]).unwrap();

    replace(lab.beta());
    let (code, text) = adopt(&lab, &journal, "another");
    let here = state(lab.alpha());
    assert!(
        here.starts_with("paused"),
        "resumed although nothing is known of the destination: {here}\n{text}"
    );
    assert_eq!(code, Some(5), "{text}");
    for part in [lab.beta().address(), lab.beta().other_host(), lab.beta().uuid()] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(text.contains("\"copy\":\"unknown\"") && !text.contains("\"copy\":\"absent\""), "{text}");

    // The real one is back: it is known to have no copy, and the guest goes on at the source.
    lab.beta().restart_daemon().unwrap();
    wait_for("beta has no copy", || lab.beta().domain_state("guest").unwrap().is_none());
    let (code, text) = adopt(&lab, &journal, "ours");
    assert_eq!(code, Some(3), "{text}");
    assert!(state(lab.alpha()).starts_with("running"), "{text}");
    let later = guest.wait_for_scan_after(&guest.snapshot(), LONG).unwrap();
    assert!(later.bad == 0 && !later.two_copies_ran(), "{later:?}");
    lab.remove().unwrap();
}

#[test]
#[ignore = "needs root and libvirt; run with cargo xtask test"]
fn a_guest_that_arrived_is_not_called_lost_because_another_host_does_not_have_it() {
    let lab = Lab::build(&LabOptions::default()).unwrap();
    let guest = start_guest(&lab);
    let journal = lab.folder().join("journal");
    // Its driver dies in pre-copy, and the guest arrives without it.
    let more = ["--bandwidth", "20", "--resolve-timeout", "8"];
    let child = migrate_command(&lab, &journal, &more).spawn().unwrap();
    wait_for_copy(&journal);
    kill(child);
    // It runs there a moment before the source's daemon knows.
    wait_for("the guest has arrived", || {
        state(lab.beta()).starts_with("running") && state(lab.alpha()) == "absent"
    });
    lab.beta().kill_daemon().unwrap();
    replace(lab.beta());
    let (code, text) = adopt(&lab, &journal, "another");
    assert_eq!(code, Some(5), "{text}");
    assert!(text.contains(lab.beta().other_host()) && text.contains(lab.beta().address()), "{text}");
    assert!(!text.contains("is in neither host's memory"), "{text}");

    // With the real host, the same journal ends well.
    lab.beta().restart_daemon().unwrap();
    let (code, text) = adopt(&lab, &journal, "ours");
    assert_eq!(code, Some(0), "{text}");
    let later = guest.wait_for_scan_after(&guest.snapshot(), LONG).unwrap();
    assert!(later.bad == 0 && !later.two_copies_ran(), "{later:?}");
    lab.remove().unwrap();
}
