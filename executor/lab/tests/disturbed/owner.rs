//! One driver for each guest: drivers in different processes see each other by the owner tag in the guest's metadata, which
//! is gone when the migration has ended.

use whimbrel_lab::{Guest, GuestSpec, Host, Lab, LabOptions};

use crate::harness::{LONG, adopt_command, kill, migrate_command, run, state, wait_for, wait_for_copy};

const NAMESPACE: &str = "https://whimbrel.dev/xmlns/owner/1";

fn start_guest(lab: &Lab) -> Guest {
    lab.start_guest(&GuestSpec { memory_mib: 256, region_mib: 192, ..GuestSpec::default() }).unwrap()
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
    let first = migrate_command(&lab, &file("first.journal"), &slow).spawn().unwrap();
    wait_for_copy(&file("first.journal"));
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
        let (code, text) = run(migrate_command(&lab, &file(name), more));
        assert_eq!(code, Some(3), "{text}");
        assert!(text.contains(&id) && text.contains("first.journal"), "{text}");
        assert!(text.contains("since 20") && text.contains("--replace-owner"), "{text}");
        assert_eq!((tag(lab.alpha(), &[]), settings()), (Some(written.clone()), before.clone()));
        assert!(state(lab.alpha()).starts_with("running"), "{text}");
    };
    refused("second.journal", &["--bandwidth", "9", "--downtime", "456"]);
    // Another driver's name opens nothing.
    refused("third.journal", &["--replace-owner", "first.journal@1"]);

    // A driver that was killed leaves its tag; the same migration is adopted, and removes it.
    kill(first);
    refused("fourth.journal", &["--downtime", "456"]);
    lab.alpha().virsh(&["migrate-setspeed", "guest", "1000"]).unwrap();
    let (code, text) = run(adopt_command(&lab, &file("first.journal")));
    assert_eq!(code, Some(0), "{text}");
    assert!(!text.contains("owner tag"), "{text}");
    guest.wait_until(LONG, |now| now.owner == Some(1)).unwrap();
    assert_no_tag(&lab);
    lab.remove().unwrap();
}

#[test]
#[ignore = "needs root and libvirt; run with cargo xtask test"]
fn no_tag_is_left_by_a_migration_that_ended_and_a_stale_one_can_be_replaced() {
    let lab = Lab::build(&LabOptions::default()).unwrap();
    let _guest = start_guest(&lab);
    let file = |name: &str| lab.folder().join(name);
    // One that fails: the copy is too slow for its time.
    let (code, text) = run(migrate_command(&lab, &file("slow"), &["--bandwidth", "1", "--timeout", "1"]));
    assert_eq!(code, Some(3), "{text}");
    assert_no_tag(&lab);

    // One whose driver is gone for good, with its record.
    let lost = migrate_command(&lab, &file("lost"), &["--bandwidth", "1"]).spawn().unwrap();
    wait_for("the guest is tagged", || tag(lab.alpha(), &[]).is_some());
    kill(lost);
    let stale = owner(&tag(lab.alpha(), &[]).unwrap());
    // Its copy may be under way.
    let _ = lab.alpha().virsh(&["domjobabort", "guest"]);
    wait_for("no job works on the guest", || {
        lab.alpha().virsh(&["domjobinfo", "guest"]).unwrap().contains("None")
            && lab.beta().domain_state("guest").unwrap().is_none()
    });
    let (code, text) = run(migrate_command(&lab, &file("refused"), &[]));
    assert_eq!((code, text.contains(&stale)), (Some(3), true), "{text}");
    // The lost driver's limit was never put back.
    lab.alpha().virsh(&["migrate-setspeed", "guest", "1000"]).unwrap();
    let (code, text) = run(migrate_command(&lab, &file("taken"), &["--replace-owner", &stale]));
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
    let (code, text) = run(migrate_command(&lab, &journal, &["--offline"]));
    assert_eq!((code, text.contains("other@5")), (Some(3), true), "{text}");
    assert!(lab.beta().domain_state("guest").unwrap().is_none());
    let journal = lab.folder().join("moved");
    let more = ["--offline", "--replace-owner", "other@5"];
    let (code, text) = run(migrate_command(&lab, &journal, &more));
    assert_eq!(code, Some(0), "{text}");
    assert_no_tag(&lab);
    assert!(lab.beta().domain_state("guest").unwrap().is_some());
    lab.remove().unwrap();
}
