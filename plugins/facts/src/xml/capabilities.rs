//! What a host says that it, and guests on it, can have.

use std::prelude::rust_2024::*;

use std::collections::BTreeSet;

use crate::{Attribute, CpuModel, Host, Machine, NumaNode, Scalar};
use roxmltree::Node;

use super::node::{at, attribute, child, children, kib, number, scaled, small, text};
use super::{XmlError, parse};

/// Adds what `<capabilities>` tells to what is known of a host. Its UUID is written in lower case: two connections with
/// the same one lead to the same host.
///
/// # Errors
/// When it is not the XML of capabilities, or hostile.
pub fn capabilities(xml: &str, host: &mut Host) -> Result<(), XmlError> {
    let document = parse(xml, "capabilities")?;
    let Some(node) = child(document.root_element(), "host") else { return Ok(()) };
    host.uuid = text(node, &["uuid"]).unwrap_or_default().to_ascii_lowercase();
    if let Some(cpu) = child(node, "cpu") {
        host.architecture = text(cpu, &["arch"]).unwrap_or_default();
        host.cpu.model = text(cpu, &["model"]).unwrap_or_default();
        host.cpu.vendor = text(cpu, &["vendor"]).unwrap_or_default();
        host.cpu.features = children(cpu, "feature").map(|feature| attribute(feature, "name")).collect();
        let counter = children(cpu, "counter").find(|counter| counter.attribute("name") == Some("tsc"));
        host.cpu.tsc_frequency_hz = counter.and_then(|counter| number(counter.attribute("frequency")?));
        host.cpu.tsc_scaling = counter.and_then(|counter| Some(counter.attribute("scaling")? == "yes"));
    }
    if let Some(features) = child(node, "migration_features") {
        host.live_migration = Some(child(features, "live").is_some());
        let uris = child(features, "uri_transports");
        let uris = uris.into_iter().flat_map(|node| children(node, "uri_transport"));
        host.transports = uris.filter_map(|node| node.text()).map(|text| text.trim().to_owned()).collect();
    }
    if let Some(cells) = at(node, &["topology", "cells"]) {
        topology(cells, host);
    }
    emulators(document.root_element(), host);
    Ok(())
}

/// What the host's emulators can be: every machine type, and kinds of virtualisation. Where two architectures have a
/// machine of one name, the one of the host's own counts.
fn emulators(root: Node<'_, '_>, host: &mut Host) {
    let mut emulated: Vec<_> = children(root, "guest").filter_map(|guest| child(guest, "arch")).collect();
    emulated.sort_by_key(|arch| attribute(*arch, "name") != host.architecture);
    for arch in emulated {
        let accelerated = || children(arch, "domain");
        for accelerator in accelerated().map(|domain| attribute(domain, "type")) {
            if !accelerator.is_empty() && !host.accelerators.contains(&accelerator) {
                host.accelerators.push(accelerator);
            }
        }
        let of_accelerators = accelerated().flat_map(|domain| children(domain, "machine"));
        for node in children(arch, "machine").chain(of_accelerators) {
            let name = node.text().unwrap_or_default().trim();
            let machines = host.machines.get_or_insert_default();
            if machines.iter().all(|machine| machine.name != name) {
                machines.push(Machine {
                    name: name.to_owned(),
                    alias_of: attribute(node, "canonical"),
                    cpus_maximum: node.attribute("maxCpus").and_then(small),
                    deprecated: node.attribute("deprecated") == Some("yes"),
                });
            }
        }
    }
}

fn topology(cells: Node<'_, '_>, host: &mut Host) {
    let mut nodes = Vec::new();
    for cell in children(cells, "cell") {
        let Some(id) = cell.attribute("id").and_then(small) else { continue };
        let cpus = child(cell, "cpus").into_iter().flat_map(|cpus| children(cpus, "cpu"));
        let cpus = cpus.filter_map(|cpu| small(cpu.attribute("id")?)).collect();
        nodes.push(NumaNode {
            id,
            memory_kib: child(cell, "memory").and_then(kib).unwrap_or_default(),
            cpus,
        });
    }
    // Where libvirt cannot see cells it writes none, which is not a host without processors.
    let cpus: usize = nodes.iter().map(|node| node.cpus.len()).sum();
    let memory_kib: u64 = nodes.iter().map(|node| node.memory_kib).sum();
    host.cpus = host.cpus.or(u32::try_from(cpus).ok().filter(|count| *count > 0));
    host.memory_kib = host.memory_kib.or((memory_kib > 0).then_some(memory_kib));
    host.numa_nodes = Some(nodes);
}

