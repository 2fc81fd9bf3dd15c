//! Whether the destination has room for the guest.

use alloc::format;

use crate::case::{Case, called};
use crate::pack::{Rule, rule};
use crate::report::Report;
use crate::settings::{Kind, Setting};

pub(super) const RULES: &[Rule] = &[
    rule(
        "destination.memory",
        "the destination has enough free memory for the guest",
        "without enough memory the migration fails after disks and memory were copied",
        "verify that the destination can reclaim that much memory from its caches",
        memory,
    ),
    rule(
        "destination.memory-total",
        "the destination has more memory than the guest",
        "a guest with more memory than its host can run only by swapping",
        "name a larger destination",
        memory_total,
    ),
    rule(
        "destination.cpus",
        "the destination has at least as many CPUs as the guest",
        "with more virtual CPUs than host CPUs, virtual CPUs wait for each other, and locks in the guest become slow",
        "name a larger destination, or reduce the guest's CPUs",
        cpus,
    ),
    Rule {
        code: "destination.migrations",
        title: "few other migrations run on the destination",
        rationale: "migrations over one link share its bandwidth, and may all fail to converge",
        remediation: "wait for the other migrations, or raise the limit",
        settings: &[Setting {
            name: "most",
            description: "migrations that may run on the destination at once, this one included",
            kind: Kind::Number { least: 1, most: 1000, default: 2 },
        }],
        check: migrations,
    },
];

fn memory(case: &Case<'_>, report: &mut Report) -> Option<()> {
    let guest = case.guest_in_short(report)?;
    let destination = case.destination(report)?;
    let free = report.need(destination.free_memory_kib, "/destination/free-memory-kib")?;
    report.need((guest.memory_kib > 0).then_some(()), "/guest/memory-kib")?;
    report.saw("memory.wanted-kib", guest.memory_kib);
    report.saw("memory.free-kib", free);
    // Not a failure: what is free now leaves out what the host can give back from its caches. Huge pages are apart.
    if guest.huge_pages_kib.is_empty() && free < guest.memory_kib {
        let message = format!(
            "the guest has {} MiB of memory and {} has {} MiB free",
            guest.memory_kib >> 10,
            called(destination),
            free >> 10
        );
        report.warn("/destination/free-memory-kib", message);
    }
    Some(())
}

fn memory_total(case: &Case<'_>, report: &mut Report) -> Option<()> {
    let guest = case.guest_in_short(report)?;
    let destination = case.destination(report)?;
    let total = report.need(destination.memory_kib, "/destination/memory-kib")?;
    report.need((guest.memory_kib > 0).then_some(()), "/guest/memory-kib")?;
    if guest.memory_kib > total {
        let message = format!(
            "the guest has {} MiB of memory and {} has {} MiB in all",
            guest.memory_kib >> 10,
            called(destination),
            total >> 10
        );
        report.fail("/destination/memory-kib", message);
    }
    Some(())
}

fn cpus(case: &Case<'_>, report: &mut Report) -> Option<()> {
    let guest = case.guest(report)?;
    let destination = case.destination(report)?;
    let there = report.need(destination.cpus, "/destination/cpus")?;
    report.need((guest.cpus > 0).then_some(()), "/guest/cpus")?;
    if guest.cpus > there {
        let message = format!("the guest has {} CPUs and {} has {there}", guest.cpus, called(destination));
        report.warn("/destination/cpus", message);
    }
    Some(())
}

fn migrations(case: &Case<'_>, report: &mut Report) -> Option<()> {
    let destination = case.destination(report)?;
    let running = u64::from(report.need(destination.migrations, "/destination/migrations")?);
    let most = case.number("most");
    if running >= most {
        let message =
            format!("{running} migrations run on {} already; at most {most} may", called(destination));
        report.warn("/destination/migrations", message);
    }
    Some(())
}
