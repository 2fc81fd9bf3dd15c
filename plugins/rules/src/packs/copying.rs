//! Which disks a copy may read and write: never a disk that both hosts share, and never a file of the destination that
//! another guest needs.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use whimbrel_facts::sameness::{Sameness, of_storage};
use whimbrel_facts::{Disk, DiskStorage, Scalar, StorageCopy};

use crate::case::Case;
use crate::pack::{Rule, rule};
use crate::report::Report;

/// Attribute: the list of disks was made by the program, from what is proven, and not by the operator.
const AUTOMATIC: &str = "request/copied-disks/automatic";
/// Attributes: a number follows, and the value is a path that may be overwritten.
const OVERWRITE: &str = "request/overwrite-disks/";

pub(super) const RULES: &[Rule] = &[
    rule(
        "storage.copy-of-shared",
        "no disk that both hosts share is copied onto itself",
        "a shared disk would be read and overwritten at the same time",
        "exclude the disk: name the disks to copy with `--copy-disks=vda,vdb`",
        copy_of_shared,
    ),
    rule(
        "storage.copy-unproven",
        "only disks that are proven not to be shared are copied without being named",
        "copying a disk that turns out to be shared destroys it",
        "allow the probe, or name the disks to copy: `--copy-disks=vda,vdb`",
        copy_unproven,
    ),
    rule(
        "storage.overwrite",
        "a copy overwrites no file of the destination",
        "a file of the same path on the destination may be another guest's disk",
        "remove the file, give another path in the destination's definition, or allow it with `--overwrite-disk PATH`; \
         a file that a guest of the destination uses is never overwritten",
        overwrite,
    ),
    rule(
        "storage.copied-disks",
        "every disk to copy exists and can be copied",
        "libvirt refuses an unknown disk, and older versions ignore it",
        "name disks by their target, such as `vda`; omit read-only and shareable ones",
        copied_disks,
    ),
    rule(
        "storage.copy-target",
        "the destination can create each file of the copy",
        "libvirt creates files only in an active storage pool, creates no block device, and does not copy vhost-user \
         or directory disks",
        "define and start a pool on the destination: `virsh pool-create-as NAME dir --target DIRECTORY`; or create the \
         file yourself and give `--overwrite-disk PATH`",
        target,
    ),
];

/// Whether the request copies this disk. libvirt copies every disk that is named, of any kind.
pub(super) fn is_copied(case: &Case<'_>, report: &mut Report, disk: &Disk) -> Option<bool> {
    let request = case.request(report)?;
    let chosen = if request.copied_disks.is_empty() {
        !disk.read_only && !disk.shareable
    } else {
        request.copied_disks.contains(&disk.target)
    };
    Some(request.storage_copy != StorageCopy::None && chosen)
}

/// Disks that are copied, each with its storage on both hosts and its index among the guest's disks.
fn copied<'a>(
    case: &Case<'a>,
    report: &mut Report,
) -> Option<Vec<(usize, &'a Disk, Option<&'a DiskStorage>)>> {
    if case.request(report)?.storage_copy == StorageCopy::None {
        return Some(Vec::new());
    }
    let guest = case.guest(report)?;
    let storage = case.storage(report)?;
    let mut found = Vec::new();
    for disk in guest.disks.iter().filter(|disk| disk.source.is_some()) {
        if is_copied(case, report, disk)? {
            let at = storage.iter().position(|one| one.target == disk.target);
            found.push((at.unwrap_or(0), disk, at.and_then(|at| storage.get(at))));
        }
    }
    Some(found)
}

fn copy_of_shared(case: &Case<'_>, report: &mut Report) -> Option<()> {
    for (at, disk, found) in copied(case, report)? {
        let (target, pointer) = (&disk.target, format!("/storage/{at}/sharing"));
        match found.map_or(Sameness::Unknown, of_storage) {
            Sameness::Same => {
                report.fail(pointer, format!("disk `{target}` is shared and would be copied onto itself"));
            }
            Sameness::Unknown => {
                let why =
                    found.map(|storage| storage.sharing_evidence.as_str()).filter(|why| !why.is_empty());
                let why = why.unwrap_or("no identity or probe shows it");
                report.unknown(
                    pointer,
                    format!("disk `{target}` is to be copied, and whether it is shared is not known: {why}"),
                );
            }
            Sameness::Different => {}
        }
    }
    Some(())
}

