//! What each of the lab's hosts has for itself: its own network devices, a bridge for guests, and storage of its own.

#![cfg(test)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use whimbrel_lab::roots::Root;
use whimbrel_lab::testing::{self, LONG};
use whimbrel_lab::{GUEST_BRIDGE, GuestDisk, GuestSpec, Host, ImageFormat, Lab, LabOptions, STORAGE};

fn mounts() -> usize {
    fs::read_to_string("/proc/self/mounts").unwrap().lines().count()
}

fn words(text: &str) -> BTreeSet<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// Names of the network devices in a host's sysfs.
fn links(host: &Host) -> BTreeSet<String> {
    words(&host.run("ls", &["/sys/class/net"]).unwrap())
}

/// What `virsh iface-list` names.
fn interfaces(host: &Host) -> BTreeSet<String> {
    let text = host.virsh(&["iface-list", "--all"]).unwrap();
    text.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

#[test]
#[ignore = "needs root and libvirt; run with cargo xtask test"]
fn each_host_sees_its_own_links_and_its_own_storage() {
    let before = mounts();
    let lab = Lab::build(&LabOptions::default()).unwrap();
    assert_eq!(mounts(), before, "the machine has got no mount");
    lab.beta().run("ip", &["link", "add", "name", "br7", "type", "bridge"]).unwrap();
    let common = ["lo", "eth0", "eth1", GUEST_BRIDGE];
    let common: BTreeSet<String> = common.into_iter().map(str::to_owned).collect();
    assert_eq!(links(lab.alpha()), common);
    assert!(links(lab.beta()).contains("br7"));
    // libvirt sees them too, each kind through the driver that lists it.
    assert!(interfaces(lab.alpha()).contains(GUEST_BRIDGE) && interfaces(lab.beta()).contains("br7"));
    let devices = lab.alpha().virsh(&["nodedev-list", "--cap", "net"]).unwrap();
    assert!(devices.contains("eth0") && !devices.contains("br7"), "{devices}");

    // Control groups are still where daemons look for them.
    let groups = |path: &str| fs::read_dir(path).map_or(0, Iterator::count);
    let there = lab.alpha().run("ls", &["/sys/fs/cgroup"]).unwrap();
    assert_eq!(words(&there).len(), groups("/sys/fs/cgroup"));

    // The same path is another file on each host.
    let raw = lab.alpha().create_image("a.img", ImageFormat::Raw, 8, 1).unwrap();
    let qcow2 = lab.alpha().create_image("a.qcow2", ImageFormat::Qcow2, 8, 1).unwrap();
    assert!(raw.starts_with(STORAGE) && lab.alpha().has_file(&raw) && !lab.beta().has_file(&raw));
    let digest = lab.alpha().file_digest(&raw).unwrap();
    assert_eq!(lab.alpha().disk_digest(&qcow2, ImageFormat::Qcow2).unwrap(), digest);
    assert_ne!(lab.alpha().file_digest(&qcow2).unwrap(), digest);
    lab.beta().create_image("a.img", ImageFormat::Raw, 8, 2).unwrap();
    assert_ne!(lab.beta().file_digest(&raw).unwrap(), digest);
    for host in [lab.alpha(), lab.beta()] {
        assert_eq!(host.virsh(&["pool-list", "--all", "--name"]).unwrap().trim(), "");
        host.create_pool().unwrap();
        assert!(host.virsh(&["pool-list", "--name"]).unwrap().contains("images"));
    }
    let listed = lab.alpha().virsh(&["vol-list", "images"]).unwrap();
    assert!(listed.contains("a.img") && listed.contains("a.qcow2"), "{listed}");
    assert!(!Path::new(STORAGE).join("a.img").exists(), "the machine's own folder is untouched");

    // A guest has its cards on the bridge, and its disks.
    let spec = GuestSpec {
        memory_mib: 128,
        region_mib: 32,
        bridges: vec![GUEST_BRIDGE.to_owned(); 2],
        disks: vec![GuestDisk::new(raw, ImageFormat::Raw), GuestDisk::new(qcow2, ImageFormat::Qcow2)],
        ..GuestSpec::default()
    };
    let guest = lab.define_guest_on(lab.alpha(), &spec).unwrap();
    assert_eq!(lab.alpha().domain_state("guest").unwrap().as_deref(), Some("shut off (unknown)"));
    lab.alpha().virsh(&["start", "guest"]).unwrap();
    guest.wait_until(LONG, |now| now.seq > 0).unwrap();
    let ports = lab.alpha().run("ls", &[&format!("/sys/class/net/{GUEST_BRIDGE}/brif")]).unwrap();
    assert_eq!(words(&ports).len(), 3, "{ports}");
    assert_eq!(lab.alpha().virsh(&["domblklist", "guest"]).unwrap().matches(STORAGE).count(), 2);
    lab.remove().unwrap();
    assert_eq!(mounts(), before);
}

/// The machine's own system serves as the root: what is checked is how a host is put into it. Roots of other generations
/// are in `generations.rs`.
#[test]
#[ignore = "needs root and libvirt; run with cargo xtask test"]
fn a_host_with_a_root_of_its_own_sees_nothing_else_and_migrates() {
    let before = mounts();
    let options = LabOptions { beta_root: Some(Root::folder("/")), ..LabOptions::default() };
    let lab = Lab::build(&options).unwrap();
    assert_eq!(mounts(), before, "the machine has got no mount");
    let (alpha, beta) = (lab.alpha(), lab.beta());
    assert_eq!(alpha.versions().unwrap(), beta.versions().unwrap(), "it is the same system");
    assert!(alpha.root().is_none() && beta.root().is_some());

    // Its devices are its own, and of the machine's files it sees the lab's folder only.
    assert_eq!(links(beta), links(alpha));
    let seen = beta.run("ls", &["/run"]).unwrap();
    assert!(words(&seen).is_subset(&words("libvirt mount whimbrel-lab")), "{seen}");
    let labs = beta.run("ls", &["/run/whimbrel-lab"]).unwrap();
    assert_eq!(labs.trim(), lab.folder().file_name().unwrap().to_string_lossy());
    let mounted = beta.run("cat", &["/proc/self/mounts"]).unwrap();
    let system = mounted.lines().find(|line| line.split(' ').nth(1) == Some("/")).unwrap();
    assert!(system.split(' ').nth(3).unwrap().split(',').any(|option| option == "ro"), "{system}");
    assert!(beta.run("touch", &["/etc/of-the-lab"]).is_err() && !Path::new("/etc/of-the-lab").exists());
    assert!(beta.run("touch", &["/tmp/of-the-lab"]).is_ok() && !Path::new("/tmp/of-the-lab").exists());

    let guest =
        lab.start_guest(&GuestSpec { memory_mib: 128, region_mib: 32, ..GuestSpec::default() }).unwrap();
    for ends in [(alpha, beta), (beta, alpha)] {
        let earlier = guest.mark();
        let (code, text) = testing::run(&lab, guest.name(), ends, &["migrate"], &[]);
        assert_eq!(code, Some(0), "{text}");
        guest.wait_until(LONG, |now| now.handover.is_some() && now.seq > earlier.seq).unwrap();
        let seen = guest.wait_for_scan_after(&guest.snapshot(), LONG).unwrap();
        assert_eq!((seen.bad, seen.lost, seen.torn, seen.two_copies_ran()), (0, 0, 0, false), "{seen:?}");
    }
    lab.remove().unwrap();
    assert_eq!(mounts(), before);
}
