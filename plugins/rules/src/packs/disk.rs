//! Whether each disk can be opened on the destination, or made there.

use alloc::format;
use alloc::vec::Vec;

use whimbrel_facts::{Disk, Scalar, StorageCopy};

use super::copying::is_copied;
use crate::case::Case;
use crate::pack::{Rule, rule};
use crate::report::Report;

/// From here on a destination's QEMU drops its kernel's cache of a disk before the guest runs there. Source: QEMU's
/// QMP reference, `drop-cache` of the driver `file`. libvirt treats such a disk as safe if the source's QEMU does so.
const DROPS_CACHE: u64 = 4_000_000;

pub(super) const RULES: &[Rule] = &[
    rule(
        "storage.missing",
        "each disk exists on the destination, or is copied",
        "the hypervisor detects a missing disk only when it starts the guest",
        "connect the storage on the destination, or copy the disk (`--copy-disks=TARGET`)",
        missing,
    ),
    rule(
        "storage.media",
        "the medium in each read-only drive exists on the destination",
        "a missing installation image stops a migration as a missing disk does",
        "eject it (`virsh change-media --eject`), or put the same image there",
        media,
    ),
    rule(
        "storage.cache",
        "no shared disk is read from a stale cache",
        "before QEMU 4.0 the destination may read outdated data from its page cache",
        "use cache mode `none` or `directsync`, or QEMU 4.0 or later on both hosts",
        cache,
    ),
    rule(
        "storage.nvme",
        "no disk is an NVMe controller of the host",
        "a directly assigned NVMe controller belongs to one host",
        "attach the namespace through a shared path, or copy it",
        nvme,
    ),
    rule(
        "storage.space",
        "the destination has space for the copied disks",
        "a copy that runs out of space fails after hours",
        "free space, or copy fewer disks",
        space,
    ),
    rule(
        "storage.pool-missing",
        "the destination has the storage pool of each disk",
        "libvirt looks up a volume in the pool of that name",
        "define the pool on the destination",
        pool_missing,
    ),
    rule(
        "storage.pool-inactive",
        "the storage pool of each disk is active on the destination",
        "volumes of an inactive pool cannot be opened",
        "start it: `virsh pool-start`",
        pool_inactive,
    ),
    rule(
        "storage.backing",
        "an incremental copy finds the backing file of each disk",
        "an incremental copy transfers only the top image; its backing file has to exist on the destination with the \
         same content",
        "copy the backing files first, or copy in full",
        backing,
    ),
    rule(
        "storage.encrypted",
        "the destination has secrets for encrypted disks",
        "an encrypted disk cannot be opened without its secret",
        "define the secrets on the destination",
        encrypted,
    ),
    rule(
        "storage.duplicate",
        "no two disks of the guest are the same file",
        "two disks that write to one file destroy each other's data",
        "remove one of the disks",
        duplicate,
    ),
];

fn exists(case: &Case<'_>, report: &mut Report, wanted: impl Fn(&Disk) -> bool) -> Option<()> {
    let guest = case.arriving(report)?;
    let storage = case.storage(report)?;
    let disks = guest.disks.iter().enumerate().filter(|(_, disk)| disk.source.is_some() && wanted(disk));
    for (number, disk) in disks {
        if is_copied(case, report, disk)? {
            continue;
        }
        let is_dropped = is_dropped_if_missing(case, number, disk);
        let at = storage.iter().position(|one| one.target == disk.target);
        let pointer = format!("/storage/{}/destination/exists", at.unwrap_or(0));
        let found = at.and_then(|at| storage.get(at));
        let path = found.map_or("", |one| one.destination_path.as_str());
        match found.and_then(|one| one.destination.exists) {
            Some(true) => {}
            Some(false) if is_dropped => {
                let message = format!(
                    "disk `{}`: `{path}` is not there on the destination, and libvirt takes the medium out of the drive \
                     (startupPolicy)",
                    disk.target
                );
                report.warn(pointer, message);
            }
            Some(false) => {
                report.fail(
                    pointer,
                    format!("disk `{}`: `{path}` is not there on the destination", disk.target),
                );
            }
            None => {
                report.unknown(
                    pointer,
                    format!("disk `{}`: whether `{path}` is there is not known", disk.target),
                );
            }
        }
    }
    Some(())
}