fn copy_unproven(case: &Case<'_>, report: &mut Report) -> Option<()> {
    let copied = copied(case, report)?;
    if copied.is_empty() {
        return Some(());
    }
    let is_named = !case.request(report)?.copied_disks.is_empty() && case.attribute(AUTOMATIC).is_none();
    for (at, disk, found) in copied {
        if !is_named && found.map_or(Sameness::Unknown, of_storage) == Sameness::Unknown {
            let message = format!(
                "disk `{}` would be copied without proof that the hosts do not share it",
                disk.target
            );
            report.fail(format!("/storage/{at}/sharing"), message);
        }
    }
    Some(())
}

fn overwrite(case: &Case<'_>, report: &mut Report) -> Option<()> {
    for (at, disk, found) in copied(case, report)? {
        let target = &disk.target;
        let Some(storage) = found else { continue };
        let (path, pointer) = (&storage.destination_path, format!("/storage/{at}/destination/exists"));
        let users = texts(case, &format!("storage/{target}/destination/used-by/"));
        let is_allowed = texts(case, OVERWRITE).contains(&path.as_str());
        if !users.is_empty() {
            let message = format!(
                "disk `{target}`: `{path}` on the destination belongs to {}: it is never overwritten",
                users.join(", ")
            );
            report.fail(pointer, message);
        } else if storage.destination.exists == Some(true) && !is_allowed {
            let message = format!("disk `{target}`: the copy would overwrite `{path}` on the destination");
            report.fail(pointer, message);
        } else if storage.destination.exists.is_none() && !is_allowed {
            let message = format!("disk `{target}`: whether the copy would overwrite `{path}` is not known");
            report.unknown(pointer, message);
        } else if storage.destination.exists != Some(false)
            && case.attribute(&format!("storage/{target}/destination/users-known")).is_none()
        {
            let message =
                format!("disk `{target}`: which guests of the destination use `{path}` is not known");
            report.unknown(pointer, message);
        }
    }
    Some(())
}

fn copied_disks(case: &Case<'_>, report: &mut Report) -> Option<()> {
    let guest = case.guest(report)?;
    for (at, name) in case.request(report)?.copied_disks.iter().enumerate() {
        let pointer = format!("/request/copied-disks/{at}");
        match guest.disks.iter().find(|disk| disk.target == *name) {
            None => report.fail(pointer, format!("the guest has no disk `{name}`")),
            Some(disk) if disk.read_only || disk.source.is_none() => {
                report.fail(pointer, format!("disk `{name}` is read-only or empty and cannot be copied"));
            }
            Some(disk) if disk.shareable => {
                let message =
                    format!("disk `{name}` is shareable: another guest may write to it during the copy");
                report.fail(pointer, message);
            }
            Some(_) => {}
        }
    }
    Some(())
}

fn target(case: &Case<'_>, report: &mut Report) -> Option<()> {
    for (at, disk, found) in copied(case, report)? {
        // Source: libvirt, `qemuMigrationDstPrepareStorage`.
        if matches!(disk.kind.as_str(), "vhostuser" | "dir") {
            let message =
                format!("disk `{}` is of the type `{}`, which libvirt does not copy", disk.target, disk.kind);
            report.fail(format!("/guest/disks/{at}/kind"), message);
            continue;
        }
        let Some(storage) = found else { continue };
        let there = &storage.destination;
        let (target, path) = (&disk.target, &storage.destination_path);
        let pointer = format!("/storage/{at}/destination/pool");
        if there.exists != Some(false) {
            continue;
        }
        if case.request(report)?.storage_copy == StorageCopy::Incremental {
            let message = format!(
                "disk `{target}`: `{path}` is not there on the destination, and libvirt creates no file for an incremental \
                 copy: create an overlay of the same backing file there (`qemu-img create -b`)"
            );
            report.fail(pointer, message);
        } else if disk.kind == "block" {
            report.fail(pointer, format!("disk `{target}`: the destination has no block device `{path}`"));
        } else if there.pool.is_empty() && there.free_bytes.is_none() {
            let message =
                format!("disk `{target}`: no active storage pool of the destination holds `{path}`");
            report.fail(pointer, message);
        }
    }
    Some(())
}

/// The texts of all attributes below a path.
fn texts<'a>(case: &Case<'a>, below: &str) -> Vec<&'a str> {
    let found = case.attributes().iter().filter(|one| one.path.starts_with(below));
    let text = |value: &'a Scalar| match value {
        Scalar::Text(text) => Some(String::as_str(text)),
        Scalar::Boolean(_) | Scalar::Integer(_) => None,
    };
    found.filter_map(|one| text(&one.value)).collect()
}
