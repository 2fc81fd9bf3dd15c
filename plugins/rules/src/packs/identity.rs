//! Whether a disk's path leads to the same storage on both hosts. A path that exists proves nothing.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use whimbrel_facts::{Disk, DiskStorage, Identity, Sharing, StorageCopy};

use crate::case::Case;
use crate::pack::{Rule, rule};
use crate::report::Report;

pub(super) const RULES: &[Rule] = &[
    rule(
        "storage.identity",
        "each disk's path leads to the same storage on both hosts",
        "the same name may be another disk on another host (`/dev/sda`): the guest would go on with foreign data and \
         destroy both",
        "name the disk by its WWID (`/dev/disk/by-id/wwn-...`), or give the right path in the destination's definition",
        same,
    ),
    rule(
        "storage.crossed",
        "no two disks are exchanged between the hosts",
        "names that the kernel gives in the order of discovery are easily exchanged on another host",
        "name the disks by their WWID, not by the order in which they were found",
        crossed,
    ),
    rule(
        "storage.shared",
        "each disk's storage is really shared, or is copied",
        "a guest whose disk is not shared goes on with whatever lies at that path on the destination",
        "copy the disks (`--copy-disks`), or put them on shared storage",
        shared,
    ),
    rule(
        "storage.unsafe-flag",
        "safety checks are overruled only where the sharing is proved",
        "the hypervisor's check for shared storage guesses by file system; overruling it is safe only after a proof",
        "leave the flag out, or let the probe prove the sharing",
        unsafe_flag,
    ),
    rule(
        "storage.copy-of-shared",
        "no disk that is shared is copied onto itself",
        "a disk that both hosts share would be read and overwritten at the same time",
        "leave the shared disks out of the copy",
        copy_of_shared,
    ),
    rule(
        "storage.size",
        "each disk has the same size on both hosts",
        "a smaller disk there cuts the guest's data off; another size says that it is another disk",
        "make the destination's disk as large as the source's",
        size,
    ),
];

/// Disks that the guest writes to, each with what the hosts say of it and its place among them.
fn written<'a>(
    case: &Case<'a>,
    report: &mut Report,
) -> Option<Vec<(usize, &'a Disk, Option<&'a DiskStorage>)>> {
    let guest = case.guest(report)?;
    let storage = case.storage(report)?;
    let disks = guest.disks.iter().filter(|disk| !disk.read_only && disk.source.is_some());
    let found = disks.map(|disk| {
        let at = storage.iter().position(|one| one.target == disk.target);
        (at.unwrap_or(0), disk, at.and_then(|at| storage.get(at)))
    });
    Some(found.collect())
}

/// Whether the request copies this disk.
pub(super) fn is_copied(case: &Case<'_>, report: &mut Report, disk: &Disk) -> Option<bool> {
    let request = case.request(report)?;
    let chosen = request.copied_disks.is_empty() || request.copied_disks.contains(&disk.target);
    Some(request.storage_copy != StorageCopy::None && chosen && !disk.read_only && !disk.shareable)
}

/// The identities of one kind that both have, as the source and the destination tell them.
fn common(storage: &DiskStorage) -> impl Iterator<Item = (&Identity, &Identity)> {
    storage.source.identities.iter().filter_map(|here| {
        let there = storage.destination.identities.iter().find(|there| there.kind == here.kind)?;
        Some((here, there))
    })
}

fn same(case: &Case<'_>, report: &mut Report) -> Option<()> {
    for (at, disk, found) in written(case, report)? {
        if is_copied(case, report, disk)? {
            continue;
        }
        let pointer = format!("/storage/{at}/destination/identities");
        let Some(storage) = found else {
            report.unknown(pointer, format!("nothing is known of the storage of `{}`", disk.target));
            continue;
        };
        compare(report, disk, storage, pointer);
    }
    Some(())
}

fn compare(report: &mut Report, disk: &Disk, storage: &DiskStorage, pointer: String) {
    let target = &disk.target;
    let mut compared = false;
    for (here, there) in common(storage) {
        compared = true;
        if here.value != there.value {
            report.saw("identity.source", here.value.as_str());
            report.saw("identity.destination", there.value.as_str());
            let message = format!(
                "disk `{target}`: `{}` is another disk on the destination: its {} is {}, not {}",
                storage.destination_path, here.kind, there.value, here.value
            );
            return report.fail(pointer, message);
        }
    }
    if compared && storage.source_path != storage.destination_path {
        let message = format!(
            "disk `{target}`: `{}` and `{}` are the same storage",
            storage.source_path, storage.destination_path
        );
        report.pass(pointer, message);
    } else if !compared && storage.sharing != Sharing::Proven {
        report.unknown(pointer, format!("disk `{target}`: nothing tells whether it is the same one there"));
    }
}