/// Adds what `<domainCapabilities>` tells: about one machine type, emulator and kind of virtualisation.
///
/// # Errors
/// When it is not the XML of domain capabilities, or hostile.
pub fn domain_capabilities(xml: &str, host: &mut Host) -> Result<(), XmlError> {
    let document = parse(xml, "domainCapabilities")?;
    let root = document.root_element();
    if let Some(accelerator) = text(root, &["domain"])
        && !host.accelerators.contains(&accelerator)
    {
        host.accelerators.push(accelerator);
    }
    if host.architecture.is_empty() {
        host.architecture = text(root, &["arch"]).unwrap_or_default();
    }
    if let Some(name) = text(root, &["machine"]) {
        let machines = host.machines.get_or_insert_default();
        let cpus_maximum = child(root, "vcpu").and_then(|vcpu| small(vcpu.attribute("max")?));
        match machines.iter_mut().find(|machine| machine.name == name) {
            // The machine's own limit is one thing, what the kernel can give another.
            Some(machine) => {
                machine.cpus_maximum = [machine.cpus_maximum, cpus_maximum].into_iter().flatten().min();
            }
            None => machines.push(Machine { name, cpus_maximum, ..Machine::default() }),
        }
    }
    if let Some(cpu) = child(root, "cpu") {
        cpu_modes(cpu, host);
    }
    let mut supports = host.supports.take().unwrap_or_default();
    for group in ["devices", "features", "memoryBacking"].iter().filter_map(|name| child(root, name)) {
        values(group, &mut supports);
    }
    if let Some(os) = child(root, "os").filter(|os| os.attribute("supported") == Some("yes")) {
        enumerations(os, "os", &mut supports);
        values(os, &mut supports);
        // The images themselves are values without a name.
        let images = child(os, "loader").into_iter().flat_map(|loader| children(loader, "value"));
        let named = |image: Node<'_, '_>| image.text().map(|path| format!("loader.value.{}", path.trim()));
        supports.extend(images.filter_map(named));
    }
    supports.sort();
    supports.dedup();
    host.supports = Some(supports);
    Ok(())
}

fn cpu_modes(cpu: Node<'_, '_>, host: &mut Host) {
    let modes = || children(cpu, "mode");
    let supported = modes().filter(|mode| mode.attribute("supported") == Some("yes"));
    host.cpu_modes = Some(supported.map(|mode| attribute(mode, "name")).collect());
    let custom = modes().find(|mode| mode.attribute("name") == Some("custom"));
    let listed = custom.into_iter().flat_map(|mode| children(mode, "model"));
    let read = |node: Node<'_, '_>| CpuModel {
        name: node.text().unwrap_or_default().trim().to_owned(),
        usable: match node.attribute("usable") {
            Some("yes") => Some(true),
            Some("no") => Some(false),
            _ => None,
        },
    };
    host.cpu_models = Some(listed.map(read).collect());
}

/// Values of enumerations, as `tpm.backendModel.emulator`; `tpm` alone for what is supported without any.
fn values(group: Node<'_, '_>, supports: &mut Vec<String>) {
    for thing in group.children().filter(|node| node.attribute("supported") == Some("yes")) {
        let name = thing.tag_name().name();
        supports.push(name.to_owned());
        enumerations(thing, name, supports);
    }
}

fn enumerations(thing: Node<'_, '_>, name: &str, supports: &mut Vec<String>) {
    for of in children(thing, "enum") {
        let kind = of.attribute("name").unwrap_or_default();
        let values = children(of, "value").filter_map(|value| value.text());
        supports.extend(values.map(|value| format!("{name}.{kind}.{value}")));
    }
}

/// What `<capabilities>` says beyond the fields of [`Host`], below the path `side`: `SIDE/security-models`, separated by
/// spaces; `SIDE/physical-bits`, how many address bits its CPU has; `SIDE/emulators/N`, paths of hypervisors' programs; `SIDE/page-sizes-kib/N`, the sizes of memory pages. Sorted
/// by path.
///
/// # Errors
/// When it is not the XML of capabilities, or hostile.
pub fn capabilities_attributes(xml: &str, side: &str) -> Result<Vec<Attribute>, XmlError> {
    let document = parse(xml, "capabilities")?;
    let root = document.root_element();
    let host = || child(root, "host").into_iter();
    let models = host().flat_map(|host| children(host, "secmodel")).filter_map(|node| text(node, &["model"]));
    let models = models.collect::<Vec<_>>().join(" ");
    let mut found = vec![Attribute { path: format!("{side}/security-models"), value: models.into() }];
    let emulators: BTreeSet<String> = root
        .descendants()
        .filter(|node| node.has_tag_name("emulator"))
        .filter_map(|node| node.text().map(|text| text.trim().to_owned()))
        .collect();
    found.extend(numbered(&format!("{side}/emulators"), emulators.into_iter().map(Into::into)));
    let pages = host().filter_map(|host| child(host, "cpu")).flat_map(|cpu| children(cpu, "pages"));
    let sizes = pages.filter_map(|page| {
        let bytes = scaled(page.attribute("size")?, page.attribute("unit").unwrap_or("KiB"))?;
        Some(Scalar::from(bytes >> 10))
    });
    found.extend(numbered(&format!("{side}/page-sizes-kib"), sizes));
    let bits = host().find_map(|host| at(host, &["cpu", "maxphysaddr"])?.attribute("bits").and_then(number));
    found.extend(bits.map(|bits| Attribute { path: format!("{side}/physical-bits"), value: bits.into() }));
    found.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(found)
}

fn numbered(path: &str, values: impl IntoIterator<Item = Scalar>) -> impl Iterator<Item = Attribute> {
    (0..).zip(values).map(move |(at, value): (usize, _)| Attribute { path: format!("{path}/{at}"), value })
}
