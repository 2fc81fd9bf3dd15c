//! What a definition wants of the host's memory: pages of which size, and which NUMA nodes.
//!
//! A size or list that cannot be read is left out here; it must never become a smaller demand that passes, so the group
//! that it belongs to has no size then.

use std::prelude::rust_2024::*;

use std::collections::BTreeMap;

use roxmltree::Node;

use super::node::{at, child, children, kib, numbers, scaled, small};
use crate::{Attribute, Scalar};

/// Attributes below `whose` (`guest` or `target`):
///
/// * `huge-pages/N/size-kib`: KiB of one page; 0 is the host's default size, and without it the size cannot be read.
/// * `huge-pages/N/memory-kib`: KiB of the guest's memory that are made of such pages.
/// * `huge-pages/N/nodes`: numbers of the host's nodes that they must be on, separated by spaces. Absent: any.
/// * `host-nodes/numatune`, `host-nodes/memory-device-N`: numbers of the host's nodes that are named in any mode.
pub(super) fn read(root: Node<'_, '_>, whose: &str) -> Vec<Attribute> {
    let mut found = Vec::new();
    for (at, ((size_kib, nodes), memory_kib)) in groups(root).into_iter().enumerate() {
        let below = format!("{whose}/huge-pages/{at}");
        let mut keep = |name: &str, value| found.push(Attribute { path: format!("{below}/{name}"), value });
        if let Some(size_kib) = size_kib {
            keep("size-kib", Scalar::from(size_kib));
        }
        keep("memory-kib", Scalar::from(memory_kib));
        if !nodes.is_empty() {
            keep("nodes", words(&nodes));
        }
    }
    let tune = child(root, "numatune");
    let sets = tune.into_iter().flat_map(|tune| tune.children());
    let sets = sets.filter_map(|node| node.attribute("nodeset"));
    let named: Vec<u32> = sets.flat_map(numbers).collect();
    if !named.is_empty() {
        found.push(Attribute { path: format!("{whose}/host-nodes/numatune"), value: words(&named) });
    }
    for (number, device) in memory_devices(root).enumerate() {
        let nodes = at(device, &["source", "nodemask"]).and_then(|node| node.text()).map(numbers);
        if let Some(nodes) = nodes.filter(|nodes| !nodes.is_empty()) {
            let path = format!("{whose}/host-nodes/memory-device-{number}");
            found.push(Attribute { path, value: words(&nodes) });
        }
    }
    found
}

/// A size in KiB, if it can be read, and the host's nodes that its pages must be on.
type Kind = (Option<u64>, Vec<u32>);

/// KiB of each kind of huge page.
fn groups(root: Node<'_, '_>) -> BTreeMap<Kind, u64> {
    let mut groups: BTreeMap<Kind, u64> = BTreeMap::new();
    let Some(backing) = at(root, &["memoryBacking", "hugepages"]) else { return groups };
    let pages: Vec<Node<'_, '_>> = children(backing, "page").collect();
    let size = |page: Node<'_, '_>, value: &str| {
        scaled(value, page.attribute("unit").unwrap_or("KiB")).map(|bytes| bytes >> 10).filter(|kib| *kib > 0)
    };
    // The page for a node of the guest: the one that names it, or else the one that names none.
    let of_node = |node: Option<u32>| {
        let names = |page: &&Node<'_, '_>| {
            page.attribute("nodeset").is_some_and(|set| node.is_none_or(|node| numbers(set).contains(&node)))
        };
        let chosen =
            pages.iter().find(names).or(pages.iter().find(|page| page.attribute("nodeset").is_none()));
        match chosen {
            Some(page) => Some(page.attribute("size").and_then(|value| size(*page, value))),
            None => pages.is_empty().then_some(Some(0)),
        }
    };
    let cells: Vec<(u32, u64)> = at(root, &["cpu", "numa"])
        .into_iter()
        .flat_map(|numa| children(numa, "cell"))
        .zip(0..)
        .map(|(cell, at)| {
            let memory = cell.attribute("memory").unwrap_or_default();
            let bytes = scaled(memory, cell.attribute("unit").unwrap_or("KiB")).unwrap_or_default();
            (cell.attribute("id").and_then(small).unwrap_or(at), bytes >> 10)
        })
        .collect();
    let mut add = |node: Option<u32>, size_kib, memory_kib| {
        *groups.entry((size_kib, strict_nodes(root, node))).or_default() += memory_kib;
    };
    if cells.is_empty() {
        if let (Some(size_kib), Some(memory)) = (of_node(None), child(root, "memory").and_then(kib)) {
            add(None, size_kib, memory);
        }
        return groups;
    }
    for (node, memory_kib) in cells {
        if let Some(size_kib) = of_node(Some(node)) {
            add(Some(node), size_kib, memory_kib);
        }
    }
    for device in memory_devices(root) {
        let node = at(device, &["target", "node"]).and_then(|node| small(node.text()?));
        let own = at(device, &["source", "pagesize"]);
        let size_kib = own.map(|page| page.text().and_then(|text| size(page, text.trim())));
        if let (Some(size_kib), Some(memory)) =
            (size_kib.or_else(|| of_node(node)), at(device, &["target", "size"]).and_then(kib))
        {
            add(node, size_kib, memory);
        }
    }
    groups
}

/// Nodes of the host that this node of the guest is bound to, in the mode that takes memory from nowhere else.
fn strict_nodes(root: Node<'_, '_>, node: Option<u32>) -> Vec<u32> {
    let Some(tune) = child(root, "numatune") else { return Vec::new() };
    let own = children(tune, "memnode")
        .find(|one| node.is_some() && one.attribute("cellid").and_then(small) == node)
        .or_else(|| child(tune, "memory"));
    let strict = own.filter(|one| one.attribute("mode").unwrap_or("strict") == "strict");
    strict.and_then(|one| one.attribute("nodeset")).map(numbers).unwrap_or_default()
}

fn memory_devices<'a, 'x: 'a>(root: Node<'a, 'x>) -> impl Iterator<Item = Node<'a, 'x>> {
    child(root, "devices").into_iter().flat_map(|devices| children(devices, "memory"))
}

fn words(numbers: &[u32]) -> Scalar {
    let mut sorted: Vec<u32> = numbers.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    Scalar::Text(sorted.iter().map(u32::to_string).collect::<Vec<_>>().join(" "))
}
