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
        "the guest has no snapshots of libvirt's",
        "libvirt refuses to migrate a guest with snapshots, because their description would stay behind",
        "save the descriptions (`virsh snapshot-dumpxml`), remove them with `--metadata`, and redefine them there",
        snapshots,
    ),
    rule(
        "guest.checkpoints",
        "the guest has no checkpoints",
        "checkpoints belong to the host that made them: incremental backups begin anew after the move",
        "make a full backup after the migration",
        checkpoints,
    ),
    rule(
        "guest.managed-save",
        "no saved state waits for the guest",
        "a saved state stays on its host, and would bring back an old guest when it is started there again",
        "remove it: `virsh managedsave-remove`",
        managed_save,
    ),
    rule(
        "guest.autostart",
        "the guest does not start with its host",
        "libvirt does not carry the autostart mark to the destination",
        "set it there after the migration: `virsh autostart`",
        autostart,
    ),
    rule(
        "guest.metadata",
        "what others keep in the definition travels with it",
        "managers keep templates and owners in the definition's metadata; a definition given for the destination \
         replaces it",
        "put the metadata into the definition for the destination too",
        metadata,
    ),
    rule(
        "guest.persistence",
        "the guest's definition outlives the move",
        "a guest without a persistent definition on the destination is gone once it is switched off",
        "ask for a persistent definition on the destination",
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
