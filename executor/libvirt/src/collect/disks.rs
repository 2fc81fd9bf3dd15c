//! What both hosts tell of the storage behind each disk: whether it is there, how large, which it is, and whether the
//! hosts share it.

use std::collections::BTreeMap;

use whimbrel_facts::xml;
use whimbrel_facts::{Disk, DiskStorage, Domain as Guest, Sharing, StorageSide};

use super::identity::Devices;
use super::probe::{self, Place, Seen};
use crate::{Connection, Domain};

/// Both ends, and what may be done to them.
pub(super) struct Ends<'a> {
    pub(super) source: &'a Connection,
    pub(super) destination: &'a Connection,
    pub(super) domain: &'a Domain,
    pub(super) definition: &'a str,
    /// The definition that the destination will have.
    pub(super) destination_xml: &'a str,
    /// Whether the sharing may be probed.
    pub(super) probe: bool,
}

/// One entry for each disk that has something in it, and one for each layer below it, as libvirt numbers them: `vda[1]`
/// is the first layer below `vda`.
pub(super) fn facts(ends: &Ends<'_>, guest: &Guest, target: &Guest) -> Vec<DiskStorage> {
    let mut all: Vec<DiskStorage> = Vec::new();
    let mut devices = Devices::default();
    let is_active = ends.domain.state().is_ok_and(crate::State::is_active);
    for disk in guest.disks.iter().filter(|disk| disk.source.is_some()) {
        let expected = target.disks.iter().find(|other| other.target == disk.target).unwrap_or(disk);
        let path = |disk: &Disk| disk.source.clone().unwrap_or_default();
        let top = DiskStorage {
            target: disk.target.clone(),
            source_path: path(disk),
            destination_path: path(expected),
            source: StorageSide {
                // A guest in memory has its disks open.
                exists: is_active.then_some(true),
                size_bytes: disk.size_bytes.or_else(|| ends.domain.disk_bytes(&disk.target).ok()),
                ..StorageSide::default()
            },
            ..DiskStorage::default()
        };
        all.push(top);
        // The destination opens the layers that its definition names, or those that the top image names itself.
        let below = if expected.backing.is_empty() { &disk.backing } else { &expected.backing };
        for (at, (here, there)) in disk.backing.iter().zip(below).enumerate() {
            all.push(DiskStorage {
                target: format!("{}[{}]", disk.target, at.saturating_add(1)),
                source_path: here.clone(),
                destination_path: there.clone(),
                ..DiskStorage::default()
            });
        }
    }
    for storage in &mut all {
        let disk = guest.disks.iter().find(|disk| disk.target == disk_of(&storage.target));
        let is_layer = disk_of(&storage.target) != storage.target;
        match disk.map(|disk| disk.kind.as_str()) {
            Some("network") if !is_layer => {
                // The comparison of identities knows servers that are another machine on each host.
                let network = |xml| xml::network_disk(xml, &storage.target).ok().flatten();
                storage.source.identities.extend(network(ends.definition));
                storage.destination.identities.extend(network(ends.destination_xml));
            }
            Some(_) if is_device(&storage.source_path) || is_device(&storage.destination_path) => {
                devices.ask(ends, storage);
            }
            _ => {}
        }
    }
    directories(ends, &mut all);
    all
}

/// The disk that an entry belongs to.
fn disk_of(target: &str) -> &str {
    target.split('[').next().unwrap_or(target)
}

/// A file beside others, which a probe of its directory speaks for.
fn is_file(path: &str) -> bool {
    path.starts_with('/') && !is_device(path)
}

fn is_device(path: &str) -> bool {
    path.starts_with("/dev/")
}

/// Files, by the directory that they are in on each host: each pair of directories is probed once.
fn directories(ends: &Ends<'_>, all: &mut [DiskStorage]) {
    let mut pairs: BTreeMap<(String, String), Vec<&mut DiskStorage>> = BTreeMap::new();
    let both_files = |one: &&mut DiskStorage| is_file(&one.source_path) && is_file(&one.destination_path);
    for storage in all.iter_mut().filter(both_files) {
        let (Some((here, _)), Some((there, _))) =
            (split(&storage.source_path), split(&storage.destination_path))
        else {
            continue;
        };
        pairs.entry((here.to_owned(), there.to_owned())).or_default().push(storage);
    }
    for ((here, there), mut disks) in pairs {
        let name = |path: &str| split(path).map(|(_, name)| name.to_owned()).unwrap_or_default();
        let sought: [Vec<String>; 2] = [
            disks.iter().map(|disk| name(&disk.source_path)).collect(),
            disks.iter().map(|disk| name(&disk.destination_path)).collect(),
        ];
        let [left, right] = &sought;
        let place = |connection, directory| Place { connection, directory };
        let found = probe::look(
            [
                (place(ends.source, here.as_str()), left.as_slice()),
                (place(ends.destination, there.as_str()), right.as_slice()),
            ],
            ends.probe,
        );
        for (at, disk) in disks.iter_mut().enumerate() {
            side(&mut disk.source, &found.here, at);
            side(&mut disk.destination, &found.there, at);
            disk.sharing = found.sharing;
            disk.sharing_evidence.clone_from(&found.evidence);
            if found.sharing == Sharing::Proven && name(&disk.source_path) != name(&disk.destination_path) {
                disk.sharing = Sharing::Unknown;
                "the directory is shared, and the destination's definition names another file in it"
                    .clone_into(&mut disk.sharing_evidence);
            }
            // The directory is shared, and the file would be seen in it: a link in it leads to somewhere else.
            if disk.sharing == Sharing::Proven && disk.destination.exists == Some(false) {
                disk.sharing = Sharing::Disproven;
                "the directory is shared, and the disk's file is not in it"
                    .clone_into(&mut disk.sharing_evidence);
            }
        }
    }
}

fn side(side: &mut StorageSide, seen: &Seen, at: usize) {
    side.pool.clone_from(&seen.pool);
    side.free_bytes = seen.free_bytes;
    side.filesystem.clone_from(&seen.filesystem);
    match (seen.exists, seen.files.get(at)) {
        (Some(false), _) | (_, Some(None)) => side.exists = side.exists.or(Some(false)),
        (_, Some(Some(bytes))) => {
            side.exists = Some(true);
            side.size_bytes = side.size_bytes.or(Some(*bytes));
        }
        (_, None) => {}
    }
}

fn split(path: &str) -> Option<(&str, &str)> {
    path.rsplit_once('/').filter(|(directory, name)| !directory.is_empty() && !name.is_empty())
}
