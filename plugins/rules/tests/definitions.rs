//! Definitions for the destination, in libvirt's XML: whatever the guest would see change is refused, and whatever only
//! the host uses may change.

#![allow(
    clippy::allow_attributes,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a failing helper fails the test"
)]

use whimbrel_facts::xml::{domain, domain_attributes, target_attributes};
use whimbrel_facts::{Activation, Facts, Finding, Host, Request, Verdict};
use whimbrel_rules::PACKS;

const GUEST: &str = "<domain type='kvm' id='7'><name>web</name><uuid>0b6cd9e3-54a1-4c0e-8e55-19d5a1a3b0c7</uuid>
  <memory unit='KiB'>2097152</memory><currentMemory unit='KiB'>2097152</currentMemory><vcpu placement='static'>4</vcpu>
  <memoryBacking><hugepages/></memoryBacking>
  <os><type arch='x86_64' machine='pc-q35-9.2'>hvm</type><loader readonly='yes' type='pflash'>/usr/share/OVMF/code.fd</loader></os>
  <features><acpi/><hyperv mode='custom'><relaxed state='on'/></hyperv></features>
  <cpu mode='custom' match='exact'><model>EPYC</model><topology sockets='1' cores='4' threads='1'/>
    <feature policy='require' name='aes'/></cpu>
  <clock offset='utc'><timer name='rtc' tickpolicy='catchup'/></clock>
  <devices><emulator>/usr/bin/qemu-system-x86_64</emulator>
    <disk type='file' device='disk'><driver name='qemu' type='qcow2' cache='none'/><source file='/srv/web.qcow2'/>
      <target dev='vda' bus='virtio'/><address type='pci' domain='0' bus='3' slot='0' function='0'/></disk>
    <disk type='file' device='cdrom'><source file='/srv/a.iso' startupPolicy='requisite'/><target dev='sda' bus='sata'/></disk>
    <controller type='usb' index='0' model='qemu-xhci'/><controller type='scsi' index='0' model='virtio-scsi'/>
    <interface type='network'><mac address='52:54:00:0a:0b:0c'/><source network='default'/><model type='virtio'/><mtu size='1500'/>
      <address type='pci' domain='0' bus='1' slot='0' function='0'/></interface>
    <serial type='pty'><target type='isa-serial' port='0'/></serial>
    <console type='pty'><target type='serial' port='0'/></console>
    <graphics type='vnc' port='5901' listen='192.0.2.1'/><video><model type='vga' vram='16384'/></video>
    <memballoon model='virtio'/><watchdog model='i6300esb' action='reset'/>
  </devices></domain>";

fn facts(target: &str, change: impl Fn(&mut Facts)) -> Facts {
    let mut attributes = domain_attributes(GUEST).unwrap();
    attributes.extend(target_attributes(GUEST, target).unwrap());
    attributes.sort_by(|one, other| one.path.cmp(&other.path));
    let mut facts = Facts {
        request: Some(Request {
            live: true,
            destination_xml: true,
            persistent_xml: true,
            ..Request::default()
        }),
        guest: Some(domain(GUEST).unwrap()),
        target: Some(domain(target).unwrap()),
        source: Some(Host::default()),
        destination: Some(Host::default()),
        attributes,
        ..Facts::default()
    };
    change(&mut facts);
    facts
}

fn ask(facts: &Facts, kind: &str) -> Vec<Finding> {
    let rules = PACKS.iter().flat_map(|pack| pack.rules().map(move |rule| (pack, rule)));
    let asked = rules.filter(|(_, rule)| rule.code.starts_with(kind));
    asked
        .flat_map(|(pack, rule)| {
            pack.check(facts, &[Activation { code: rule.code.into(), settings: String::new() }])
        })
        .filter(|finding| finding.verdict != Verdict::Pass)
        .collect()
}

fn retargeted(from: &str, to: &str) -> Vec<Finding> {
    assert!(GUEST.contains(from), "{from}");
    ask(&facts(&GUEST.replacen(from, to, 1), |_| ()), "retarget.")
}

