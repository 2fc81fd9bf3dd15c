//! Storage pools, networks and devices of a host.

use std::prelude::rust_2024::*;

use crate::{Attribute, Device, Link, Network, Pool};
use roxmltree::Node;

use super::node::{at, attribute, bytes, child, children, number, small, text};
use super::{XmlError, parse};

/// Reads `<pool>`. Whether it is active, its XML does not tell: a pool with room is taken for active.
///
/// # Errors
/// When it is not the XML of a pool, or hostile.
pub fn pool(xml: &str) -> Result<Pool, XmlError> {
    let document = parse(xml, "pool")?;
    let root = document.root_element();
    let capacity = child(root, "capacity").and_then(|node| bytes(node, "bytes"));
    Ok(Pool {
        name: text(root, &["name"]).unwrap_or_default(),
        kind: attribute(root, "type"),
        active: capacity.is_some_and(|bytes| bytes > 0),
        path: text(root, &["target", "path"]).unwrap_or_default(),
        available_bytes: child(root, "available").and_then(|node| bytes(node, "bytes")),
    })
}

/// The kind of a pool's file system, such as `nfs` or `xfs`: `/pool/source/format/@type` of a pool that libvirt mounts. Empty:
/// it is a directory of any file system, or the host chooses the kind when it mounts it.
///
/// # Errors
/// When it is not the XML of a pool, or hostile.
pub fn pool_filesystem(xml: &str) -> Result<String, XmlError> {
    let document = parse(xml, "pool")?;
    let root = document.root_element();
    if !matches!(attribute(root, "type").as_str(), "fs" | "netfs") {
        return Ok(String::new());
    }
    let kind = at(root, &["source", "format"]).map(|node| attribute(node, "type")).unwrap_or_default();
    Ok(if kind == "auto" { String::new() } else { kind })
}

/// Reads `<network>`, which is active as far as its XML can tell.
///
/// # Errors
/// When it is not the XML of a network, or hostile.
pub fn network(xml: &str) -> Result<Network, XmlError> {
    let document = parse(xml, "network")?;
    let root = document.root_element();
    Ok(Network {
        name: text(root, &["name"]).unwrap_or_default(),
        active: true,
        bridge: child(root, "bridge").map(|bridge| attribute(bridge, "name")).unwrap_or_default(),
    })
}

/// What `<network>` says of the destination's network beyond the fields of [`Network`]: the mode in which it forwards
/// (`none` where it does not), the kind of its ports where it has one, and its port groups, as
/// `destination/networks/NAME/forward-mode`, `.../virtualport` and `.../portgroups/NAME`. Sorted by path.
///
/// # Errors
/// When it is not the XML of a network, or hostile.
pub fn network_attributes(xml: &str) -> Result<Vec<Attribute>, XmlError> {
    let document = parse(xml, "network")?;
    let root = document.root_element();
    let below = format!("destination/networks/{}", text(root, &["name"]).unwrap_or_default());
    let forward = child(root, "forward");
    // An element without a mode translates addresses. Source: libvirt, "Network XML format", `forward`.
    let mode = forward.map_or("none", |forward| forward.attribute("mode").unwrap_or("nat"));
    let mut found = vec![Attribute { path: format!("{below}/forward-mode"), value: mode.into() }];
    if let Some(kind) = child(root, "virtualport").and_then(|port| port.attribute("type")) {
        found.push(Attribute { path: format!("{below}/virtualport"), value: kind.into() });
    }
    let groups = children(root, "portgroup").filter_map(|group| group.attribute("name"));
    let group = |name| Attribute { path: format!("{below}/portgroups/{name}"), value: true.into() };
    found.extend(groups.map(group));
    found.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(found)
}

/// Reads `<device>`, a node device.
///
/// # Errors
/// When it is not the XML of a device, or hostile.
pub fn node_device(xml: &str) -> Result<Device, XmlError> {
    let document = parse(xml, "device")?;
    let root = document.root_element();
    let capability = child(root, "capability");
    let kind = capability.map(|node| attribute(node, "type")).unwrap_or_default();
    let types =
        capability.into_iter().flat_map(|node| node.descendants()).filter(|node| node.has_tag_name("type"));
    Ok(Device {
        name: text(root, &["name"]).unwrap_or_default(),
        address: match kind.as_str() {
            "pci" => capability.and_then(pci).unwrap_or_default(),
            _ => text(root, &["devnode"]).unwrap_or_default(),
        },
        wwid: capability.and_then(|node| wwid(node, root)).unwrap_or_default(),
        mediated_types: types.map(|node| attribute(node, "id")).filter(|id| !id.is_empty()).collect(),
        kind,
    })
}

