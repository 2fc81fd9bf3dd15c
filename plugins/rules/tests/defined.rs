//! Rules on definitions as libvirt writes them: each finding by its rule and subject, and what must pass.

mod common;

use common::defined::{define, text};
use common::{DEFINED, codes, sound};
use whimbrel_facts::xml;
use whimbrel_facts::{Facts, Finding, HugePages, Verdict};
use whimbrel_rules::{PACKS, Pack, Rule};

fn findings(facts: &Facts) -> Vec<Finding> {
    let ask = |rule: &'static Rule, pack: &Pack| {
        pack.check(facts, &[whimbrel_facts::Activation { code: rule.code.into(), settings: String::new() }])
    };
    PACKS.iter().flat_map(|pack| pack.rules().flat_map(|rule| ask(rule, pack)).collect::<Vec<_>>()).collect()
}

fn of_definition(top: &str, devices: &str) -> Facts {
    let mut facts = sound();
    define(&mut facts, top, devices);
    facts
}

#[test]
fn each_definition_has_its_finding() {
    let mut missing = Vec::new();
    for (code, verdict, subject, change) in DEFINED {
        let mut facts = sound();
        change(&mut facts);
        let found = findings(&facts);
        let is_it = |one: &Finding| one.code == *code && one.verdict == *verdict && one.subject == *subject;
        if !found.iter().any(is_it) {
            missing.push(format!("{code} {verdict:?} {subject}: {:?}", codes(&found)));
        }
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

/// What a guest of virt-install or a management program has, and what is no obstacle.
#[test]
fn plain_definitions_have_no_finding() {
    let plain = [
        ("", ""),
        ("", "<sound model='ich9'/><audio id='1' type='none'/><input type='tablet' bus='usb'/>"),
        ("", "<video><model type='virtio' heads='1' primary='yes'/></video><memballoon model='virtio'/>"),
        (
            "",
            "<graphics type='vnc' port='5901' autoport='yes' listen='0.0.0.0'><listen type='address' address='0.0.0.0'/></graphics>",
        ),
        (
            "",
            "<graphics type='vnc' port='5900' autoport='yes' listen='127.0.0.1'><clipboard copypaste='yes'/></graphics>",
        ),
        (
            "",
            "<graphics type='vnc' autoport='yes'><listen type='network' address='192.0.2.1' network='default'/></graphics>",
        ),
        (
            "",
            "<rng model='virtio'><rate bytes='1024' period='1000'/><backend model='random'>/dev/urandom</backend></rng>",
        ),
        ("", "<vsock model='virtio'><cid auto='yes' address='3'/></vsock>"),
        ("", "<iommu model='intel'/><panic model='isa'/><watchdog model='itco' action='reset'/>"),
        (
            "",
            "<channel type='unix'><source mode='bind' path='/run/libvirt/qemu/channel/1-web/org.qemu.guest_agent.0'/>\
              <target type='virtio' name='org.qemu.guest_agent.0' state='connected'/><alias name='channel0'/>\
              <address type='virtio-serial' controller='0' bus='0' port='1'/></channel>",
        ),
        (
            "",
            "<serial type='tcp'><source mode='connect' host='127.0.0.1' service='4000'/><protocol type='raw'/></serial>",
        ),
        (
            "",
            "<serial type='pty' tty='/dev/pts/1'><source path='/dev/pts/1'/><target type='isa-serial' port='0'>\
              <model name='isa-serial'/></target></serial><console type='pty' tty='/dev/pts/1'/>",
        ),
        (
            "<seclabel type='dynamic' model='selinux' relabel='yes'><label>l</label><imagelabel>i</imagelabel></seclabel>",
            "",
        ),
        ("<seclabel type='static' model='dac' relabel='yes'><label>+0:+0</label></seclabel>", ""),
        ("<resource><partition>/machine</partition></resource><pm><suspend-to-mem enabled='no'/></pm>", ""),
        (
            "<features><acpi/><apic/><vmport state='off'/><hyperv mode='custom'><relaxed state='on'/></hyperv></features>",
            "",
        ),
        ("<memoryBacking><source type='memfd'/><access mode='shared'/></memoryBacking>", ""),
        ("<numatune><memory mode='interleave' nodeset='0'/></numatune><vcpu cpuset='0-7,^3'>2</vcpu>", ""),
        (
            "<cputune><shares>2048</shares><vcpupin vcpu='0' cpuset='1'/></cputune><perf><event name='cmt' enabled='yes'/></perf>",
            "",
        ),
        (
            "<os><type arch='x86_64' machine='pc-q35-7.2'>hvm</type><loader readonly='yes' type='pflash'>\
          /usr/share/OVMF/OVMF_CODE.fd</loader><nvram template='/usr/share/OVMF/VARS.fd'>\
          /var/lib/libvirt/qemu/nvram/web.fd</nvram><boot dev='hd'/></os>",
            "",
        ),
    ];
    for (top, devices) in plain {
        let found = findings(&of_definition(top, devices));
        assert!(codes(&found).is_empty(), "{top}{devices}: {:?}", codes(&found));
    }
}

#[test]
fn versions_that_can_move_a_device_pass() {
    let mut facts = of_definition("", "<channel type='qemu-vdagent'><target type='virtio'/></channel>");
    for host in [&mut facts.source, &mut facts.destination] {
        host.as_mut().unwrap().hypervisor_version = 10_001_000;
    }
    assert!(codes(&findings(&facts)).is_empty(), "{:?}", codes(&findings(&facts)));
}

/// A definition that is moved alone has no state.
#[test]
fn what_qemu_cannot_write_does_not_matter_to_a_guest_that_is_off() {
    let mut facts = of_definition("", "<sound model='virtio'/><crypto model='virtio'/>");
    facts.request.as_mut().unwrap().offline = true;
    assert!(
        !findings(&facts).iter().any(|one| one.code == "device.unmigratable" && one.verdict != Verdict::Pass)
    );
}

/// Older versions of libvirt report fewer enumerations.
#[test]
fn an_enumeration_that_is_not_reported_says_nothing() {
    let of = |supports: &[&str]| {
        let mut facts = of_definition("", "<graphics type='spice' autoport='yes'/><sound model='ich9'/>");
        facts.destination.as_mut().unwrap().supports =
            Some(supports.iter().map(|one| (*one).to_owned()).collect());
        let found = findings(&facts).into_iter().filter(|one| one.code == "device.support");
        found.map(|one| (one.verdict, one.subject)).collect::<Vec<_>>()
    };
    let passes = [(Verdict::Pass, String::new())];
    assert_eq!(of(&["disk", "graphics", "hostdev", "video"]), passes);
    assert_eq!(of(&[]), passes, "the host reports no device at all");
    let subject = "/guest/graphics/0/kind".to_owned();
    assert_eq!(of(&["disk", "video"]), [(Verdict::Fail, subject.clone())], "it has no display");
    assert_eq!(of(&["disk", "graphics", "graphics.type.vnc"]), [(Verdict::Fail, subject)]);
    let subject = "/guest/xml/devices/sound/0/@model".to_owned();
    assert_eq!(of(&["disk", "graphics", "sound.model.virtio"]), [(Verdict::Fail, subject)]);
}

#[test]
fn huge_pages_of_one_node_are_not_wanted_for_all() {
    let top = "<cpu mode='custom'><model>EPYC</model><numa><cell id='0' cpus='0' memory='512' unit='MiB'/>\
               <cell id='1' cpus='1' memory='512' unit='MiB'/></numa></cpu>\
               <memoryBacking><hugepages><page size='2048' unit='KiB' nodeset='0'/></hugepages></memoryBacking>";
    let mut facts = of_definition(top, "");
    facts.destination.as_mut().unwrap().huge_pages = Some(vec![HugePages { size_kib: 2048, free: 256 }]);
    assert!(codes(&findings(&facts)).is_empty(), "{:?}", codes(&findings(&facts)));
}

/// The definition for the destination decides what the destination must have.
#[test]
fn the_definition_for_the_destination_replaces_paths_of_the_source() {
    let of = |listen: &str, kernel: &str| {
        let os = format!("<os><type arch='x86_64' machine='pc-q35-7.2'>hvm</type>{kernel}</os>");
        (os, format!("<graphics type='vnc' autoport='yes' listen='{listen}'/>"))
    };
    let (top, devices) = of("192.0.2.1", "<kernel>/boot/k</kernel>");
    let mut facts = of_definition(&top, &devices);
    let source = text(&top, &devices);
    let bad = |facts: &Facts| {
        let found = findings(facts).into_iter().filter(|one| one.verdict != Verdict::Pass);
        found
            .map(|one| one.code)
            .filter(|code| code == "destination.paths" || code == "access.listen")
            .count()
    };
    assert_eq!(bad(&facts), 2);
    let (top, devices) = of("192.0.2.9", "");
    let target = text(&top, &devices);
    facts.target = Some(xml::domain(&target).unwrap());
    facts.attributes.extend(xml::target_attributes(&source, &target).unwrap());
    assert_eq!(bad(&facts), 0);
    // An attribute of the source's definition is no answer about another one.
    facts.attributes.retain(|one| !one.path.starts_with("target/"));
    let unknown = findings(&facts).into_iter().filter(|one| one.verdict == Verdict::Unknown);
    assert!(unknown.into_iter().any(|one| one.code == "destination.paths" && one.subject == "/target/xml"));
}

/// The table of the definition's paths names no rule that is not there.
#[test]
fn each_path_is_evaluated_by_a_rule_that_exists() {
    let known: Vec<&str> = PACKS.iter().flat_map(Pack::rules).map(|rule| rule.code).collect();
    let named = xml::coverage::rows().filter_map(|(path, treatment)| match treatment {
        xml::coverage::Treatment::Field(rule) | xml::coverage::Treatment::Attribute(rule) => {
            Some((path, rule))
        }
        xml::coverage::Treatment::Carried | xml::coverage::Treatment::Irrelevant(_) => None,
    });
    let missing: Vec<_> = named.filter(|(_, rule)| !known.contains(rule)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}