/// Whether libvirt takes a medium that is missing out of its drive when the guest arrives. Source: libvirt, "Domain XML
/// format", `startupPolicy`: `optional` at any start, `requisite` at a migration.
fn is_dropped_if_missing(case: &Case<'_>, number: usize, disk: &Disk) -> bool {
    let path = format!("xml/devices/disk/{number}/source/@startupPolicy");
    let policy = case.arriving_attribute(&path);
    let drops = matches!(policy, Some(Scalar::Text(policy)) if policy == "optional" || policy == "requisite");
    drops && matches!(disk.device.as_str(), "cdrom" | "floppy")
}

fn missing(case: &Case<'_>, report: &mut Report) -> Option<()> {
    exists(case, report, |disk| !disk.read_only)
}

fn media(case: &Case<'_>, report: &mut Report) -> Option<()> {
    exists(case, report, |disk| disk.read_only)
}

fn cache(case: &Case<'_>, report: &mut Report) -> Option<()> {
    let guest = case.guest(report)?;
    for (at, disk) in guest.disks.iter().enumerate() {
        let cached = !matches!(disk.cache.as_str(), "none" | "directsync");
        // libvirt takes a shareable disk for safe in every mode. Source: `qemuMigrationSrcIsSafe`.
        if disk.source.is_none() || disk.read_only || disk.shareable || disk.kind == "network" || !cached {
            continue;
        }
        if is_copied(case, report, disk)? {
            continue;
        }
        // With `unsafe` QEMU never flushes anything, so the destination has nothing to read.
        if disk.cache != "unsafe" && drops_caches(case, report)? {
            continue;
        }
        let mode = if disk.cache.is_empty() { "default" } else { disk.cache.as_str() };
        let message = format!("disk `{}` has the cache mode `{mode}`", disk.target);
        report.warn(format!("/guest/disks/{at}/cache"), message);
    }
    Some(())
}

/// Whether the destination reads what the source wrote, and the source's libvirt knows that it does.
fn drops_caches(case: &Case<'_>, report: &mut Report) -> Option<bool> {
    let mut all = true;
    for (host, name, version) in [
        (case.source(report)?, "/source/hypervisor", "/source/hypervisor-version"),
        (case.destination(report)?, "/destination/hypervisor", "/destination/hypervisor-version"),
    ] {
        report.need((!host.hypervisor.is_empty()).then_some(()), name)?;
        report.need((host.hypervisor_version > 0).then_some(()), version)?;
        all &= host.hypervisor == "QEMU" && host.hypervisor_version >= DROPS_CACHE;
    }
    Some(all)
}

fn nvme(case: &Case<'_>, report: &mut Report) -> Option<()> {
    let guest = case.guest(report)?;
    for (at, disk) in guest.disks.iter().enumerate().filter(|(_, disk)| disk.kind == "nvme") {
        let message = format!("disk `{}` is an NVMe controller of the source", disk.target);
        report.fail(format!("/guest/disks/{at}/kind"), message);
    }
    Some(())
}

fn space(case: &Case<'_>, report: &mut Report) -> Option<()> {
    if case.request(report)?.storage_copy == StorageCopy::None {
        return Some(());
    }
    let guest = case.guest(report)?;
    let storage = case.storage(report)?;
    // Disks of one pool share its room.
    let mut pools: Vec<(&str, u64, u64)> = Vec::new();
    for disk in &guest.disks {
        if !is_copied(case, report, disk)? {
            continue;
        }
        let found = storage.iter().find(|one| one.target == disk.target);
        let size = report
            .need(found.and_then(|one| one.source.size_bytes).or(disk.size_bytes), "/storage/source")?;
        let there = &report.need(found, "/storage")?.destination;
        let free = report.need(there.free_bytes, "/storage/destination/free-bytes")?;
        // Space that the destination's file takes already is not taken again.
        let wanted = size.saturating_sub(there.size_bytes.unwrap_or(0));
        match pools.iter_mut().find(|(name, ..)| *name == there.pool) {
            Some((_, sum, _)) => *sum = sum.saturating_add(wanted),
            None => pools.push((&there.pool, wanted, free)),
        }
    }
    for (pool, wanted, free) in pools {
        if wanted > free {
            let message = format!(
                "the copy needs {} MiB in pool `{pool}` of the destination, which has {} MiB free",
                wanted >> 20,
                free >> 20
            );
            report.fail("/storage", message);
        }
    }
    Some(())
}

