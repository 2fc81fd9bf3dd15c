//! `whimbrel check` on two real hosts: storage that is shared and storage that only looks so, distinguished by the probe; and
//! CPUs, of which libvirt's own comparison is the judge.

#![cfg(test)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::Value;
use whimbrel_lab::{Guest, GuestSpec, Host, Lab, LabOptions, testing};

/// A folder of the machine that both hosts see; it goes with the guard.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        // Not on a file system in memory: QEMU opens the disk without the host's cache.
        let path = PathBuf::from(format!("/var/tmp/whimbrel-check-{}-{number}", std::process::id()));
        fs::create_dir_all(path.join("guests")).unwrap();
        fs::create_dir_all(path.join("other")).unwrap();
        Self(path)
    }

    fn guests(&self) -> PathBuf {
        self.0.join("guests")
    }

    fn other(&self) -> PathBuf {
        self.0.join("other")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Runs a verb on the guest, from alpha to beta.
fn run(lab: &Lab, guest: &str, verb: &[&str], more: &[&str]) -> (Option<i32>, String) {
    testing::run(lab, guest, (lab.alpha(), lab.beta()), verb, more)
}

/// What the rules say, by code.
fn findings(lab: &Lab, guest: &str, more: &[&str]) -> (Option<i32>, Vec<(String, String, String)>) {
    let (code, out) = run(lab, guest, &["check"], &[&["--format", "json"], more].concat());
    let document: Value = serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}"));
    let text = |one: &Value, key: &str| one[key].as_str().unwrap().to_owned();
    let all = document["findings"].as_array().unwrap().iter();
    (code, all.map(|one| (text(one, "code"), text(one, "verdict"), text(one, "message"))).collect())
}

fn verdicts(all: &[(String, String, String)], code: &str) -> Vec<String> {
    all.iter().filter(|one| one.0 == code).map(|one| one.1.clone()).collect()
}

/// A running guest with a disk in this folder.
fn guest_with_disk(lab: &Lab, folder: &Path) -> Guest {
    let guest =
        lab.start_guest(&GuestSpec { memory_mib: 128, region_mib: 32, ..GuestSpec::default() }).unwrap();
    let disk = folder.join("disk.img");
    fs::File::create(&disk).unwrap().set_len(8 << 20).unwrap();
    let path = disk.to_string_lossy();
    let words = ["--targetbus", "virtio", "--subdriver", "raw", "--cache", "none", "--persistent"];
    lab.alpha().virsh(&[&["attach-disk", guest.name(), &path, "vda"], words.as_slice()].concat()).unwrap();
    guest
}

/// No pool is on either host, and no file of a probe in these folders.
fn assert_nothing_left(lab: &Lab, folders: &[&Path]) {
    for host in [lab.alpha(), lab.beta()] {
        let pools = host.virsh(&["pool-list", "--all", "--name"]).unwrap();
        assert_eq!(pools.trim(), "", "{}", host.name());
    }
    for folder in folders {
        for entry in fs::read_dir(folder).unwrap() {
            let name = entry.unwrap().file_name();
            assert!(!name.to_string_lossy().starts_with("whimbrel-probe-"), "{}", name.display());
        }
    }
}

fn mount(host: &Host, arguments: &[&str]) {
    let (program, rest) = arguments.split_first().unwrap();
    let status = host.command(program).args(rest).status().unwrap();
    assert!(status.success(), "{arguments:?}");
}