#[test]
#[allow(clippy::too_many_lines, reason = "a table")]
fn what_the_guest_sees_must_not_change() {
    for (from, to, code, what) in [
        (
            "bus='1' slot",
            "bus='2' slot",
            "retarget.definition",
            "devices/interface[52:54:00:0a:0b:0c]/address/@bus",
        ),
        ("bus='3' slot", "bus='9' slot", "retarget.definition", "devices/disk[vda]/address/@bus"),
        ("model='qemu-xhci'", "model='nec-xhci'", "retarget.definition", "devices/controller[usb,0]/@model"),
        (
            "<controller type='scsi' index='0' model='virtio-scsi'/>",
            "",
            "retarget.definition",
            "devices/controller[scsi,0]",
        ),
        (
            "<memballoon",
            "<video><model type='qxl'/></video><memballoon",
            "retarget.definition",
            "devices/video[2]",
        ),
        ("type='vga'", "type='qxl'", "retarget.definition", "devices/video/model/@type"),
        (
            "memballoon model='virtio'",
            "memballoon model='none'",
            "retarget.definition",
            "devices/memballoon/@model",
        ),
        (
            "<memballoon",
            "<rng model='virtio'><backend model='random'>/dev/urandom</backend></rng><memballoon",
            "retarget.definition",
            "devices/rng",
        ),
        ("<watchdog model='i6300esb' action='reset'/>", "", "retarget.definition", "devices/watchdog"),
        ("mtu size='1500'", "mtu size='9000'", "retarget.definition", "mtu/@size"),
        ("<mtu size='1500'/>", "", "retarget.definition", "devices/interface[52:54:00:0a:0b:0c]/mtu"),
        (
            "<serial type='pty'><target type='isa-serial' port='0'/></serial>",
            "",
            "retarget.definition",
            "devices/serial",
        ),
        (
            "name='aes'/>",
            "name='aes'/><feature policy='disable' name='avx'/>",
            "retarget.definition",
            "cpu/feature[avx]",
        ),
        ("sockets='1' cores='4'", "sockets='4' cores='1'", "retarget.definition", "cpu/topology/@cores"),
        ("</cpu>", "<maxphysaddr mode='emulate' bits='42'/></cpu>", "retarget.definition", "cpu/maxphysaddr"),
        (
            "<timer name='rtc'",
            "<timer name='hpet' present='no'/><timer name='rtc'",
            "retarget.definition",
            "clock/timer[hpet]",
        ),
        (
            "<loader readonly='yes' type='pflash'>/usr/share/OVMF/code.fd</loader>",
            "",
            "retarget.definition",
            "os/loader",
        ),
        ("<acpi/>", "<acpi/><smm state='on'/>", "retarget.definition", "features/smm"),
        (
            "<relaxed state='on'/>",
            "<relaxed state='off'/>",
            "retarget.definition",
            "features/hyperv/relaxed/@state",
        ),
        ("type='kvm'", "type='qemu'", "retarget.definition", "@type"),
        ("type='qcow2'", "type='raw'", "retarget.disks", "vda"),
        ("0b6cd9e3", "0b6cd9e4", "retarget.identity", "0b6cd9e4"),
        ("bus='virtio'", "bus='scsi'", "retarget.disks", "vda"),
    ] {
        let found = retargeted(from, to);
        let is_it =
            |one: &&Finding| one.verdict == Verdict::Fail && one.code == code && one.message.contains(what);
        assert!(found.iter().any(|one| is_it(&one)), "{from} -> {to}: {found:#?}");
    }
}

#[test]
fn what_the_host_uses_may_change() {
    for (from, to) in [
        ("0b6cd9e3", "0B6CD9E3"),
        ("52:54:00:0a:0b:0c", "52:54:00:0A:0B:0C"),
        ("<memory unit='KiB'>2097152<", "<memory unit='gib'>2<"),
        ("<currentMemory unit='KiB'>2097152<", "<currentMemory unit='KiB'>1048576<"),
        ("/srv/web.qcow2", "/mnt/web.qcow2"),
        ("<source file='/srv/a.iso' startupPolicy='requisite'/>", ""),
        ("<interface type='network'>", "<interface type='bridge'>"),
        ("<source network='default'/>", "<source network='other' portgroup='x'/>"),
        ("<console type='pty'><target type='serial' port='0'/></console>", ""),
        ("<memoryBacking><hugepages/></memoryBacking>", ""),
        ("placement='static'", "placement='static' cpuset='0-3'"),
        ("port='5901' listen='192.0.2.1'", "port='-1' listen='0.0.0.0'"),
        ("cache='none'", "cache='writeback' io='threads'"),
        ("action='reset'", "action='poweroff'"),
        (" id='7'", ""),
    ] {
        let found = retargeted(from, to);
        assert!(found.is_empty(), "{from} -> {to}: {found:#?}");
    }
}

/// A path that is in no table, and a value that libvirt chooses, are neither harmless nor forbidden.
#[test]
fn what_is_not_known_to_be_seen_is_unknown() {
    for (from, to) in [
        ("<memballoon", "<novelty/><memballoon"),
        ("/usr/share/OVMF/code.fd", "/usr/share/edk2/code.fd"),
        (" vram='16384'", ""),
        ("<address type='pci' domain='0' bus='1' slot='0' function='0'/>", ""),
        ("<clock offset='utc'>", "<clock offset='localtime'>"),
    ] {
        let found = retargeted(from, to);
        assert!(
            found.iter().all(|one| one.verdict == Verdict::Unknown && one.code == "retarget.definition")
                && !found.is_empty(),
            "{from} -> {to}: {found:#?}"
        );
    }
}

/// Subjects lead to the difference among the facts.
#[test]
fn a_difference_is_pointed_to() {
    let facts = facts(&GUEST.replace("vga", "qxl"), |_| ());
    let found = ask(&facts, "retarget.");
    let at: usize = found[0].subject.strip_prefix("/attributes/").unwrap().parse().unwrap();
    assert_eq!(facts.attributes[at].path, "definitions/source/devices/video/model/@type");
}

/// Pools, media, huge pages and devices are those of the definition that the destination will have.
#[test]
fn the_destinations_definition_decides_what_the_destination_needs() {
    let pages = |to: &str| {
        let target = GUEST.replace("<hugepages/>", to);
        let facts = facts(&target, |facts| {
            facts.destination.as_mut().unwrap().huge_pages = Some(Vec::new());
        });
        ask(&facts, "destination.huge-pages").len()
    };
    assert_eq!((pages("<hugepages><page size='2' unit='MiB'/></hugepages>"), pages("")), (1, 0));
    let pool = |name: &str| {
        let source = "<source file='/srv/web.qcow2'/>";
        let target = GUEST.replace("disk type='file' device='disk'", "disk type='volume' device='disk'");
        let target = target.replace(source, &format!("<source pool='{name}' volume='web'/>"));
        let facts = facts(&target, |facts| {
            let there = whimbrel_facts::Pool { name: "fast".into(), active: true, ..Default::default() };
            facts.destination.as_mut().unwrap().pools = Some(vec![there]);
        });
        ask(&facts, "storage.pool-missing").len()
    };
    assert_eq!((pool("fast"), pool("slow")), (0, 1));
}
