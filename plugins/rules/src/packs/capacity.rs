//! Whether the destination has room for the guest.

use alloc::format;

use crate::case::{Case, called};
use crate::pack::{Rule, rule};
use crate::report::Report;
use crate::settings::{Kind, Setting};

pub(super) const RULES: &[Rule] = &[
    rule(
        "destination.memory",
        "the destination has free memory for the guest",
        "a guest that does not fit into the destination's memory fails after its disks and memory were copied",
        "make sure that the destination can give back that much from its caches",
        memory,
    ),
    rule(
        "destination.memory-total",
        "the destination's memory is larger than the guest's",
        "a guest with more memory than the host has can never run there without swapping",
        "name a larger destination",
        memory_total,
    ),
    rule(
        "destination.cpus",
        "the destination has as many CPUs as the guest",
        "a guest with more CPUs than the host has runs them one after the other, and its locks wait for each other",
        "name a larger destination, or take CPUs away from the guest",
        cpus,
    ),
    Rule {
        code: "destination.migrations",
        title: "the destination is not busy with other migrations",
        rationale: "migrations that share a link take each other's bandwidth, and none of them converges",
        remediation: "wait for the others, or raise the limit",
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
