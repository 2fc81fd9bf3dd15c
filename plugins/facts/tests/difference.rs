//! What differs between two definitions is listed by path, and spellings that libvirt reads alike are not.

#![allow(
    clippy::allow_attributes,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a failing helper fails the test"
)]

use whimbrel_facts::xml::{REDACTED, differences, target_attributes};
use whimbrel_facts::{Attribute, Scalar};

const GUEST: &str = "<domain type='kvm' id='3'><uuid>6f7a1c1e-3b0c-4f63-9a8e-1d2c3b4a5f60</uuid>
  <memory unit='KiB'>4194304</memory><vcpu>2</vcpu>
  <cpu mode='custom'><model>EPYC</model><topology sockets='2' cores='1' threads='1'/><feature name='aes'/></cpu>
  <devices>
    <disk device='disk'><driver name='qemu' cache='none'/><source file='/srv/a' startupPolicy='optional'/>
      <target dev='vda' bus='virtio'/></disk>
    <interface type='bridge'><mac address='52:54:00:00:00:0a'/><source bridge='br0'/>
      <address type='pci' domain='0x0000' bus='0x01' slot='0x00' function='0x0'/></interface>
    <serial type='pty'><target port='0'/></serial><console type='pty'><target type='serial' port='0'/></console>
    <graphics type='vnc' passwd='one'/><video><model type='vga'/></video>
  </devices></domain>";

/// Paths that differ, each as `source PATH VALUE` or `target PATH VALUE`.
fn found(source: &str, target: &str) -> Vec<String> {
    let all = differences(source, target).unwrap();
    assert!(all.is_sorted_by_key(|one| one.path.clone()));
    assert_eq!(all[0], Attribute { path: "definitions/compared".to_owned(), value: Scalar::Boolean(true) });
    let shown = |one: &Attribute| {
        let path = one.path.strip_prefix("definitions/").unwrap();
        let (side, path) = path.split_once('/').unwrap_or((path, ""));
        format!("{side} {path} {}", one.value).trim().to_owned()
    };
    all[1..].iter().map(shown).collect()
}

fn changed(from: &str, to: &str) -> Vec<String> {
    assert!(GUEST.contains(from), "{from}");
    found(GUEST, &GUEST.replacen(from, to, 1))
}

#[test]
fn spellings_that_libvirt_reads_alike_are_no_difference() {
    for (from, to) in [
        ("id='3'", "id='3' "),
        ("6f7a1c1e", "6F7A1C1E"),
        ("<memory unit='KiB'>4194304<", "<memory unit='gib'>4<"),
        ("<memory unit='KiB'>4194304<", "<memory>4194304<"),
        ("00:0a", "00:0A"),
        ("domain='0x0000' bus='0x01'", "bus='1'"),
        ("<disk device='disk'>", "<disk type='file'>"),
        ("name='qemu' cache", "cache"),
        ("<feature name", "<feature policy='require' name"),
        ("threads='1'/>", "threads='1' dies='1'/>"),
        ("<vcpu>", "<vcpu placement='static'>"),
        ("<console type='pty'><target type='serial' port='0'/></console>", ""),
        (
            "<memory unit='KiB'>4194304</memory><vcpu>2</vcpu>",
            "<vcpu>2</vcpu><memory unit='KiB'>4194304</memory>",
        ),
    ] {
        assert_eq!(changed(from, to), [""; 0], "{from} -> {to}");
    }
}

#[test]
fn each_path_that_differs_is_listed_with_both_values() {
    assert_eq!(
        changed("bus='0x01'", "bus='0x02'"),
        [
            "source devices/interface[52:54:00:00:00:0a]/address/@bus 0x01",
            "target devices/interface[52:54:00:00:00:0a]/address/@bus 0x02"
        ]
    );
    assert_eq!(changed("name='aes'", "name='avx'"), ["source cpu/feature[aes]", "target cpu/feature[avx]"]);
    // What is in an element that only one of them has is no further difference.
    assert_eq!(changed("<video><model type='vga'/></video>", ""), ["source devices/video"]);
    let two = "<video><model type='vga'/></video><video><model type='qxl'/></video>";
    assert_eq!(changed("<video><model type='vga'/></video>", two), ["target devices/video[2]"]);
    assert_eq!(changed("id='3'", ""), ["source @id 3"]);
    let qemu = " xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'><qemu:commandline/>";
    assert_eq!(changed(" id='3'>", &format!(" id='3'{qemu}")), ["target qemu:commandline"]);
}

#[test]
fn secrets_are_compared_and_not_shown() {
    let shown = changed("passwd='one'", "passwd='two'");
    let path = "devices/graphics/@passwd";
    assert_eq!(shown, [format!("source {path} {REDACTED}"), format!("target {path} {REDACTED}")]);
}

#[test]
fn many_and_deep_differences_are_bounded_and_said_to_be() {
    let many = (0..200).map(|at| format!("<a{at}/>")).collect::<Vec<_>>().concat();
    let shown = found("<domain/>", &format!("<domain>{many}</domain>"));
    assert_eq!((shown.len(), shown[0].as_str()), (101, "left-out  100"));
    let name = "n".repeat(200);
    let deep = format!("{}{}", format!("<{name}>").repeat(100), format!("</{name}>").repeat(100));
    let leaves = "<a/>".repeat(100_000);
    let text = format!("<domain>{leaves}{deep}</domain>");
    assert!(found("<domain/>", &text).iter().any(|one| one.starts_with("left-out")));
    assert!(differences("<domain/>", "<network/>").is_err() && differences("", "<domain/>").is_err());
}

#[test]
fn attributes_of_the_target_are_told_from_those_of_the_guest() {
    let target = GUEST.replace("<source file='/srv/a' startupPolicy='optional'/>", "<source file='/srv/a'/>");
    let paths = |xml: &str| -> Vec<String> {
        target_attributes(GUEST, xml).unwrap().into_iter().map(|one| one.path).collect()
    };
    assert!(paths(GUEST).contains(&"target/xml/devices/disk/0/source/@startupPolicy".to_owned()));
    assert!(!paths(&target).contains(&"target/xml/devices/disk/0/source/@startupPolicy".to_owned()));
    assert!(paths(&target).iter().all(|path| !path.starts_with("guest/")));
}
