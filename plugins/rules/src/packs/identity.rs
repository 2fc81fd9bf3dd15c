//! Whether a disk's path leads to the same storage on both hosts. A path that exists proves nothing.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use whimbrel_facts::sameness::{Sameness, contradiction, of_identities, of_storage};
use whimbrel_facts::{Disk, DiskStorage, Sharing};

use super::copying::is_copied;
use crate::case::Case;
use crate::pack::{Rule, rule};
use crate::report::Report;
use crate::versions::LIBVIRT_LIMITS_DEVICES;

pub(super) const RULES: &[Rule] = &[
    rule(
        "storage.identity",
        "each disk's path leads to the same storage on both hosts",
        "the same name may be another disk on another host (`/dev/sda`): the guest would write to foreign data and \
         destroy both",
        "name the disk by its WWID (`/dev/disk/by-id/wwn-...`), or give the right path in the destination's definition",
        same,
    ),
    rule(
        "storage.crossed",
        "no two disks are exchanged between the hosts",
        "the kernel assigns such names in the order of discovery, which differs between hosts",
        "name the disks by their WWID, not by the order in which they were found",
        crossed,
    ),
    rule(
        "storage.shared",
        "each disk is on shared storage, or is copied",
        "a guest whose disk is not shared continues with other data at that path on the destination",
        "copy the disks (`--copy-disks`), or put them on shared storage",
        shared,
    ),
    rule(
        "storage.unsafe-flag",
        "safety checks are overridden only where sharing is proven",
        "libvirt's check identifies shared storage by its file system; overriding it is safe only with proof",
        "remove `--unsafe`, or let the probe prove the sharing",
        unsafe_flag,
    ),
    rule(
        "storage.size",
        "each disk has the same size on both hosts",
        "a smaller disk truncates the guest's data; a different size indicates another disk",
        "make the destination's disk as large as the source's",
        size,
    ),
];

/// Disks that the guest writes to, each with its storage on both hosts and its index among the guest's disks.
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
    if let Some((here, there)) = contradiction(storage) {
        report.saw("identity.source", here.value.as_str());
        report.saw("identity.destination", there.value.as_str());
        let message = format!(
            "disk `{target}`: `{}` is another disk on the destination: its {} is {}, not {}",
            storage.destination_path, here.kind, there.value, here.value
        );
        return report.fail(pointer, message);
    }
    let compared = of_identities(storage) == Sameness::Same;
    if compared && storage.source_path != storage.destination_path {
        let message = format!(
            "disk `{target}`: `{}` and `{}` are the same storage",
            storage.source_path, storage.destination_path
        );
        report.pass(pointer, message);
    } else if !compared && storage.sharing != Sharing::Proven {
        report
            .unknown(pointer, format!("disk `{target}`: no identity shows whether it is the same one there"));
    }
}

fn crossed(case: &Case<'_>, report: &mut Report) -> Option<()> {
    let storage = case.storage(report)?;
    // Several disks may share the layers below them.
    let is_disk = |one: &DiskStorage| !one.target.contains('[');
    for (at, one) in storage.iter().enumerate().filter(|(_, one)| is_disk(one)) {
        for there in &one.destination.identities {
            let is_other = |other: &&DiskStorage| {
                is_disk(other) && other.target != one.target && other.source.identities.contains(there)
                    // Two drives may hold one medium.
                    && !one.source.identities.contains(there)
            };
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
    let all = case.storage(report)?;
    for (at, disk, found) in written(case, report)? {
        if is_copied(case, report, disk)? {
            continue;
        }
        shared_one(report, at, &format!("disk `{}`", disk.target), found);
        for (layer, path) in disk.backing.iter().enumerate() {
            // As libvirt numbers the layers below a disk: `vda[1]` is the first.
            let name = format!("{}[{}]", disk.target, layer.saturating_add(1));
            let what = format!("disk `{}`: its backing file `{path}`", disk.target);
            match all.iter().position(|one| one.target == name) {
                Some(at) => shared_one(report, at, &what, all.get(at)),
                // The probe is made in a directory: its result for the disk also holds for a file beside it.
                None if found.is_some_and(|top| {
                    top.sharing == Sharing::Proven && directory(&top.source_path) == directory(path)
                }) => {}
                None => report.unknown(
                    format!("/storage/{at}/sharing"),
                    format!("{what}: whether the destination reads the same file is not known"),
                ),
            }
        }
    }
    Some(())
}

fn directory(path: &str) -> Option<&str> {
    path.rsplit_once('/').map(|(directory, _)| directory)
}

fn shared_one(report: &mut Report, at: usize, what: &str, found: Option<&DiskStorage>) {
    let pointer = format!("/storage/{at}/sharing");
    let Some(storage) = found else {
        return report.unknown(pointer, format!("{what}: whether it is shared was not probed"));
    };
    let evidence = &storage.sharing_evidence;
    match storage.sharing {
        Sharing::Proven => report.pass(pointer, format!("{what}: {evidence}")),
        Sharing::Disproven => report.fail(pointer, format!("{what} is not shared: {evidence}")),
        Sharing::Unknown if of_identities(storage) == Sameness::Same => {
            report.pass(pointer, format!("{what}: both hosts name the same storage"));
        }
        Sharing::Unknown if !evidence.is_empty() => {
            report.unknown(pointer, format!("{what}: whether it is shared is not known: {evidence}"));
        }
        Sharing::Unknown => report.unknown(pointer, format!("{what}: whether it is shared was not probed")),
    }
}

fn unsafe_flag(case: &Case<'_>, report: &mut Report) -> Option<()> {
    if !case.request(report)?.allow_unsafe {
        return Some(());
    }
    for (_, disk, found) in written(case, report)? {
        if is_copied(case, report, disk)? {
            continue;
        }
        // libvirt trusts every disk over the network, with the flag or without: it overrules nothing there.
        if disk.kind == "network" {
            continue;
        }
        let target = &disk.target;
        match found.map_or(Sameness::Unknown, of_storage) {
            Sameness::Same => {}
            Sameness::Different => {
                report.fail(
                    "/request/allow-unsafe",
                    format!("the check is overruled, and `{target}` is not shared"),
                );
            }
            Sameness::Unknown => {
                let message = format!("the check is overruled without a proof that `{target}` is shared");
                report.fail("/request/allow-unsafe", message);
            }
        }
    }
    Some(())
}

fn size(case: &Case<'_>, report: &mut Report) -> Option<()> {
    for (at, disk, found) in written(case, report)? {
        let Some(storage) = found else { continue };
        let pointer = format!("/storage/{at}/destination/size-bytes");
        let target = &disk.target;
        let (Some(here), Some(there)) = (storage.source.size_bytes, storage.destination.size_bytes) else {
            // One storage has one size, and a file that is not there has none.
            let has_none = storage.destination.exists == Some(false);
            if of_storage(storage) != Sameness::Same && !has_none {
                report.unknown(
                    pointer,
                    format!("disk `{target}`: whether it has the same size there is not known"),
                );
            }
            continue;
        };
        // QEMU copies only into a file of the same size; libvirt limits a raw block device to that size.
        let is_limited = disk.kind == "block"
            && matches!(disk.format.as_str(), "raw" | "")
            && case.destination(report)?.library_version >= LIBVIRT_LIMITS_DEVICES;
        if there < here || there > here && !is_limited && is_copied(case, report, disk)? {
            report.fail(pointer, format!("disk `{target}` has {here} bytes here and {there} there"));
        } else if there > here {
            report.warn(pointer, format!("disk `{target}` has {here} bytes here and {there} there"));
        }
    }
    Some(())
}
