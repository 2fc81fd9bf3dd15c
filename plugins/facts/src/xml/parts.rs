//! Parts of documents that are wanted by themselves, without the rest being understood.
//!
//! Paths and names are given as the document has them. Nothing here may be taken for a judgement whether two of them are
//! the same storage.

use std::prelude::rust_2024::*;

use roxmltree::Node;

use super::node::{attribute, child, children, text};
use super::{XmlError, guarded, parse};
use crate::Identity;

/// Every file, device and volume that a guest's definition names: disks and the layers below them, firmware, kernels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NamedStorage {
    /// Whatever begins with a slash.
    pub paths: Vec<String>,
    /// Volumes of storage pools: the pool's name and the volume's.
    pub volumes: Vec<(String, String)>,
}

/// A block device, as a node device describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StorageDevice {
    /// Paths that lead to it.
    pub names: Vec<String>,
    /// The serial that the device gives; empty where it gives none.
    pub serial: String,
    /// Its size in bytes.
    pub bytes: Option<u64>,
}

/// What a guest's definition names anywhere.
///
/// # Errors
/// When it is not the XML of a domain, or hostile.
pub fn named_storage(xml: &str) -> Result<NamedStorage, XmlError> {
    let document = parse(xml, "domain")?;
    let mut named = NamedStorage::default();
    for node in document.descendants().filter(Node::is_element) {
        let texts = node.attributes().map(|one| one.value()).chain(node.text().map(str::trim));
        named.paths.extend(texts.filter(|text| text.starts_with('/')).map(str::to_owned));
        if let (Some(pool), Some(volume)) = (node.attribute("pool"), node.attribute("volume")) {
            named.volumes.push((pool.to_owned(), volume.to_owned()));
        }
    }
    Ok(named)
}

/// The CPU of a guest's definition, as it is written there; none where it names no model.
///
/// # Errors
/// When it is not the XML of a domain, or hostile.
pub fn cpu_with_model(xml: &str) -> Result<Option<String>, XmlError> {
    let document = parse(xml, "domain")?;
    let cpu = child(document.root_element(), "cpu").filter(|cpu| child(*cpu, "model").is_some());
    Ok(cpu.and_then(|cpu| xml.get(cpu.range())).map(str::to_owned))
}

/// What a guest's definition names as the storage of this disk, if that is reached over the network: its protocol, its
/// servers and its name on them. A server that is another machine on each host (`localhost`, a socket, none) stays in it.
///
/// # Errors
/// When it is not the XML of a domain, or hostile.
pub fn network_disk(xml: &str, target: &str) -> Result<Option<Identity>, XmlError> {
    let document = parse(xml, "domain")?;
    let is_it =
        |disk: &Node<'_, '_>| children(*disk, "target").any(|node| node.attribute("dev") == Some(target));
    let disk = document.descendants().filter(|node| node.has_tag_name("disk")).find(is_it);
    Ok(disk.and_then(|disk| child(disk, "source")).and_then(|source| {
        let host = |node: Node<'_, '_>| {
            let name = attribute(node, "name") + &attribute(node, "socket");
            format!("{name}:{}", attribute(node, "port"))
        };
        let mut hosts: Vec<String> = children(source, "host").map(host).collect();
        hosts.sort();
        let kind = source.attribute("protocol")?.to_owned();
        Some(Identity { kind, value: format!("{} {}", hosts.join(","), attribute(source, "name")) })
    }))
}

/// Reads the block device in `<device>`, a node device; none for a device of another kind.
///
/// # Errors
/// When it is not the XML of a device, or hostile.
pub fn storage_device(xml: &str) -> Result<Option<StorageDevice>, XmlError> {
    let document = parse(xml, "device")?;
    let root = document.root_element();
    let storage = children(root, "capability").find(|node| node.attribute("type") == Some("storage"));
    Ok(storage.map(|storage| {
        let links = children(root, "devnode").chain(children(storage, "block"));
        StorageDevice {
            names: links.filter_map(|node| node.text()).map(|text| text.trim().to_owned()).collect(),
            serial: text(storage, &["serial"]).unwrap_or_default(),
            bytes: text(storage, &["size"]).and_then(|text| text.parse().ok()),
        }
    }))
}

/// Names and values of the root's own attributes, whatever the root is called: for elements in a guest's metadata, which
/// may be of a later form than the one that is known.
///
/// # Errors
/// When it is not XML, or hostile.
pub fn root_attributes(xml: &str) -> Result<Vec<(String, String)>, XmlError> {
    let document = guarded(xml)?;
    let own = document.root_element().attributes().filter(|one| one.namespace().is_none());
    Ok(own.map(|one| (one.name().to_owned(), one.value().to_owned())).collect())
}
