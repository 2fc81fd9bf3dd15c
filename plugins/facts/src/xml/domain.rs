//! A guest's definition.

use std::prelude::rust_2024::*;

use std::collections::BTreeSet;

use crate::{Attribute, CpuFeature, Domain, GuestCpu, Scalar};
use roxmltree::Node;

use super::node::{at, attribute, child, children, kib, number, numbers, scaled, small, text};
use super::{XmlError, parse};
use super::{backing, definition, devices};

/// Reads `<domain>`. Facts that no definition holds, such as the state, stay unknown.
///
/// # Errors
/// When it is not the XML of a domain, or hostile.
pub fn domain(xml: &str) -> Result<Domain, XmlError> {
    domain_with_attributes(xml).map(|(guest, _)| guest)
}

/// What a definition holds beyond the fields of [`Domain`]: the number of its lock leases, as `guest/leases`, and of its
/// `zpci` addresses, if it has any, as `guest/zpci-devices`; each value that a rule evaluates (see
/// [`coverage`](super::coverage)), as `guest/xml/PATH`; and the host's memory that it needs, as `guest/huge-pages/N/…` and
/// `guest/host-nodes/…`. Sorted by path.
///
/// # Errors
/// As [`domain`].
pub fn domain_attributes(xml: &str) -> Result<Vec<Attribute>, XmlError> {
    domain_with_attributes(xml).map(|(_, attributes)| attributes)
}

/// [`domain`] and [`domain_attributes`] of one reading.
///
/// # Errors
/// As [`domain`].
pub fn domain_with_attributes(xml: &str) -> Result<(Domain, Vec<Attribute>), XmlError> {
    let document = parse(xml, "domain")?;
    let root = document.root_element();
    let beyond = definition::read(root, "guest/xml");
    let mut guest = fields(root);
    guest.not_understood = beyond.not_understood.into_iter().collect();
    let mut all = beyond.attributes;
    all.extend(backing::read(root, "guest"));
    let count = |number: usize| Scalar::Integer(i64::try_from(number).unwrap_or(i64::MAX));
    let leases = child(root, "devices").map_or(0, |devices| children(devices, "lease").count());
    all.push(Attribute { path: "guest/leases".to_owned(), value: count(leases) });
    let zpci = root.descendants().filter(|node| node.has_tag_name("zpci")).count();
    if zpci > 0 {
        all.push(Attribute { path: "guest/zpci-devices".to_owned(), value: count(zpci) });
    }
    all.sort_by(|one, other| one.path.cmp(&other.path));
    Ok((guest, all))
}

/// The attributes of a definition for the destination, sorted by path: those of [`domain_attributes`] below `target/`
/// instead of `guest/`, and the [`differences`](super::differences) from the guest's own definition.
///
/// # Errors
/// As [`domain`].
pub fn target_attributes(source: &str, target: &str) -> Result<Vec<Attribute>, XmlError> {
    let mut all = super::differences(source, target)?;
    let moved = |mut one: Attribute| {
        if let Some(rest) = one.path.strip_prefix("guest/") {
            one.path = format!("target/{rest}");
        }
        one
    };
    all.extend(domain_attributes(target)?.into_iter().map(moved));
    all.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(all)
}

fn fields(root: Node<'_, '_>) -> Domain {
    let mut guest = Domain {
        name: text(root, &["name"]).unwrap_or_default(),
        uuid: text(root, &["uuid"]).unwrap_or_default(),
        accelerator: attribute(root, "type"),
        emulator: text(root, &["devices", "emulator"]).unwrap_or_default(),
        firmware: at(root, &["os", "loader"])
            .and_then(|node| node.text())
            .unwrap_or_default()
            .trim()
            .to_owned(),
        launch_security: child(root, "launchSecurity")
            .map(|node| attribute(node, "type"))
            .unwrap_or_default(),
        hyperv_mode: at(root, &["features", "hyperv"])
            .map(|node| attribute(node, "mode"))
            .unwrap_or_default(),
        hard_limit_kib: at(root, &["memtune", "hard_limit"]).and_then(kib),
        memory_locked: at(root, &["memoryBacking", "locked"]).is_some(),
        ..Domain::default()
    };
    if let Some(kind) = at(root, &["os", "type"]) {
        guest.architecture = attribute(kind, "arch");
        guest.machine = attribute(kind, "machine");
    }
    guest.memory_kib = child(root, "memory").and_then(kib).unwrap_or_default();
    guest.memory_maximum_kib = child(root, "maxMemory").and_then(kib).unwrap_or(guest.memory_kib);
    cpus(root, &mut guest);
    placement(root, &mut guest);
    guest.metadata = metadata(root);
    if let Some(node) = child(root, "devices") {
        devices::read(node, &mut guest);
    }
    guest
}

