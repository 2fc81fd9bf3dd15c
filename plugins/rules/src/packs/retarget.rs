//! Whether the guest would see a change under a definition given for the destination: it must not.

use alloc::format;
use core::fmt::Display;

use whimbrel_facts::{Disk, Domain};

use crate::case::Case;
use crate::pack::{Rule, rule};
use crate::report::Report;

const REMEDIATION: &str =
    "change only what the host sees in the destination's definition: paths, networks, pinning";

pub(super) const RULES: &[Rule] = &[
    rule(
        "retarget.identity",
        "the guest keeps its UUID and its name",
        "libvirt refuses a definition with another UUID or name",
        REMEDIATION,
        identity,
    ),
    rule(
        "retarget.machine",
        "the guest keeps its architecture and machine type",
        "the board of a running guest cannot change",
        REMEDIATION,
        |case, report| {
            same(case, report, "/target/architecture", |guest| &guest.architecture)?;
            same(case, report, "/target/machine", |guest| &guest.machine)
        },
    ),
    rule(
        "retarget.memory",
        "the guest keeps its memory",
        "memory of another size cannot receive the guest's pages",
        REMEDIATION,
        |case, report| {
            same(case, report, "/target/memory-kib", |guest| &guest.memory_kib)?;
            same(case, report, "/target/memory-maximum-kib", |guest| &guest.memory_maximum_kib)
        },
    ),
    rule(
        "retarget.cpus",
        "the guest keeps its CPUs",
        "the destination restores the state of each CPU by its number",
        REMEDIATION,
        |case, report| {
            same(case, report, "/target/cpus", |guest| &guest.cpus)?;
            same(case, report, "/target/cpus-maximum", |guest| &guest.cpus_maximum)
        },
    ),
    rule(
        "retarget.cpu",
        "the guest keeps its CPU model",
        "the CPU of a running guest cannot change",
        REMEDIATION,
        |case, report| {
            same(case, report, "/target/cpu/mode", |guest| &guest.cpu.mode)?;
            same(case, report, "/target/cpu/model", |guest| &guest.cpu.model)
        },
    ),
    rule(
        "retarget.disks",
        "the guest keeps its disks",
        "the destination restores a disk's state by its device",
        REMEDIATION,
        disks,
    ),
    rule(
        "retarget.network-cards",
        "the guest keeps its network cards",
        "the destination restores a card's state by its device, and the guest keeps its address",
        REMEDIATION,
        network_cards,
    ),
    rule(
        "retarget.devices",
        "the guest keeps its other devices",
        "an added or missing device makes the incoming state unreadable",
        REMEDIATION,
        devices,
    ),
];

/// Compares one value; without a definition for the destination there is nothing to compare.
fn same<T: PartialEq + Display>(
    case: &Case<'_>,
    report: &mut Report,
    pointer: &'static str,
    value: impl for<'d> Fn(&'d Domain) -> &'d T,
) -> Option<()> {
    let guest = case.guest(report)?;
    if let Some(target) = case.target() {
        let (here, there) = (value(guest), value(target));
        if here != there {
            report.fail(pointer, format!("the guest has {here}, the destination's definition {there}"));
        }
    }
    Some(())
}

fn identity(case: &Case<'_>, report: &mut Report) -> Option<()> {
    let guest = case.guest(report)?;
    if let Some(target) = case.target()
        && !guest.uuid.eq_ignore_ascii_case(&target.uuid)
    {
        let message = format!("the guest has {}, the destination's definition {}", guest.uuid, target.uuid);
        report.fail("/target/uuid", message);
    }
    same(case, report, "/target/name", |guest| &guest.name)
}

fn disks(case: &Case<'_>, report: &mut Report) -> Option<()> {
    let guest = case.guest(report)?;
    let Some(target) = case.target() else { return Some(()) };
    for disk in &guest.disks {
        match target.disks.iter().find(|other| other.target == disk.target) {
            None => report.fail("/target/disks", format!("the disk `{}` is left out", disk.target)),
            Some(other)
                if (&other.bus, &other.serial, &other.wwn, other.read_only)
                    != (&disk.bus, &disk.serial, &disk.wwn, disk.read_only) =>
            {
                let message = format!("the disk `{}` has another bus, serial, WWN or mode", disk.target);
                report.fail("/target/disks", message);
            }
            Some(other) if format_of(other) != format_of(disk) => {
                let message = format!(
                    "the disk `{}` is read as `{}` here and as `{}` there",
                    disk.target,
                    format_of(disk),
                    format_of(other)
                );
                report.fail("/target/disks", message);
            }
            Some(_) => {}
        }
    }
    if target.disks.len() > guest.disks.len() {
        report.fail("/target/disks", "a disk is added");
    }
    Some(())
}

/// libvirt treats a disk without a format as a raw one. Source: libvirt, "Disk images", `driver`.
fn format_of(disk: &Disk) -> &str {
    if disk.format.is_empty() { "raw" } else { &disk.format }
}

fn network_cards(case: &Case<'_>, report: &mut Report) -> Option<()> {
    let guest = case.guest(report)?;
    let Some(target) = case.target() else { return Some(()) };
    for (at, card) in guest.network_cards.iter().enumerate() {
        // A simulated guest's cards have no address: they are compared in order.
        let found = match card.mac.as_str() {
            "" => target.network_cards.get(at),
            mac => target.network_cards.iter().find(|other| other.mac.eq_ignore_ascii_case(mac)),
        };
        match found {
            None => report.fail("/target/network-cards", format!("the card {} is left out", card.mac)),
            Some(other) if other.model != card.model => {
                report.fail("/target/network-cards", format!("the card {} has another model", card.mac));
            }
            Some(_) => {}
        }
    }
    if target.network_cards.len() > guest.network_cards.len() {
        report.fail("/target/network-cards", "a card is added");
    }
    Some(())
}

fn devices(case: &Case<'_>, report: &mut Report) -> Option<()> {
    let guest = case.guest(report)?;
    let Some(target) = case.target() else { return Some(()) };
    let counts = |guest: &Domain| {
        [
            ("host devices", guest.host_devices.len()),
            ("shared directories", guest.filesystems.len()),
            ("TPMs", guest.tpms.len()),
            ("shared memories", guest.shared_memories.len()),
            ("memory modules", guest.memory_devices.len()),
        ]
    };
    for ((what, here), (_, there)) in counts(guest).into_iter().zip(counts(target)) {
        if here != there {
            report.fail(
                "/target",
                format!("the guest has {here} {what}, the destination's definition {there}"),
            );
        }
    }
    Some(())
}
