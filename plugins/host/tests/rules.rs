//! Each rule on both sides of its edge.

#![expect(clippy::unwrap_used, reason = "a failing helper fails the test")]

use whimbrel_core::{Facts, GuestFacts, GuestRun, HostFacts, Severity};
use whimbrel_plugins::judge;
use whimbrel_plugins::shipped::SHIPPED;

fn host(name: &str) -> HostFacts {
    HostFacts {
        uri: format!("qemu+tcp://{name}/system"),
        hostname: name.to_owned(),
        host_uuid: format!("00000000-0000-0000-0000-{name:0>12}"),
        hypervisor: "QEMU".to_owned(),
        architecture: "x86_64".to_owned(),
        library_version: 9_000_000,
        hypervisor_version: 7_002_022,
        free_memory_bytes: Some(1 << 30),
        has_guest: None,
    }
}

fn facts() -> Facts {
    Facts {
        guest: GuestFacts {
            name: "web".to_owned(),
            uuid: "c7a5fdbd-edaf-9455-926a-d65c16db1809".to_owned(),
            run: GuestRun::Running,
            persistent: true,
            memory_bytes: 1 << 30,
            job_active: false,
        },
        source: host("alpha"),
        disks_to_make: Vec::new(),
        destination: host("beta"),
    }
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
