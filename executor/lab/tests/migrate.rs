//! The lab itself, for real: a guest moves between two libvirt daemons, its witness says that nothing was lost,
//! faults can be seen from inside, and nothing is left behind.

#![expect(clippy::unwrap_used, reason = "helpers of tests stand outside the tests themselves")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use whimbrel_lab::testing::LONG;
use whimbrel_lab::{GuestSpec, Host, Lab, LabError, LabOptions, Phase};

/// Every namespace of the hosts and the operator.
fn namespaces(lab: &Lab) -> BTreeSet<String> {
    let list = |mut command: Command, kinds: &[&str]| {
        command.args(kinds.iter().map(|kind| format!("/proc/self/ns/{kind}")));
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let mut all = BTreeSet::new();
    for host in [lab.alpha(), lab.beta()] {
        let found = list(host.command("readlink"), &["net", "mnt", "uts", "pid"]);
        assert_eq!(found.len(), 4);
        all.extend(found);
    }
    all.extend(list(lab.operator_command("readlink"), &["net"]));
    assert_eq!(all.len(), 9, "each host has four of its own, and the operator one");
    all
}

/// Processes of the whole machine that are in one of these namespaces.
fn inhabitants(of: &BTreeSet<String>) -> usize {
    let kinds = ["net", "mnt", "uts", "pid"];
    let inside = |process: &Path| {
        kinds.iter().any(|kind| {
            fs::read_link(process.join("ns").join(kind))
                .is_ok_and(|link| of.contains(&*link.to_string_lossy()))
        })
    };
    fs::read_dir("/proc").unwrap().flatten().filter(|entry| inside(&entry.path())).count()
}

fn mounts_below(folder: &Path) -> usize {
    let table = fs::read_to_string("/proc/mounts").unwrap();
    table.lines().filter(|line| line.contains(&*folder.to_string_lossy())).count()
}

fn migrate(from: &Host, to: &Host, guest: &str, more: &[&str]) -> Result<String, LabError> {
    let uri = to.uri();
    from.virsh(&[&["migrate", "--live", "--p2p", guest, uri.as_str()], more].concat())
}

#[test]
#[ignore = "needs root and libvirt; run with cargo xtask test"]
fn a_guest_moves_there_and_back_and_nothing_is_left() {
    let lab = Lab::build(&LabOptions::default()).unwrap();
    let spec = GuestSpec {
        writes_per_second: 2000,
        phases: vec![
            Phase { length_ms: 700, writes_per_second: 4000 },
            Phase { length_ms: 1300, writes_per_second: 500 },
        ],
        ..GuestSpec::default()
    };
    let guest = lab.start_guest(&spec).unwrap();
    let mut place = (lab.alpha(), lab.beta());
    for owner in [1, 2] {
        let before = guest.mark();
        migrate(place.0, place.1, "guest", &["--bandwidth", "100"]).unwrap();
        assert_eq!(place.1.domain_state("guest").unwrap().as_deref(), Some("running (migrated)"));
        assert!(place.0.domain_state("guest").unwrap().is_none_or(|state| state.starts_with("shut off")));
        let arrived = guest.wait_until(LONG, |now| now.owner == Some(owner) && now.seq > before.seq).unwrap();
        let handover = arrived.handover.expect("the guest changed hosts since the mark");
        assert!(arrived.longest_gap >= handover && handover > Duration::ZERO);
        let _ = guest.mark();
        let after = guest.wait_for_scan_after(&arrived, LONG).unwrap();
        assert_eq!(
            (after.bad, after.lost, after.torn, after.two_copies_ran()),
            (0, 0, 0, false),
            "{after:?}"
        );
        assert_eq!((after.ticking, after.open), (1, 1), "exactly one copy: {after:?}");
        assert!(after.writes > before.writes && after.scans > before.scans);
        println!("downtime {handover:?}, longest gap {:?}", arrived.longest_gap);
        place = (place.1, place.0);
    }

    let spaces = namespaces(&lab);
    assert!(inhabitants(&spaces) > 4, "the daemons and QEMU at least");
    let folder = lab.folder().to_owned();
    lab.remove().unwrap();
    assert_eq!((inhabitants(&spaces), mounts_below(&folder), folder.exists()), (0, 0, false));
}

#[test]
fn a_range_of_one_migration_port_is_refused() {
    let built = Lab::build(&LabOptions { migration_ports: 49200..=49200, ..LabOptions::default() });
    // Without root, that error comes first.
    assert!(matches!(built, Err(LabError::BadOptions(_) | LabError::NotRoot)));
}

#[test]
#[ignore = "needs root and libvirt; run with cargo xtask test"]
fn a_guest_outlives_its_daemon_and_a_killed_qemu_falls_silent() {
    let lab = Lab::build(&LabOptions { names_resolve: false, ..LabOptions::default() }).unwrap();
    let guest = lab.start_guest(&GuestSpec { persistent: false, ..GuestSpec::default() }).unwrap();
    let qemu = lab.alpha().qemu_pid("guest").unwrap();
    lab.alpha().kill_daemon().unwrap();
    assert!(matches!(lab.alpha().daemon_pid(), Err(LabError::NotRunning { .. })));
    let seq = guest.snapshot().seq;
    guest.wait_until(LONG, |now| now.seq > seq + 100).unwrap();
    lab.alpha().start_daemon().unwrap();
    assert_eq!(lab.alpha().qemu_pid("guest").unwrap(), qemu);
    assert!(lab.alpha().domain_state("guest").unwrap().unwrap().starts_with("running"));

    lab.alpha().kill_qemu("guest").unwrap();
    guest.wait_until(LONG, |now| now.open == 0).unwrap();
    assert!(matches!(lab.alpha().qemu_pid("guest"), Err(LabError::NotRunning { .. })));
    lab.remove().unwrap();
}

#[test]
#[ignore = "needs root and libvirt; run with cargo xtask test"]
fn a_cut_link_parts_the_hosts_but_not_the_operator() {
    let lab = Lab::build(&LabOptions::default()).unwrap();
    let reaches = || {
        let uri = lab.beta().uri();
        lab.alpha()
            .command("timeout")
            .args(["30", "virsh", "--connect", &uri, "uri"])
            .output()
            .unwrap()
            .status
            .success()
    };
    assert!(reaches());
    lab.cut_link().unwrap();
    assert!(!reaches());
    assert!(lab.alpha().virsh(&["uri"]).is_ok() && lab.beta().virsh(&["uri"]).is_ok());
    lab.restore_link().unwrap();
    assert!(reaches());
    lab.shape_link(Some(10_000_000)).unwrap();
    lab.shape_link(None).unwrap();
    lab.remove().unwrap();
}

#[test]
#[ignore = "needs root and libvirt; run with cargo xtask test"]
fn two_labs_stand_side_by_side_and_names_and_ports_can_be_missing() {
    let options =
        LabOptions { names_resolve: false, migration_ports: 49200..=49201, ..LabOptions::default() };
    let (lab, other) = (Lab::build(&LabOptions::default()).unwrap(), Lab::build(&options).unwrap());
    assert!(namespaces(&lab).is_disjoint(&namespaces(&other)));
    let guest =
        other.start_guest(&GuestSpec { memory_mib: 128, region_mib: 64, ..GuestSpec::default() }).unwrap();
    let refused =
        |more: &[&str]| migrate(other.alpha(), other.beta(), "guest", more).unwrap_err().to_string();

    let message = refused(&[]);
    assert!(message.contains("beta"), "the name does not resolve: {message}");
    let uri = format!("tcp://{}", other.beta().address());
    let taken = [49200, 49201].map(|port| other.beta().occupy_port(port).unwrap());
    let message = refused(&["--migrateuri", &uri]);
    assert!(message.contains("port"), "no port is free: {message}");
    drop(taken);
    migrate(other.alpha(), other.beta(), "guest", &["--migrateuri", &uri]).unwrap();
    // A refused attempt may have connected a QEMU that never ran.
    let seen = guest.wait_until(LONG, |now| now.handover.is_some()).unwrap();
    assert!(!seen.two_copies_ran());
    drop(lab);
    assert!(other.beta().virsh(&["uri"]).is_ok(), "one lab's end is not the other's");
    other.remove().unwrap();
}
