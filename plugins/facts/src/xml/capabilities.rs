//! What a host says that it, and guests on it, can have.

use std::prelude::rust_2024::*;

use crate::{CpuModel, Host, Machine, NumaNode};
use roxmltree::Node;

use super::node::{at, attribute, child, children, kib, number, small, text};
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
        for of in children(thing, "enum") {
            let kind = of.attribute("name").unwrap_or_default();
            supports.extend(
                children(of, "value")
                    .filter_map(|value| value.text())
                    .map(|value| format!("{name}.{kind}.{value}")),
            );
        }
    }
}
