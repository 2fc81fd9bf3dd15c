//! The devices of a guest's definition.

use std::prelude::rust_2024::*;

use std::collections::BTreeSet;

use crate::{
    CharacterDevice, Disk, Domain, Filesystem, Graphics, HostDevice, MemoryDevice, NetworkCard, SharedMemory,
    Tpm,
};
use roxmltree::Node;

use super::node::{at, attribute, child, children, kib, number, small};

pub(super) fn read(devices: Node<'_, '_>, guest: &mut Domain) {
    for node in devices.children().filter(Node::is_element) {
        match node.tag_name().name() {
            "disk" => guest.disks.push(disk(node)),
            "interface" => guest.network_cards.push(network_card(node)),
            "hostdev" => guest.host_devices.push(host_device(node)),
            "filesystem" => guest.filesystems.push(filesystem(node)),
            "tpm" => guest.tpms.push(tpm(node)),
            "shmem" => guest.shared_memories.push(shared_memory(node)),
            "graphics" => guest.graphics.push(graphics(node)),
            "memory" => guest.memory_devices.push(memory(node)),
            "serial" | "parallel" | "console" | "channel" => guest.character_devices.push(character(node)),
            // Kept as attributes, or named as not understood.
            _ => {}
        }
    }
    guest.free_root_ports = free_root_ports(devices);
}

fn disk(node: Node<'_, '_>) -> Disk {
    let driver = child(node, "driver");
    let source = child(node, "source");
    let of_driver = |name| driver.map(|driver| attribute(driver, name)).unwrap_or_default();
    let device = node.attribute("device").unwrap_or("disk");
    let kind = node.attribute("type").unwrap_or("file");
    let mut backing = Vec::new();
    let mut chain = child(node, "backingStore");
    while let Some(store) = chain {
        backing.extend(child(store, "source").and_then(place));
        chain = child(store, "backingStore");
    }
    Disk {
        target: child(node, "target").map(|target| attribute(target, "dev")).unwrap_or_default(),
        bus: child(node, "target").map(|target| attribute(target, "bus")).unwrap_or_default(),
        device: device.to_owned(),
        kind: kind.to_owned(),
        source: source.and_then(place),
        protocol: source.map(|source| attribute(source, "protocol")).unwrap_or_default(),
        format: of_driver("type"),
        cache: of_driver("cache"),
        read_only: child(node, "readonly").is_some() || device == "cdrom",
        shareable: child(node, "shareable").is_some(),
        transient: child(node, "transient").is_some(),
        serial: super::node::text(node, &["serial"]).unwrap_or_default(),
        wwn: super::node::text(node, &["wwn"]).unwrap_or_default(),
        size_bytes: None,
        reservations: source.is_some_and(|source| child(source, "reservations").is_some()),
        encrypted: child(node, "encryption").is_some()
            || source.is_some_and(|source| child(source, "encryption").is_some()),
        busy: child(node, "mirror").map(|mirror| mirror.attribute("job").unwrap_or("copy").to_owned()),
        pool: source.map(|source| attribute(source, "pool")).unwrap_or_default(),
        backing,
    }
}

/// What a source names, by whichever attribute its type has.
fn place(source: Node<'_, '_>) -> Option<String> {
    if let (Some(pool), Some(volume)) = (source.attribute("pool"), source.attribute("volume")) {
        return Some(format!("{pool}/{volume}"));
    }
    if let Some(path) = ["file", "dev", "dir", "name", "path"].iter().find_map(|name| source.attribute(*name))
    {
        return Some(path.to_owned());
    }
    child(source, "address").map(address)
}

fn address(node: Node<'_, '_>) -> String {
    let part = |name| node.attribute(name).and_then(number);
    if let (Some(domain), Some(bus), Some(slot), Some(function)) =
        (part("domain"), part("bus"), part("slot"), part("function"))
    {
        return format!("{domain:04x}:{bus:02x}:{slot:02x}.{function:x}");
    }
    let all = node.attributes().map(|one| format!("{}={}", one.name(), one.value()));
    all.collect::<Vec<_>>().join(",")
}

