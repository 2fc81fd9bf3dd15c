//! Storage pools, networks and devices of a host.

use roxmltree::Node;
use whimbrel_facts::{Device, Network, Pool};

use super::node::{at, attribute, bytes, child, children, number, text};
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
