//! What both hosts tell of the storage behind each disk: whether it is there, how large, which it is, and whether the
//! hosts share it.

use std::collections::BTreeMap;

use roxmltree::{Document, Node};
use whimbrel_plugins::facts::{Disk, DiskStorage, Domain as Guest, Identity, Sharing, StorageSide};

use super::probe::{self, Place, Seen};
use crate::libvirt::{Connection, Domain};

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
    /// Whether disks that are written are copied: then nobody needs to share them.
    pub(super) copied: bool,
}

/// One entry for each disk that has something in it.
pub(super) fn facts(ends: &Ends<'_>, guest: &Guest, target: &Guest) -> Vec<DiskStorage> {
    let there = |disk: &Disk| target.disks.iter().find(|other| other.target == disk.target);
    let mut all: Vec<DiskStorage> = Vec::new();
    for disk in guest.disks.iter().filter(|disk| disk.source.is_some()) {
        let path = |disk: &Disk| disk.source.clone().unwrap_or_default();
        let expected = there(disk).unwrap_or(disk);
        all.push(DiskStorage {
            target: disk.target.clone(),
            source_path: path(disk),
            destination_path: path(expected),
            source: StorageSide {
                // A guest in memory has its disks open.
                exists: ends.domain.state().ok().and_then(|state| state.is_active().then_some(true)),
                size_bytes: disk.size_bytes.or_else(|| ends.domain.disk_bytes(&disk.target).ok()),
                ..StorageSide::default()
            },
            ..DiskStorage::default()
        });
        let Some(storage) = all.last_mut() else { continue };
        match disk.kind.as_str() {
            "block" => blocks(ends, storage),
            "network" => {
                storage.source.identities.extend(network(ends.definition, &disk.target));
                storage.destination.identities.extend(network(ends.destination_xml, &disk.target));
            }
            _ => {}
        }
    }
    directories(ends, guest, &mut all);
    all
}

/// Files, by the directory that they are in on each host: each pair of directories is looked at once.
fn directories(ends: &Ends<'_>, guest: &Guest, all: &mut [DiskStorage]) {
    let is_file = |target: &str| guest.disks.iter().any(|disk| disk.target == target && disk.kind == "file");
    let is_written = |target: &str| guest.disks.iter().any(|disk| disk.target == target && !disk.read_only);
    let mut pairs: BTreeMap<(String, String), Vec<&mut DiskStorage>> = BTreeMap::new();
    for storage in all.iter_mut().filter(|storage| is_file(&storage.target)) {
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
        let written = disks.iter().any(|disk| is_written(&disk.target));
        let [left, right] = &sought;
        let place = |connection, directory| Place { connection, directory };
        let found = probe::look(
            [
                (place(ends.source, here.as_str()), left.as_slice()),
                (place(ends.destination, there.as_str()), right.as_slice()),
            ],
            ends.probe && !(ends.copied && written),
        );
        for (at, disk) in disks.iter_mut().enumerate() {
            side(&mut disk.source, &found.here, at);
            side(&mut disk.destination, &found.there, at);
            disk.sharing = found.sharing;
            disk.sharing_evidence.clone_from(&found.evidence);
            // The directory is shared, and the file would be seen in it: a link in it leads to somewhere else.
            if found.sharing == Sharing::Proven && disk.destination.exists == Some(false) {
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

/// A block device: what its host's device manager calls it tells which it is.
fn blocks(ends: &Ends<'_>, storage: &mut DiskStorage) {
    let ask = |connection: &Connection, path: &str, side: &mut StorageSide| {
        side.identities.extend(named(path));
        let devices = connection.node_devices().unwrap_or_default();
        if let Some(found) = devices.iter().find_map(|xml| device(xml, path)) {
            side.exists = Some(true);
            side.size_bytes = side.size_bytes.or(found.bytes);
            side.identities.extend(found.identities);
        } else if let Ok(Some(bytes)) = connection.volume_bytes(path) {
            side.exists = Some(true);
            side.size_bytes = side.size_bytes.or(Some(bytes));
        }
        side.identities.sort_by(|one, other| (&one.kind, &one.value).cmp(&(&other.kind, &other.value)));
        side.identities.dedup();
    };
    ask(ends.source, &storage.source_path, &mut storage.source);
    ask(ends.destination, &storage.destination_path, &mut storage.destination);
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
    let mut names: Vec<String> = root
        .children()
        .filter(|node| node.has_tag_name("devnode"))
        .filter_map(|node| node.text().map(|text| text.trim().to_owned()))
        .collect();
    names.extend(child(capability, "block"));
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

/// What a device's name tells of it. Only names that follow from the device itself count, not those in the order of
/// discovery. Source: udev's rules for persistent storage.
fn named(path: &str) -> Vec<Identity> {
    let Some(name) = path.strip_prefix("/dev/disk/by-id/") else { return Vec::new() };
    let kinds =
        [("dm-uuid-mpath-", "multipath"), ("wwn-", "wwid"), ("nvme-eui.", "wwid"), ("scsi-3", "wwid")];
    let found = kinds.iter().find_map(|(prefix, kind)| Some((*kind, name.strip_prefix(prefix)?)));
    found.map(|(kind, value)| Identity { kind: kind.to_owned(), value: plain(value) }).into_iter().collect()
}

/// Names of the same number differ in what stands before it.
fn plain(value: &str) -> String {
    value.trim_start_matches("0x").to_ascii_lowercase()
}

/// A disk over the network is what its definition names: the same servers and name are the same storage.
fn network(definition: &str, target: &str) -> Option<Identity> {
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
        let told: Vec<_> =
            found.identities.iter().map(|one| (one.kind.as_str(), one.value.as_str())).collect();
        assert_eq!((told, found.bytes), (vec![("wwid", "600508b1001c"), ("serial", "S1")], Some(4096)));
        assert!(device(LUN, "/dev/sdc").is_none());
    }

    #[test]
    fn names_in_the_order_of_discovery_tell_nothing() {
        assert!(named("/dev/sda").is_empty() && named("/dev/mapper/mpatha").is_empty());
        let multipath = named("/dev/disk/by-id/dm-uuid-mpath-3600A");
        assert_eq!((multipath[0].kind.as_str(), multipath[0].value.as_str()), ("multipath", "3600a"));
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