fn network_card(node: Node<'_, '_>) -> NetworkCard {
    let source = child(node, "source");
    let named = |source: Node<'_, '_>| {
        let names = ["network", "bridge", "dev", "path", "portgroup"];
        names.iter().find_map(|name| source.attribute(*name)).unwrap_or_default().to_owned()
    };
    NetworkCard {
        kind: attribute(node, "type"),
        source: source.map(named).unwrap_or_default(),
        mac: child(node, "mac").map(|mac| attribute(mac, "address")).unwrap_or_default(),
        model: child(node, "model").map(|model| attribute(model, "type")).unwrap_or_default(),
        backend: child(node, "backend").map(|backend| attribute(backend, "type")).unwrap_or_default(),
        mtu: child(node, "mtu").and_then(|mtu| small(mtu.attribute("size")?)),
        transient: is_transient(node),
    }
}

fn is_transient(node: Node<'_, '_>) -> bool {
    child(node, "teaming").is_some_and(|teaming| teaming.attribute("type") == Some("transient"))
}

fn host_device(node: Node<'_, '_>) -> HostDevice {
    let is_capabilities = node.attribute("mode") == Some("capabilities");
    let source = child(node, "source");
    let place = source.map(|source| {
        if let Some(node) = child(source, "address") {
            address(node)
        } else {
            let words = source.descendants().filter(Node::is_element).flat_map(|node| node.attributes());
            words.map(|one| one.value().to_owned()).collect::<Vec<_>>().join(":")
        }
    });
    HostDevice {
        kind: if is_capabilities { "capabilities".to_owned() } else { attribute(node, "type") },
        address: place.unwrap_or_default(),
        model: attribute(node, "model"),
        transient: is_transient(node),
    }
}

fn filesystem(node: Node<'_, '_>) -> Filesystem {
    Filesystem {
        driver: child(node, "driver").map(|driver| attribute(driver, "type")).unwrap_or_default(),
        source: child(node, "source").and_then(place).unwrap_or_default(),
        target: child(node, "target").map(|target| attribute(target, "dir")).unwrap_or_default(),
    }
}

fn tpm(node: Node<'_, '_>) -> Tpm {
    let backend = child(node, "backend");
    Tpm {
        model: attribute(node, "model"),
        backend: backend.map(|backend| attribute(backend, "type")).unwrap_or_default(),
        secret: backend
            .and_then(|backend| child(backend, "encryption"))
            .map(|node| attribute(node, "secret")),
    }
}

fn shared_memory(node: Node<'_, '_>) -> SharedMemory {
    SharedMemory {
        name: attribute(node, "name"),
        model: child(node, "model").map(|model| attribute(model, "type")).unwrap_or_default(),
        role: attribute(node, "role"),
    }
}

fn graphics(node: Node<'_, '_>) -> Graphics {
    Graphics {
        kind: attribute(node, "type"),
        listen: attribute(node, "listen"),
        clipboard: child(node, "clipboard")
            .is_some_and(|clipboard| clipboard.attribute("copypaste") != Some("no")),
    }
}

fn memory(node: Node<'_, '_>) -> MemoryDevice {
    let place = child(node, "address");
    MemoryDevice {
        model: attribute(node, "model"),
        slot: place.and_then(|place| small(place.attribute("slot")?)),
        base: place.and_then(|place| number(place.attribute("base")?)),
        size_kib: at(node, &["target", "size"]).and_then(kib).unwrap_or_default(),
    }
}

fn character(node: Node<'_, '_>) -> CharacterDevice {
    let source = child(node, "source");
    CharacterDevice {
        kind: node.tag_name().name().to_owned(),
        backend: attribute(node, "type"),
        path: source.map(|source| attribute(source, "path")).unwrap_or_default(),
    }
}

/// None for a guest without PCI Express. A port is taken when a device's address names its bus.
fn free_root_ports(devices: Node<'_, '_>) -> Option<u32> {
    let controllers = || children(devices, "controller").filter(|node| node.attribute("type") == Some("pci"));
    if !controllers().any(|node| node.attribute("model") == Some("pcie-root")) {
        return None;
    }
    let taken: BTreeSet<u64> = devices
        .children()
        .filter_map(|device| child(device, "address"))
        .filter(|place| place.attribute("type") == Some("pci"))
        .filter_map(|place| number(place.attribute("bus")?))
        .collect();
    let ports = controllers().filter(|node| node.attribute("model") == Some("pcie-root-port"));
    let free =
        ports.filter_map(|node| number(node.attribute("index")?)).filter(|index| !taken.contains(index));
    u32::try_from(free.count()).ok()
}
