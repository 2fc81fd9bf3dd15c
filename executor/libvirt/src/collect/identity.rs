//! What distinguishes a piece of storage from every other, as each host reports it: names of devices that follow from the device
//! itself, and keys that libvirt's pools have. Disks over the network are named by their definition.

use whimbrel_facts::xml::{self, StorageDevice};
use whimbrel_facts::{DiskStorage, Identity, StorageSide};

use super::disks::Ends;
use crate::Connection;

/// The devices of both hosts, listed once however many disks ask.
#[derive(Default)]
pub(super) struct Devices {
    source: Option<Vec<String>>,
    destination: Option<Vec<String>>,
}

impl Devices {
    pub(super) fn ask(&mut self, ends: &Ends<'_>, storage: &mut DiskStorage) {
        let sides = [
            (ends.source, &mut self.source, &storage.source_path, &mut storage.source),
            (ends.destination, &mut self.destination, &storage.destination_path, &mut storage.destination),
        ];
        for (connection, devices, path, side) in sides {
            let devices =
                devices.get_or_insert_with(|| connection.node_devices().unwrap_or_default()).as_slice();
            block_device(connection, devices, path, side);
        }
    }
}

/// A block device: what its host's device manager calls it identifies it.
fn block_device(connection: &Connection, devices: &[String], path: &str, side: &mut StorageSide) {
    side.identities.extend(named(path));
    if let Some(found) = device(devices, path) {
        side.exists = Some(true);
        side.size_bytes = side.size_bytes.or(found.bytes);
        side.identities.extend(identities(&found));
    } else if let Ok(Some(bytes)) = connection.volume_bytes(path) {
        side.exists = Some(true);
        side.size_bytes = side.size_bytes.or(Some(bytes));
    }
    // Pools of logical volumes and of SCSI devices know theirs by a key; those of files by their path.
    let key = connection.volume_key(path).ok().flatten().filter(|key| !key.starts_with('/'));
    side.identities.extend(key.map(|value| Identity { kind: "volume-key".to_owned(), value }));
    side.identities.sort_by(|one, other| (&one.kind, &one.value).cmp(&(&other.kind, &other.value)));
    side.identities.dedup();
}

/// Every name by which a block device of this path is known among these node devices, the path among them.
pub(super) fn names_of(devices: &[String], path: &str) -> Vec<String> {
    let mut names = device(devices, path).map(|device| device.names).unwrap_or_default();
    names.push(path.to_owned());
    names
}

/// The block device that has this path among its names. A node device that cannot be read is not it.
fn device(node_devices: &[String], path: &str) -> Option<StorageDevice> {
    let mut devices = node_devices.iter().filter_map(|xml| xml::storage_device(xml).ok().flatten());
    devices.find(|device| device.names.iter().any(|name| name == path))
}

/// What the names of a device and its serial identify.
fn identities(device: &StorageDevice) -> Vec<Identity> {
    let serial = Some(&device.serial).filter(|serial| !serial.is_empty());
    let serial = serial.map(|value| Identity { kind: "serial".to_owned(), value: value.clone() });
    device.names.iter().flat_map(|name| named(name)).chain(serial).collect()
}

/// The identities in a device's name. Only names that follow from the device itself count, not those in the order of
/// discovery. Source: udev's rules for persistent storage.
fn named(path: &str) -> Vec<Identity> {
    let of = |kind: &str, value: &str| Identity { kind: kind.to_owned(), value: plain(value) };
    if let Some(portal) = path.strip_prefix("/dev/disk/by-path/ip-") {
        let target = portal.split_once("-iscsi-").and_then(|(portal, target)| {
            let (name, lun) = target.rsplit_once("-lun-")?;
            Some(Identity { kind: "iscsi".to_owned(), value: format!("{portal} {name}/{lun}") })
        });
        return target.into_iter().collect();
    }
    let Some(name) = path.strip_prefix("/dev/disk/by-id/") else { return Vec::new() };
    if let Some(value) = name.strip_prefix("dm-uuid-mpath-") {
        // A map of several paths has the number of the LUN below, behind a digit for its kind.
        let lun = value.strip_prefix('3').map(|number| of("wwid", number));
        return std::iter::once(of("multipath", value)).chain(lun).collect();
    }
    let kinds = [
        ("dm-uuid-LVM-", "lvm"),
        ("wwn-", "wwid"),
        ("nvme-eui.", "wwid"),
        ("nvme-uuid.", "nvme"),
        ("nvme-nvme.", "nvme"),
        ("scsi-3", "wwid"),
    ];
    let found = kinds.iter().find_map(|(prefix, kind)| Some(of(kind, name.strip_prefix(prefix)?)));
    found.into_iter().collect()
}

/// Names of the same number differ in what stands before it.
fn plain(value: &str) -> String {
    value.trim_start_matches("0x").to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LUN: &str = "<device><name>block_sdb</name><devnode type='dev'>/dev/sdb</devnode>\
        <devnode type='link'>/dev/disk/by-id/wwn-0x600508B1001C</devnode><capability type='storage'>\
        <block>/dev/sdb</block><serial>S1</serial><size>4096</size></capability></device>";

    #[test]
    fn a_lun_is_what_its_names_say() {
        let devices = [LUN.to_owned()];
        let found = device(&devices, "/dev/sdb").unwrap();
        let identified = identities(&found);
        let identities: Vec<_> =
            identified.iter().map(|one| (one.kind.as_str(), one.value.as_str())).collect();
        assert_eq!((identities, found.bytes), (vec![("wwid", "600508b1001c"), ("serial", "S1")], Some(4096)));
        assert!(device(&devices, "/dev/sdc").is_none());
    }

    #[test]
    fn names_in_the_order_of_discovery_tell_nothing() {
        assert!(named("/dev/sda").is_empty() && named("/dev/mapper/mpatha").is_empty());
        let identities_of = |path: &str| {
            let found = named(path).into_iter().map(|one| format!("{} {}", one.kind, one.value));
            found.collect::<Vec<_>>()
        };
        assert_eq!(identities_of("/dev/disk/by-id/dm-uuid-mpath-3600A"), ["multipath 3600a", "wwid 600a"]);
        assert_eq!(identities_of("/dev/disk/by-id/dm-uuid-LVM-AbC"), ["lvm abc"]);
        assert_eq!(identities_of("/dev/disk/by-id/nvme-uuid.1-2"), ["nvme 1-2"]);
        let path = "/dev/disk/by-path/ip-192.0.2.1:3260-iscsi-iqn.2026-11.x:disks-lun-1";
        assert_eq!(identities_of(path), ["iscsi 192.0.2.1:3260 iqn.2026-11.x:disks/1"]);
        assert_eq!(names_of(&[LUN.to_owned()], "/dev/sdb").len(), 4);
    }
}