fn crossed(case: &Case<'_>, report: &mut Report) -> Option<()> {
    let storage = case.storage(report)?;
    for (at, one) in storage.iter().enumerate() {
        for there in &one.destination.identities {
            let is_other =
                |other: &&DiskStorage| other.target != one.target && other.source.identities.contains(there);
            if let Some(other) = storage.iter().find(is_other) {
                let message = format!(
                    "`{}` on the destination is what `{}` is on the source: disk `{}`",
                    one.destination_path, other.source_path, other.target
                );
                report.fail(format!("/storage/{at}/destination/identities"), message);
            }
        }
    }
    Some(())
}

fn shared(case: &Case<'_>, report: &mut Report) -> Option<()> {
    for (at, disk, found) in written(case, report)? {
        if is_copied(case, report, disk)? {
            continue;
        }
        let (target, pointer) = (&disk.target, format!("/storage/{at}/sharing"));
        match found.map(|storage| (storage.sharing, storage)) {
            Some((Sharing::Proven, storage)) => {
                report.pass(pointer, format!("disk `{target}`: {}", storage.sharing_evidence));
            }
            Some((Sharing::Disproven, storage)) => {
                let message = format!("disk `{target}` is not shared: {}", storage.sharing_evidence);
                report.fail(pointer, message);
            }
            Some((Sharing::Unknown, storage)) if common(storage).any(|(here, there)| here == there) => {
                report.pass(pointer, format!("disk `{target}`: both hosts name the same storage"));
            }
            Some((Sharing::Unknown, storage)) if !storage.sharing_evidence.is_empty() => {
                let message = format!(
                    "disk `{target}`: whether it is shared is not known: {}",
                    storage.sharing_evidence
                );
                report.unknown(pointer, message);
            }
            Some((Sharing::Unknown, _)) | None => {
                report.unknown(pointer, format!("disk `{target}`: whether it is shared was not probed"));
            }
        }
    }
    Some(())
}

fn unsafe_flag(case: &Case<'_>, report: &mut Report) -> Option<()> {
    if !case.request(report)?.allow_unsafe {
        return Some(());
    }
    for (_, disk, found) in written(case, report)? {
        if is_copied(case, report, disk)? {
            continue;
        }
        let target = &disk.target;
        match found.map_or(Sharing::Unknown, |storage| storage.sharing) {
            Sharing::Proven => {}
            Sharing::Disproven => {
                report.fail(
                    "/request/allow-unsafe",
                    format!("the check is overruled, and `{target}` is not shared"),
                );
            }
            Sharing::Unknown => {
                let message = format!("the check is overruled without a proof that `{target}` is shared");
                report.fail("/request/allow-unsafe", message);
            }
        }
    }
    Some(())
}

fn copy_of_shared(case: &Case<'_>, report: &mut Report) -> Option<()> {
    for (at, disk, found) in written(case, report)? {
        let Some(storage) = found else { continue };
        let is_same = storage.sharing == Sharing::Proven
            || common(storage).any(|(here, there)| here.kind == "wwid" && here == there);
        if is_copied(case, report, disk)? && is_same {
            let message = format!("disk `{}` is shared and would be copied onto itself", disk.target);
            report.fail(format!("/storage/{at}/sharing"), message);
        }
    }
    Some(())
}

fn size(case: &Case<'_>, report: &mut Report) -> Option<()> {
    for (at, disk, found) in written(case, report)? {
        let Some(storage) = found else { continue };
        let (Some(here), Some(there)) = (storage.source.size_bytes, storage.destination.size_bytes) else {
            continue;
        };
        let pointer = format!("/storage/{at}/destination/size-bytes");
        let target = &disk.target;
        if there < here {
            report.fail(pointer, format!("disk `{target}` has {here} bytes here and {there} there"));
        } else if there > here {
            report.warn(pointer, format!("disk `{target}` has {here} bytes here and {there} there"));
        }
    }
    Some(())
}
