//! Data that management programs keep with the guest, and whether it moves with the guest.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::case::Case;
use crate::pack::{Rule, rule};
use crate::report::Report;

pub(super) const RULES: &[Rule] = &[
    rule(
        "guest.snapshots",
        "the guest has no libvirt snapshots",
        "libvirt refuses to migrate a guest with snapshots, because their metadata would stay on the source",
        "save the metadata (`virsh snapshot-dumpxml`), delete it (`virsh snapshot-delete --metadata`), and redefine \
         it on the destination",
        snapshots,
    ),
    rule(
        "guest.checkpoints",
        "the guest has no checkpoints",
        "checkpoints stay on the source: the first backup after the migration has to be a full one",
        "make a full backup after the migration",
        checkpoints,
    ),
    rule(
        "guest.managed-save",
        "the guest has no managed save image",
        "a saved image stays on the source, and would start an old copy of the guest there",
        "delete it: `virsh managedsave-remove`",
        managed_save,
    ),
    rule(
        "guest.autostart",
        "the guest is not marked for autostart",
        "libvirt does not transfer the autostart mark",
        "set it on the destination after the migration: `virsh autostart`",
        autostart,
    ),
    rule(
        "guest.metadata",
        "metadata of management programs moves with the guest",
        "management programs keep templates and owners in the definition's metadata; a definition given for the \
         destination replaces it",
        "add the metadata to the definition for the destination",
        metadata,
    ),
    rule(
        "guest.persistence",
        "the destination stores the guest's definition",
        "a guest without a stored definition is gone once it is shut off",
        "request a persistent definition on the destination",
        persistence,
    ),
];

fn snapshots(case: &Case<'_>, report: &mut Report) -> Option<()> {
    let guest = case.guest_in_short(report)?;
    let count = report.need(guest.snapshots, "/guest/snapshots")?;
    if count > 0 {
        report.saw("guest.snapshots", count);
        report.fail("/guest/snapshots", format!("`{}` has {count} snapshots", guest.name));
    }
    Some(())
}

fn checkpoints(case: &Case<'_>, report: &mut Report) -> Option<()> {
    let guest = case.guest_in_short(report)?;
    let count = report.need(guest.checkpoints, "/guest/checkpoints")?;
    if count > 0 {
        report.saw("guest.checkpoints", count);
        report.warn("/guest/checkpoints", format!("{count} checkpoints stay behind"));
    }
    Some(())
}

fn managed_save(case: &Case<'_>, report: &mut Report) -> Option<()> {
    let guest = case.guest_in_short(report)?;
    if report.need(guest.managed_save, "/guest/managed-save")? {
        report.warn("/guest/managed-save", "a saved state of the guest stays on the source");
    }
    Some(())
}

fn autostart(case: &Case<'_>, report: &mut Report) -> Option<()> {
    let guest = case.guest_in_short(report)?;
    if report.need(guest.autostart, "/guest/autostart")? {
        report
            .warn("/guest/autostart", "the guest starts with the source, and will not with the destination");
    }
    Some(())
}

fn metadata(case: &Case<'_>, report: &mut Report) -> Option<()> {
    let guest = case.guest(report)?;
    let Some(target) = case.target() else { return Some(()) };
    let lost: Vec<String> =
        guest.metadata.iter().filter(|kept| !target.metadata.contains(kept)).cloned().collect();
    if !lost.is_empty() {
        let message = format!("metadata that the destination's definition leaves out: {}", lost.join(", "));
        report.warn("/target/metadata", message);
    }
    Some(())
}

fn persistence(case: &Case<'_>, report: &mut Report) -> Option<()> {
    let guest = case.guest_in_short(report)?;
    let request = case.request(report)?;
    let persistent = report.need(guest.persistent, "/guest/persistent")?;
    if persistent && !request.persist_destination {
        report.warn("/request/persist-destination", "the guest would be transient on the destination");
    }
    Some(())
}