fn pool_missing(case: &Case<'_>, report: &mut Report) -> Option<()> {
    let guest = case.arriving(report)?;
    for (at, disk) in guest.disks.iter().enumerate().filter(|(_, disk)| !disk.pool.is_empty()) {
        let host = case.destination(report)?;
        let pools = report.need(host.pools.as_ref(), "/destination/pools")?;
        if !pools.iter().any(|pool| pool.name == disk.pool) {
            let message = format!("the destination has no storage pool `{}`", disk.pool);
            report.fail(format!("{}/disks/{at}/pool", case.arriving_at()), message);
        }
    }
    Some(())
}

fn pool_inactive(case: &Case<'_>, report: &mut Report) -> Option<()> {
    let guest = case.arriving(report)?;
    for (at, disk) in guest.disks.iter().enumerate().filter(|(_, disk)| !disk.pool.is_empty()) {
        let host = case.destination(report)?;
        let pools = report.need(host.pools.as_ref(), "/destination/pools")?;
        if pools.iter().any(|pool| pool.name == disk.pool && !pool.active) {
            let message = format!("the storage pool `{}` is not active on the destination", disk.pool);
            report.fail(format!("{}/disks/{at}/pool", case.arriving_at()), message);
        }
    }
    Some(())
}

fn backing(case: &Case<'_>, report: &mut Report) -> Option<()> {
    if case.request(report)?.storage_copy != StorageCopy::Incremental {
        return Some(());
    }
    let guest = case.guest(report)?;
    for (at, disk) in guest.disks.iter().enumerate() {
        if !is_copied(case, report, disk)? {
            continue;
        }
        let pointer = format!("/guest/disks/{at}/backing");
        let target = &disk.target;
        match disk.backing.first() {
            Some(base) => report.unknown(
                pointer,
                format!("disk `{target}`: whether `{base}` is there and equal is not known"),
            ),
            None => report.fail(pointer, format!("disk `{target}` has no backing file to build on")),
        }
    }
    Some(())
}

fn encrypted(case: &Case<'_>, report: &mut Report) -> Option<()> {
    let guest = case.arriving(report)?;
    for (at, disk) in guest.disks.iter().enumerate().filter(|(_, disk)| disk.encrypted) {
        let host = case.destination(report)?;
        let secrets = report.need(host.secrets.as_ref(), "/destination/secrets")?;
        if secrets.is_empty() {
            let message = format!("disk `{}` is encrypted, and the destination has no secrets", disk.target);
            report.fail(format!("{}/disks/{at}/encrypted", case.arriving_at()), message);
        }
    }
    Some(())
}

fn duplicate(case: &Case<'_>, report: &mut Report) -> Option<()> {
    let guest = case.guest(report)?;
    for (at, disk) in guest.disks.iter().enumerate() {
        let is_same = |other: &&Disk| {
            disk.source.is_some()
                && (&other.source, &other.protocol) == (&disk.source, &disk.protocol)
                && (other.kind == disk.kind || is_path(other) && is_path(disk))
                && !(other.read_only && disk.read_only)
                // Two paths to one disk, for a guest that combines them.
                && !(other.shareable && disk.shareable)
        };
        let Some(other) = guest.disks.iter().take(at).find(is_same) else { continue };
        let (first, second) = (&other.target, &disk.target);
        let pointer = format!("/guest/disks/{at}/source");
        if is_path(disk) || disk.kind == "volume" {
            report.fail(pointer, format!("disks `{first}` and `{second}` are the same file"));
        } else {
            // The same name may stand for something else on another server, controller or process.
            let name = disk.source.as_deref().unwrap_or_default();
            report.unknown(
                pointer,
                format!(
                    "disks `{first}` and `{second}` have one name: whether `{name}` is the same is not known"
                ),
            );
        }
    }
    Some(())
}

/// Whether its source is a path of the host.
fn is_path(disk: &Disk) -> bool {
    matches!(disk.kind.as_str(), "file" | "block" | "dir")
}