#[test]
#[ignore = "needs root and libvirt; run with cargo xtask test"]
fn shared_storage_is_proved_and_makes_the_unsafe_flag_safe() {
    let lab = Lab::build(&LabOptions::default()).unwrap();
    let folder = Folder::new();
    let (guests, other) = (folder.guests(), folder.other());
    let guest = guest_with_disk(&lab, &guests);
    let uri = format!("tcp://{}", lab.beta().address());

    // The same path on the destination is another folder: only the probe can tell.
    let [path, elsewhere] = [&guests, &other].map(|path| path.to_str().unwrap());
    fs::copy(guests.join("disk.img"), other.join("disk.img")).unwrap();
    mount(lab.beta(), &["mount", "--bind", elsewhere, path]);
    let (code, all) = findings(&lab, guest.name(), &[]);
    assert_eq!((code, verdicts(&all, "storage.shared")), (Some(7), vec!["fail".to_owned()]), "{all:?}");
    let refused = run(&lab, guest.name(), &["migrate"], &["--unsafe", "--migrate-uri", &uri]);
    assert_eq!(refused.0, Some(3), "{}", refused.1);
    assert!(refused.1.contains("storage.unsafe-flag"), "{}", refused.1);
    // Without the probe nothing is proved, which is not good enough for the flag.
    let (_, unproved) = findings(&lab, guest.name(), &["--no-probe", "--unsafe"]);
    assert_eq!(verdicts(&unproved, "storage.shared"), ["unknown"]);
    assert_eq!(verdicts(&unproved, "storage.unsafe-flag"), ["fail"]);
    assert_nothing_left(&lab, &[&guests, &other]);
    mount(lab.beta(), &["umount", path]);

    // What an earlier probe left behind goes with the next one; what is anybody else's stays.
    for name in ["whimbrel-probe-1700000000-0", "whimbrel-probe-mine"] {
        fs::write(guests.join(name), "").unwrap();
    }
    let (code, all) = findings(&lab, guest.name(), &["--migrate-uri", &uri]);
    assert_eq!((code, verdicts(&all, "storage.shared")), (Some(0), vec!["pass".to_owned()]), "{all:?}");
    assert_eq!(verdicts(&all, "storage.missing"), ["pass"]);
    assert_eq!(verdicts(&all, "storage.size"), ["pass"]);
    assert!(!guests.join("whimbrel-probe-1700000000-0").exists());
    fs::remove_file(guests.join("whimbrel-probe-mine")).unwrap();
    assert_nothing_left(&lab, &[&guests, &other]);

    // libvirt guesses by the file system, and refuses; overruled after the proof, it moves the guest.
    let doubted = run(&lab, guest.name(), &["migrate"], &["--migrate-uri", &uri]);
    assert_eq!(doubted.0, Some(3), "{}", doubted.1);
    let moved = run(&lab, guest.name(), &["migrate"], &["--unsafe", "--migrate-uri", &uri]);
    assert_eq!(moved.0, Some(0), "{}", moved.1);
    assert!(lab.beta().domain_state(guest.name()).unwrap().unwrap().starts_with("running"));
    assert_nothing_left(&lab, &[&guests, &other]);
    lab.remove().unwrap();
}

#[test]
#[ignore = "needs root and libvirt; run with cargo xtask test"]
fn rules_about_cpus_and_machines_agree_with_libvirts_own_answers() {
    let lab = Lab::build(&LabOptions::default()).unwrap();
    let mut refused = 0;
    let cpus = [
        ("qemu64", ""),
        ("Nehalem", ""),
        ("Skylake-Client", ""),
        ("EPYC-Rome", ""),
        ("Icelake-Server", ""),
        ("qemu64", "<feature policy='require' name='avx512f'/>"),
        ("qemu64", "<feature policy='require' name='x2apic'/>"),
    ];
    for (number, (model, features)) in cpus.into_iter().enumerate() {
        let machine = if number % 2 == 0 { "pc" } else { "q35" };
        let cpu = format!(
            "<cpu mode='custom' match='exact'><model fallback='forbid'>{model}</model>{features}</cpu>"
        );
        let name = format!("cpu-{number}");
        let xml = format!(
            "<domain type='qemu'><name>{name}</name><memory unit='MiB'>64</memory><os><type arch='x86_64' \
             machine='{machine}'>hvm</type></os>{cpu}</domain>"
        );
        let file = lab.folder().join("cpu.xml");
        fs::write(&file, xml).unwrap();
        lab.alpha().virsh(&["define", file.to_str().unwrap()]).unwrap();
        fs::write(&file, &cpu).unwrap();
        let words = ["hypervisor-cpu-compare", "--virttype", "qemu", "--machine", machine];
        let told = lab.beta().virsh_command(&words).arg(&file).output().unwrap();
        let told = String::from_utf8(told.stdout).unwrap();
        let is_refused = told.contains("incompatible");
        let (_, all) = findings(&lab, &name, &["--offline"]);
        // The definition of a guest that is off can be moved: it cannot be started there.
        let expected = if is_refused { "warn" } else { "pass" };
        assert_eq!(verdicts(&all, "cpu.comparison"), [expected], "{model} {features}: {told}");
        assert_eq!(verdicts(&all, "machine.unknown"), ["pass"]);
        if !is_refused {
            assert_eq!(verdicts(&all, "cpu.model"), ["pass"], "{model}");
            assert_eq!(verdicts(&all, "cpu.features"), ["pass"], "{model} {features}");
        }
        refused += usize::from(is_refused);
    }
    assert!((1..cpus.len()).contains(&refused), "both answers came: {refused}");
    // Every machine type that libvirt has is among the facts: one that is missing there would be missed.
    let told = run(&lab, "cpu-0", &["facts", "collect"], &["--offline"]).1;
    let facts: Value = serde_json::from_str(&told).unwrap_or_else(|error| panic!("{error}: {told}"));
    let listed = facts["destination"]["machines"].as_array().unwrap().iter();
    let listed: BTreeSet<&str> = listed.map(|machine| machine["name"].as_str().unwrap()).collect();
    let told = lab.beta().virsh(&["capabilities"]).unwrap();
    let expected = told.split("<machine ").skip(1).map(|rest| rest.split(['>', '<']).nth(1).unwrap());
    assert_eq!(listed, expected.collect());
    assert!(listed.contains("q35") && listed.len() > 20, "{listed:?}");
    lab.remove().unwrap();
}
