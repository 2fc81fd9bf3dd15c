//! Each shipped rule on both sides of its edge: facts that pass, and the smallest change that does not.

mod common;

use common::{Change, DEFINED, EDGES, codes, sound};
use std::collections::BTreeSet;
use whimbrel_facts::{
    Activation, Attribute, Disk, Domain, Facts, Finding, Host, MemoryDevice, RunState, Scalar, StorageCopy,
    Verdict,
};
use whimbrel_rules::{PACKS, Rule};

fn rules() -> impl Iterator<Item = &'static Rule> {
    PACKS.iter().flat_map(whimbrel_rules::Pack::rules)
}

fn ask(facts: &Facts) -> Vec<Finding> {
    let activate = |rule: &Rule| Activation { code: rule.code.into(), settings: String::new() };
    let of = |pack: &whimbrel_rules::Pack| pack.check(facts, &pack.rules().map(activate).collect::<Vec<_>>());
    PACKS.iter().flat_map(of).collect()
}

#[test]
fn sound_facts_pass_every_rule() {
    let findings = ask(&sound());
    let others: Vec<_> = findings.iter().filter(|one| one.verdict != Verdict::Pass).collect();
    assert!(others.is_empty(), "{others:#?}");
}

#[test]
fn each_rule_has_an_edge_and_is_found_beyond_it() {
    let mut seen = BTreeSet::new();
    for (code, verdict, change) in EDGES {
        let mut facts = sound();
        (*change as Change)(&mut facts);
        let findings = ask(&facts);
        let found = findings.iter().filter(|one| one.code == *code && one.verdict == *verdict).count();
        assert!(found > 0, "`{code}` does not say {verdict:?}: {:?}", codes(&findings));
        seen.insert(*code);
    }
    seen.extend(DEFINED.iter().map(|(code, ..)| *code));
    let all: BTreeSet<&str> = rules().map(|rule| rule.code).collect();
    let untried: Vec<_> = all.difference(&seen).collect();
    assert!(untried.is_empty(), "rules without an edge: {untried:?}");
    assert!(all.len() >= 70, "{}", all.len());
}

/// Settings that libvirt itself treats as safe, or corrects when the guest is started, are no finding.
#[test]
fn what_is_harmless_passes() {
    let mut cached = sound();
    cached.guest.as_mut().unwrap().disks[0].cache = "writeback".into();
    let mut off = sound();
    let guest = off.guest.as_mut().unwrap();
    guest.state = RunState::Off;
    guest.memory_devices.push(MemoryDevice { model: "dimm".into(), ..MemoryDevice::default() });
    for (code, facts) in [("storage.cache", cached), ("device.memory-module", off)] {
        let verdicts: Vec<_> =
            ask(&facts).into_iter().filter(|one| one.code == code).map(|one| one.verdict).collect();
        assert_eq!(verdicts, [Verdict::Pass], "{code}");
    }
}

/// A disk that no second copy can write to needs no lock.
#[test]
fn a_lease_is_wanted_only_for_disks_that_both_hosts_write_to() {
    let without = |change: fn(&mut Facts)| {
        let mut facts = sound();
        facts.attributes[0].value = Scalar::Integer(0);
        change(&mut facts);
        let found: Vec<_> = ask(&facts).into_iter().filter(|one| one.code == "storage.lease").collect();
        assert_eq!(found.len(), 1, "{found:?}");
        found[0].verdict
    };
    let each = |facts: &mut Facts, change: fn(&mut Disk)| {
        facts.guest.as_mut().unwrap().disks.iter_mut().for_each(change);
    };
    assert_eq!(without(|_| {}), Verdict::Unknown);
    assert_eq!(without(|facts| facts.request.as_mut().unwrap().offline = true), Verdict::Pass);
    assert_eq!(without(|facts| facts.guest.as_mut().unwrap().disks.clear()), Verdict::Pass);
    let mut media = sound();
    media.attributes[0].value = Scalar::Integer(0);
    each(&mut media, |disk| disk.read_only = true);
    assert!(ask(&media).iter().any(|one| one.code == "storage.lease" && one.verdict == Verdict::Pass));
    // One writable disk is enough.
    assert_eq!(without(|facts| facts.guest.as_mut().unwrap().disks[0].read_only = true), Verdict::Unknown);
    let copied = without(|facts| facts.request.as_mut().unwrap().storage_copy = StorageCopy::Full);
    assert_eq!(copied, Verdict::Pass, "a copied disk is not shared");
}

