//! Each rule on both sides of its edge.

#![expect(clippy::unwrap_used, reason = "a failing helper fails the test")]

use whimbrel_core::{Facts, GuestRun, Severity};
use whimbrel_plugins::shipped::SHIPPED;
use whimbrel_rules::native::judge;

fn facts() -> Facts {
    let mut facts: Facts = serde_json::from_str(include_str!("../../../core/tests/facts.json")).unwrap();
    facts.destination.free_memory_bytes = Some(1 << 30);
    facts
}

/// The codes of the findings, those that refuse marked with an exclamation mark.
fn codes(change: impl FnOnce(&mut Facts)) -> Vec<String> {
    let mut facts = facts();
    change(&mut facts);
    let mark = |severity| if severity == Severity::Error { "!" } else { "" };
    judge(&facts)
        .findings
        .into_iter()
        .map(|finding| format!("{}{}", finding.code, mark(finding.severity)))
        .collect()
}

#[test]
fn facts_without_fault_pass_without_a_finding() {
    assert_eq!(codes(|_| {}), [""; 0]);
    assert_eq!(codes(|facts| facts.guest.run = GuestRun::Paused), [""; 0]);
    assert_eq!(codes(|facts| facts.destination.hypervisor_version += 1), [""; 0]);
    assert_eq!(codes(|facts| facts.destination.free_memory_bytes = None), [""; 0]);
}

#[test]
fn each_fault_is_found_by_its_rule() {
    assert_eq!(codes(|facts| facts.guest.run = GuestRun::NotRunning), ["guest.not-running!"]);
    assert_eq!(codes(|facts| facts.guest.job_active = true), ["guest.busy!"]);
    assert_eq!(
        codes(|facts| facts.destination.has_guest = Some(GuestRun::Running)),
        ["destination.has-guest!"]
    );
    assert_eq!(
        codes(|facts| facts.destination.has_guest = Some(GuestRun::NotRunning)),
        ["destination.has-guest"]
    );
    assert_eq!(codes(|facts| facts.destination.hypervisor = "Xen".to_owned()), ["hypervisor.differs!"]);
    assert_eq!(
        codes(|facts| facts.destination.architecture = "aarch64".to_owned()),
        ["architecture.differs!"]
    );
    assert_eq!(codes(|facts| facts.destination.hypervisor_version -= 1), ["hypervisor.older"]);
    assert_eq!(
        codes(|facts| facts.destination.free_memory_bytes = Some((1 << 30) - 1)),
        ["destination.memory"]
    );
}

#[test]
fn the_same_host_is_one_finding_not_two() {
    let found = codes(|facts| {
        facts.destination = facts.source.clone();
        facts.destination.has_guest = Some(GuestRun::Running);
    });
    assert_eq!(found, ["destination.is-source!"]);
}

#[test]
fn all_findings_come_at_once() {
    let found = codes(|facts| {
        facts.guest.run = GuestRun::NotRunning;
        facts.destination.architecture = "aarch64".to_owned();
        facts.destination.free_memory_bytes = Some(0);
    });
    assert_eq!(found, ["guest.not-running!", "architecture.differs!", "destination.memory"]);
}

#[test]
fn codes_are_unique() {
    let all = || SHIPPED.iter().flat_map(|pack| pack.native.rules()).map(|rule| rule.code);
    let mut codes: Vec<_> = all().collect();
    codes.sort_unstable();
    codes.dedup();
    assert_eq!(codes.len(), all().count());
}
