//! What distinguishes a piece of storage from every other, as each host reports it: names of devices that follow from the device
//! itself, keys that libvirt's pools have, and the servers and names of disks over the network.

use roxmltree::{Document, Node};
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
    if let Some(found) = devices.iter().find_map(|xml| device(xml, path)) {
        side.exists = Some(true);
        side.size_bytes = side.size_bytes.or(found.bytes);
        side.identities.extend(found.identities);
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
    let mut names = devices
        .iter()
        .filter_map(|xml| names(&Document::parse(xml).ok()?.root_element()))
        .find(|names| names.iter().any(|name| name == path))
        .unwrap_or_default();
    names.push(path.to_owned());
    names
}

/// The names of a storage device; none for another kind.
fn names(device: &Node<'_, '_>) -> Option<Vec<String>> {
    let text = |node: Node<'_, '_>| node.text().map(|text| text.trim().to_owned());
    let capability = device.children().find(|node| node.attribute("type") == Some("storage"))?;
    let links = device.children().filter(|node| node.has_tag_name("devnode"));
    let block = capability.children().filter(|node| node.has_tag_name("block"));
    Some(links.chain(block).filter_map(text).collect())
}

struct BlockDevice {
    bytes: Option<u64>,
    identities: Vec<Identity>,
}

/// The device that has this path among its names, out of its node device.
fn device(node_device: &str, path: &str) -> Option<BlockDevice> {
    let parsed = Document::parse(node_device).ok()?;
    let root = parsed.root_element();
    let child = |node: Node<'_, '_>, name: &str| {
        let found = node.children().find(|child| child.has_tag_name(name))?;
        found.text().map(|text| text.trim().to_owned())
    };
    let capability = root.children().find(|node| node.attribute("type") == Some("storage"))?;
    let names = names(&root)?;
    if !names.iter().any(|name| name == path) {
        return None;
    }
    let mut identities: Vec<Identity> = names.iter().flat_map(|name| named(name)).collect();
    if let Some(value) = child(capability, "serial").filter(|serial| !serial.is_empty()) {
        identities.push(Identity { kind: "serial".to_owned(), value });
    }
    let bytes = child(capability, "size").and_then(|text| text.parse().ok());
    Some(BlockDevice { bytes, identities })
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

/// A disk over the network is what its definition names: its servers and its name on them. A server that is another
/// machine on each host (`localhost`, a socket, none) stays in it: the comparison of identities knows those.
pub(super) fn network(definition: &str, target: &str) -> Option<Identity> {
    let parsed = Document::parse(definition).ok()?;
    let disk = parsed.descendants().filter(|node| node.has_tag_name("disk")).find(|disk| {
        let is_it = |node: Node<'_, '_>| node.has_tag_name("target") && node.attribute("dev") == Some(target);
        disk.children().any(is_it)
    })?;
    let source = disk.children().find(|node| node.has_tag_name("source"))?;
    let host = |node: Node<'_, '_>| {
        let part = |name| node.attribute(name).unwrap_or_default().to_owned();
        format!("{}:{}", part("name") + &part("socket"), part("port"))
    };
    let mut hosts: Vec<String> =
        source.children().filter(|node| node.has_tag_name("host")).map(host).collect();
    hosts.sort();
    let value = format!("{} {}", hosts.join(","), source.attribute("name").unwrap_or_default());
    Some(Identity { kind: source.attribute("protocol")?.to_owned(), value })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LUN: &str = "<device><name>block_sdb</name><devnode type='dev'>/dev/sdb</devnode>\
        <devnode type='link'>/dev/disk/by-id/wwn-0x600508B1001C</devnode><capability type='storage'>\
        <block>/dev/sdb</block><serial>S1</serial><size>4096</size></capability></device>";

    #[test]
    fn a_lun_is_what_its_names_say() {
        let found = device(LUN, "/dev/sdb").unwrap();
        let identities: Vec<_> =
            found.identities.iter().map(|one| (one.kind.as_str(), one.value.as_str())).collect();
        assert_eq!((identities, found.bytes), (vec![("wwid", "600508b1001c"), ("serial", "S1")], Some(4096)));
        assert!(device(LUN, "/dev/sdc").is_none());
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

    #[test]
    fn a_network_disk_is_its_servers_and_its_name() {
        let xml = "<domain><devices><disk type='network'><source protocol='rbd' name='pool/image'>\
                   <host name='m2' port='6789'/><host name='m1' port='6789'/></source><target dev='vda'/></disk>\
                   </devices></domain>";
        let found = network(xml, "vda").unwrap();
        assert_eq!((found.kind.as_str(), found.value.as_str()), ("rbd", "m1:6789,m2:6789 pool/image"));
        assert!(network(xml, "vdb").is_none());
    }
}