fn cpus(root: Node<'_, '_>, guest: &mut Domain) {
    if let Some(vcpu) = child(root, "vcpu") {
        guest.cpus_maximum = vcpu.text().and_then(small).unwrap_or(1);
        guest.cpus = vcpu.attribute("current").and_then(small).unwrap_or(guest.cpus_maximum);
    }
    if let Some(cpu) = child(root, "cpu") {
        // A model without a mode is a custom one.
        let mode = cpu.attribute("mode").unwrap_or(if child(cpu, "model").is_some() { "custom" } else { "" });
        guest.cpu = GuestCpu {
            mode: mode.to_owned(),
            model: text(cpu, &["model"]).unwrap_or_default(),
            vendor: text(cpu, &["vendor"]).unwrap_or_default(),
            check: attribute(cpu, "check"),
            migratable: cpu.attribute("migratable").map(|word| word == "on"),
            features: children(cpu, "feature")
                .map(|node| CpuFeature { name: attribute(node, "name"), policy: attribute(node, "policy") })
                .collect(),
        };
    }
    let timers = child(root, "clock").into_iter().flat_map(|clock| children(clock, "timer"));
    guest.tsc_frequency_hz = timers
        .filter(|timer| timer.attribute("name") == Some("tsc"))
        .find_map(|timer| number(timer.attribute("frequency")?));
}

fn placement(root: Node<'_, '_>, guest: &mut Domain) {
    let mut pinned: BTreeSet<u32> = BTreeSet::new();
    for tune in children(root, "cputune") {
        let pins = ["vcpupin", "emulatorpin", "iothreadpin"];
        for pin in tune.children().filter(|node| pins.contains(&node.tag_name().name())) {
            pinned.extend(numbers(pin.attribute("cpuset").unwrap_or_default()));
        }
    }
    if let Some(set) = child(root, "vcpu").and_then(|vcpu| vcpu.attribute("cpuset")) {
        pinned.extend(numbers(set));
    }
    guest.pinned_cpus = pinned.into_iter().collect();
    let mut nodes: BTreeSet<u32> = BTreeSet::new();
    if let Some(tune) = child(root, "numatune") {
        let strict = |node: &Node<'_, '_>| node.attribute("mode").unwrap_or("strict") == "strict";
        for node in tune.children().filter(Node::is_element).filter(strict) {
            nodes.extend(numbers(node.attribute("nodeset").unwrap_or_default()));
        }
    }
    guest.strict_nodes = nodes.into_iter().collect();
    if let Some(pages) = at(root, &["memoryBacking", "hugepages"]) {
        let mut sizes: Vec<u64> = children(pages, "page")
            .filter_map(|page| {
                let unit = page.attribute("unit").unwrap_or("KiB");
                scaled(page.attribute("size")?, unit).map(|bytes| bytes >> 10)
            })
            .collect();
        if sizes.is_empty() {
            sizes.push(0);
        }
        guest.huge_pages_kib = sizes;
    }
}

fn metadata(root: Node<'_, '_>) -> Vec<String> {
    let kept = child(root, "metadata").into_iter().flat_map(|node| node.children()).filter(Node::is_element);
    let names: BTreeSet<String> = kept
        .map(|node| node.tag_name().namespace().unwrap_or(node.tag_name().name()))
        .map(crate::printable)
        .collect();
    names.into_iter().collect()
}