/// Reads the network device in `<device>`, a node device; none for a device of another kind. It has no MTU here.
///
/// # Errors
/// When it is not the XML of a device, or hostile.
pub fn network_device(xml: &str) -> Result<Option<Link>, XmlError> {
    let document = parse(xml, "device")?;
    let capability = child(document.root_element(), "capability");
    let Some(capability) = capability.filter(|node| node.attribute("type") == Some("net")) else {
        return Ok(None);
    };
    Ok(text(capability, &["interface"]).map(|name| Link { name, active: link_state(capability), mtu: None }))
}

/// What the interface driver lists under one name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interface {
    /// The device itself, and those named within it: ports of a bridge, members of a bond, the device below a VLAN. Ports
    /// of a bridge are listed nowhere else.
    pub links: Vec<Link>,
    /// Whether it says how it is configured to start. The back end that does so (netcf) lists configured devices alone,
    /// so that others may be there too. Source: libvirt, "Interface XML format"; `interface_backend_udev.c`, which leaves
    /// the start mode out.
    pub is_configured: bool,
    /// Whether it is a bridge of the kernel's own, and not one of Open vSwitch, which the interface driver does not list.
    pub is_bridge: bool,
}

/// Reads `<interface>`, as the interface driver lists it.
///
/// # Errors
/// When it is not the XML of an interface, or hostile.
pub fn interface(xml: &str) -> Result<Interface, XmlError> {
    let document = parse(xml, "interface")?;
    let root = document.root_element();
    let devices = root.descendants().filter(|node| node.has_tag_name("interface"));
    let links = devices.filter_map(|node| {
        let mtu = child(node, "mtu").and_then(|mtu| small(mtu.attribute("size")?));
        let name = attribute(node, "name");
        (!name.is_empty()).then(|| Link { name, active: link_state(node), mtu })
    });
    Ok(Interface {
        links: links.collect(),
        is_configured: child(root, "start").is_some(),
        is_bridge: root.attribute("type") == Some("bridge"),
    })
}

/// Whether a definition of a guest or a network has a port of Open vSwitch, whose bridges need not be devices of the host.
///
/// # Errors
/// When it is not XML, or hostile.
pub fn uses_open_vswitch(xml: &str, root: &'static str) -> Result<bool, XmlError> {
    let document = parse(xml, root)?;
    let mut ports = document.descendants().filter(|node| node.has_tag_name("virtualport"));
    Ok(ports.any(|node| node.attribute("type") == Some("openvswitch")))
}

/// The state in `<link>`. Devices without a cable to watch, such as bridges without a port, are of an unknown one.
fn link_state(device: Node<'_, '_>) -> Option<bool> {
    match child(device, "link")?.attribute("state")? {
        "up" => Some(true),
        "down" | "lowerlayerdown" | "notpresent" | "dormant" => Some(false),
        _ => None,
    }
}

fn pci(capability: Node<'_, '_>) -> Option<String> {
    let part = |name| text(capability, &[name]).and_then(|text| number(&text));
    Some(format!(
        "{:04x}:{:02x}:{:02x}.{:x}",
        part("domain")?,
        part("bus")?,
        part("slot")?,
        part("function")?
    ))
}

/// The serial that a storage device gives, or the World Wide Name in one of its links.
fn wwid(capability: Node<'_, '_>, root: Node<'_, '_>) -> Option<String> {
    let mut links = children(root, "devnode").filter_map(|node| node.text());
    let named = links.find_map(|link| link.rsplit_once("/wwn-").map(|(_, name)| name.trim().to_owned()));
    named.or_else(|| {
        at(capability, &["serial"]).and_then(|node| node.text()).map(|text| text.trim().to_owned())
    })
}