/// An incomplete list proves no absence, and its entries exist.
#[test]
fn of_an_incomplete_list_of_links_only_what_was_seen_is_known() {
    let judged = |kind: &str, state: Option<&str>| {
        let mut facts = sound();
        facts.destination.as_mut().unwrap().links = None;
        let cards = &mut facts.guest.as_mut().unwrap().network_cards;
        cards[0].kind = kind.into();
        cards[0].source = "eth0.5".into();
        let path = "destination.seen-links.eth0.5".to_owned();
        facts.attributes.extend(state.map(|state| Attribute { path, value: state.into() }));
        let code = format!("network.{kind}");
        let found: Vec<_> = ask(&facts).into_iter().filter(|one| one.code == code).collect();
        assert_eq!(found.len(), 1, "{found:?}");
        found[0].verdict
    };
    for kind in ["bridge", "direct"] {
        assert_eq!(judged(kind, None), Verdict::Unknown);
        assert_eq!(judged(kind, Some("up")), Verdict::Pass);
        assert_eq!(judged(kind, Some("unknown")), Verdict::Pass);
    }
    assert_eq!(judged("direct", Some("down")), Verdict::Fail);
    assert_eq!(judged("bridge", Some("down")), Verdict::Warn);
}

#[test]
fn every_rule_explains_itself() {
    for rule in rules() {
        assert!(
            !rule.title.is_empty() && !rule.rationale.is_empty() && !rule.remediation.is_empty(),
            "{}",
            rule.code
        );
        assert!(rule.title.chars().count() < 100, "{}: the title is for a list", rule.code);
    }
}

#[test]
fn no_rule_depends_on_another() {
    for (_, _, change) in EDGES {
        let mut facts = sound();
        change(&mut facts);
        let together = ask(&facts);
        let mut alone = Vec::new();
        for pack in PACKS {
            for rule in pack.rules() {
                let activation = Activation { code: rule.code.into(), settings: String::new() };
                alone.extend(pack.check(&facts, &[activation]));
            }
        }
        assert_eq!(together, alone);
    }
}

/// Rules that need no definition of the guest: about its state, the hosts, and disks that the hosts reported.
const WITHOUT_A_DEFINITION: [&str; 28] = [
    "guest.not-running",
    "guest.io-error",
    "guest.crashed",
    "guest.left-by-migration",
    "guest.auto-destroy",
    "versions.postcopy-recovery",
    "versions.long-tls",
    "destination.is-source",
    "destination.has-guest",
    "architecture.differs",
    "libvirt.older",
    "destination.maintenance",
    "destination.live-migration",
    "destination.transport",
    "cpu.comparison",
    "destination.migrations",
    "storage.crossed",
    "storage.unsafe-flag",
    "storage.copy-of-shared",
    "storage.copy-unproven",
    "storage.overwrite",
    "storage.copy-target",
    "storage.space",
    "storage.backing",
    "access.address",
    "access.uri",
    "access.name",
    "retarget.known",
];

#[test]
fn a_definition_that_was_not_read_passes_no_rule_about_it() {
    let mut facts = sound();
    let whole = facts.guest.take().unwrap();
    facts.guest =
        Some(Domain { name: whole.name, uuid: whole.uuid, state: whole.state, ..Domain::default() });
    let findings = ask(&facts);
    let passed = findings.iter().filter(|one| one.verdict == Verdict::Pass);
    let about_the_guest: Vec<&str> = passed
        .map(|one| one.code.as_str())
        .filter(|code| !code.starts_with("request.") && !code.starts_with("hypervisor."))
        .collect();
    assert_eq!(about_the_guest, WITHOUT_A_DEFINITION);
}

/// Rules that pass because the guest has nothing of the kind, or because the request or the guest decides it alone.
const WITHOUT_HOSTS: [&str; 18] = [
    "cpu.physical-bits",
    "cpu.forbidden-features",
    "cpu.passthrough",
    "cpu.invariant-tsc",
    "cpu.tsc-frequency",
    "destination.pinning",
    "destination.huge-pages",
    "destination.numa",
    "destination.firmware",
    "destination.paths",
    "destination.emulator",
    "destination.resources",
    "destination.security-label",
    "destination.secrets",
    "access.address",
    "access.uri",
    "access.listen",
    "access.bound-address",
];
/// Kinds of rules that compare the guest or the request with hosts.
const ABOUT_HOSTS: [&str; 7] =
    ["destination.", "hypervisor.", "libvirt.", "architecture.", "cpu.", "machine.", "access."];

#[test]
fn hosts_that_told_nothing_pass_no_rule_about_them() {
    let mut facts = sound();
    for host in [&mut facts.source, &mut facts.destination] {
        *host = Some(Host { uri: "qemu:///system".into(), ..Host::default() });
    }
    let findings = ask(&facts);
    let passed = findings.iter().filter(|one| one.verdict == Verdict::Pass);
    let about_hosts: Vec<&str> = passed
        .map(|one| one.code.as_str())
        .filter(|code| ABOUT_HOSTS.iter().any(|kind| code.starts_with(kind)))
        .collect();
    assert_eq!(about_hosts, WITHOUT_HOSTS);
}

#[test]
fn nothing_known_is_unknown_and_never_passes_what_needs_facts() {
    let findings = ask(&Facts::default());
    assert!(findings.iter().all(|one| one.verdict == Verdict::Unknown), "{:?}", codes(&findings));
}
