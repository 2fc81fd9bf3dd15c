//! The guest ends on the destination after it has run there, while the source's daemon is down and had no answer: the source
//! still has a stopped copy, older than the guest's disks, which must never run again.

use std::fs;
use std::path::Path;
use std::process::Child;

use whimbrel_core::journal;
use whimbrel_core::{Action, Ending, GuestLocation, Output};
use whimbrel_lab::{Guest, GuestSpec, Host, Lab, LabOptions, Snapshot};

use crate::harness::{
    LONG, adopt_command, finished, kill, migrate_command, run, state, wait_for, wait_for_copy,
};

/// A lab whose daemons do not give each other up before the switchover is over.
fn lab() -> Lab {
    Lab::build(&LabOptions { keepalive_interval_s: 10, ..LabOptions::default() }).unwrap()
}

fn start_guest(lab: &Lab, persistent: bool) -> Guest {
    let spec = GuestSpec {
        memory_mib: 128,
        region_mib: 64,
        writes_per_second: 500,
        persistent,
        monitor: true,
        ..GuestSpec::default()
    };
    lab.start_guest(&spec).unwrap()
}

/// Starts the migration, and loses the destination's answers to the source's daemon once the copy is under way: the
/// source's daemon sends "finish", the destination starts the guest, and the source's daemon does not learn of it.
fn migrate_without_answers(lab: &Lab, journal: &Path) -> Child {
    let more = ["--bandwidth", "20", "--resolve-timeout", "6"];
    let child = migrate_command(lab, journal, &more).spawn().unwrap();
    wait_for_copy(journal);
    lab.lose_answers().unwrap();
    child
}

/// The guest runs on the destination and writes there; then the source's daemon dies, and the guest powers itself off.
fn run_there_and_end(lab: &Lab, guest: &Guest) -> Snapshot {
    wait_for("the guest runs on the destination", || state(lab.beta()).starts_with("running"));
    let arrived = guest.wait_until(LONG, |now| now.owner == Some(1)).unwrap();
    guest.wait_until(LONG, |now| now.writes > arrived.writes + 50).unwrap();
    lab.alpha().kill_daemon().unwrap();
    // To its machine this is the guest that powers off: the register for it, with the value for "off".
    lab.beta().monitor("o /h 0x604 0x2000").unwrap();
    wait_for("the guest has ended", || lab.beta().qemu_pid("guest").is_err());
    lab.restore_answers().unwrap();
    guest.snapshot()
}

/// The end is "in doubt", the destination is named, and no host was changed by a command of the migration.
fn assert_untouched(lab: &Lab, guest: &Guest, ended: &Snapshot, journal: &Path, end: &(Option<i32>, String)) {
    let (code, text) = end;
    let (here, there) = (state(lab.alpha()), state(lab.beta()));
    assert!(here.starts_with("paused"), "the source's copy: {here}; {text}");
    assert_eq!(*code, Some(5), "{here}; {text}");
    assert!(text.contains(lab.beta().address()), "the destination is not named: {text}");

    let mut acts = Vec::new();
    let replayed = journal::replay(&fs::read_to_string(journal).unwrap(), |_, _, outputs| {
        acts.extend(outputs.iter().filter_map(|output| match output {
            Output::Command(command) => match command.action {
                Action::Resume(_) | Action::Destroy(_) | Action::Undefine(_) => Some(command.action.clone()),
                _ => None,
            },
            Output::Event(_) => None,
        }));
    })
    .unwrap();
    assert_eq!(acts, [], "{text}");
    let outcome = replayed.migration.view().outcome.unwrap();
    assert_eq!(
        (outcome.ending, outcome.guest),
        (Ending::InDoubt, GuestLocation::SourcePaused),
        "{outcome:?}"
    );

    // What was defined still is.
    let is_defined = |host: &Host| host.virsh(&["dumpxml", "--inactive", "guest"]).is_ok();
    if there == "absent" {
        assert!(!is_defined(lab.beta()));
    } else {
        assert!(
            there.starts_with("shut off") && is_defined(lab.alpha()) && is_defined(lab.beta()),
            "{there}"
        );
    }
    let later = guest.snapshot();
    assert_eq!(later.seq, ended.seq, "the guest ran again: {later:?}");
    assert!(!later.two_copies_ran() && later.bad == 0, "{later:?}");
}

/// The driver is there the whole time.
fn case(lab: &Lab, name: &str, persistent: bool) {
    let journal = lab.folder().join(name);
    let guest = start_guest(lab, persistent);
    let child = migrate_without_answers(lab, &journal);
    let ended = run_there_and_end(lab, &guest);
    lab.alpha().start_daemon().unwrap();
    assert_untouched(lab, &guest, &ended, &journal, &finished(child));
    lab.remove_guest("guest").unwrap();
}

#[test]
#[ignore = "needs root and libvirt; run with cargo xtask test"]
fn a_stale_copy_is_not_resumed_when_the_guest_has_ended_on_the_destination() {
    let lab = lab();
    case(&lab, "persistent", true);
    // Of this one nothing at all is left there.
    case(&lab, "transient", false);
    lab.remove().unwrap();
}

#[test]
#[ignore = "needs root and libvirt; run with cargo xtask test"]
fn a_stale_copy_is_not_resumed_by_a_driver_that_never_saw_the_guest_arrive() {
    let lab = lab();
    for persistent in [true, false] {
        let journal = lab.folder().join(format!("persistent-{persistent}"));
        let guest = start_guest(&lab, persistent);
        // Its driver dies before the switchover.
        kill(migrate_without_answers(&lab, &journal));
        let ended = run_there_and_end(&lab, &guest);
        lab.alpha().start_daemon().unwrap();
        let end = run(adopt_command(&lab, &journal));
        assert_untouched(&lab, &guest, &ended, &journal, &end);
        lab.remove_guest("guest").unwrap();
    }
    lab.remove().unwrap();
}
