//! A host's facts about itself, as far as this guest may need them.

use whimbrel_facts::xml;
use whimbrel_facts::{Attribute, CpuComparison, Device, Domain as Guest, Host, Namesake};

use super::links::Links;
use crate::documents::unreadable;
use crate::{Connection, ErrorCode, LibvirtError, PausedReason, State, Version};

/// A host's facts with what its networks have beyond them, and its links, which may be known in part. Where `cpu` is given,
/// libvirt there compares it with what it can give.
pub(super) fn facts(
    uri: &str,
    connection: &Connection,
    guest: &Guest,
    cpu: Option<&str>,
    capabilities: &str,
) -> Result<(Host, Links, Vec<Attribute>), LibvirtError> {
    let mut host = Host {
        uri: uri.to_owned(),
        name: connection.hostname()?,
        hypervisor: crate::hypervisor::hypervisor(uri),
        hypervisor_version: connection.hypervisor_version().map(Version::to_number).unwrap_or_default(),
        library_version: connection.library_version().map(Version::to_number).unwrap_or_default(),
        free_memory_kib: connection.free_memory_bytes().ok().map(|bytes| bytes >> 10),
        ..Host::default()
    };
    xml::capabilities(capabilities, &mut host)
        .map_err(|error| unreadable("virConnectGetCapabilities", &error))?;
    let asked = connection.domain_capabilities_xml(
        &guest.emulator,
        &guest.architecture,
        &guest.machine,
        &guest.accelerator,
    );
    // A host without the guest's emulator or machine answers with an error; the capabilities have said then which it has.
    if let Ok(answer) = asked {
        xml::domain_capabilities(&answer, &mut host)
            .map_err(|error| unreadable("virConnectGetDomainCapabilities", &error))?;
    }
    let networks = connection.networks().ok();
    let links = inventory(connection, &mut host, networks.as_deref());
    host.namesakes = namesakes(connection, guest).ok();
    host.migrations = incoming(connection).ok();
    if let Some(cpu) = cpu {
        compare_cpu(connection, guest, cpu, &mut host);
    }
    let of_networks = networks.iter().flatten();
    let of_networks =
        of_networks.flat_map(|one| xml::network_attributes(&one.xml).unwrap_or_default()).collect();
    Ok((host, links, of_networks))
}

/// libvirt's own answer decides whether the guest's CPU can run there.
fn compare_cpu(connection: &Connection, guest: &Guest, cpu: &str, host: &mut Host) {
    let answer = connection.compare_hypervisor_cpu(
        &guest.emulator,
        &guest.architecture,
        &guest.machine,
        &guest.accelerator,
        cpu,
    );
    match answer {
        Ok(0) => host.cpu_comparison = Some(CpuComparison::Incompatible),
        Ok(1) => host.cpu_comparison = Some(CpuComparison::Identical),
        Ok(2) => host.cpu_comparison = Some(CpuComparison::Superset),
        Ok(_) => {}
        Err(error) => {
            // Refused for the CPU itself, such as a model that is not known there: that is an answer too.
            let is_answer = error.code == ErrorCode::CpuIncompatible;
            host.cpu_comparison = is_answer.then_some(CpuComparison::Incompatible);
            host.cpu_comparison_reason = error.message;
        }
    }
}

fn inventory(connection: &Connection, host: &mut Host, networks: Option<&[crate::Listed]>) -> Links {
    host.pools = connection.pools().ok().map(|pools| {
        let read = |one: &crate::Listed| {
            let mut pool = xml::pool(&one.xml).ok()?;
            pool.active = one.is_active;
            Some(pool)
        };
        pools.iter().filter_map(read).collect()
    });
    let uses_ports = |network: &crate::Listed| xml::uses_open_vswitch(&network.xml, "network");
    let has_ports = networks.into_iter().flatten().any(|network| uses_ports(network).unwrap_or(true));
    host.networks = networks.map(|networks| {
        let read = |one: &crate::Listed| {
            let mut network = xml::network(&one.xml).ok()?;
            network.active = one.is_active;
            Some(network)
        };
        networks.iter().filter_map(read).collect()
    });
    let told = connection.node_devices().unwrap_or_default();
    let mut links = Links::of(connection, &told);
    if has_ports {
        links.forget_completeness();
    }
    // A host always has a device; none at all means that they were not enumerated.
    if !told.is_empty() {
        let devices: Vec<Device> = told.iter().filter_map(|xml| xml::node_device(xml).ok()).collect();
        host.devices = Some(devices);
    }
    host.secrets = connection.secrets().ok();
    links
}

fn namesakes(connection: &Connection, guest: &Guest) -> Result<Vec<Namesake>, LibvirtError> {
    let mut found: Vec<Namesake> = Vec::new();
    for lookup in [connection.lookup_uuid(&guest.uuid), connection.lookup(&guest.name)] {
        match lookup {
            Ok(domain) => {
                let namesake = Namesake {
                    name: domain.name()?,
                    uuid: domain.uuid()?,
                    state: domain.state()?.run_state(),
                };
                if !found.contains(&namesake) {
                    found.push(namesake);
                }
            }
            Err(error) if error.code == ErrorCode::NoDomain => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

/// Guests whose memory is on its way in.
fn incoming(connection: &Connection) -> Result<u32, LibvirtError> {
    let states = connection.domain_states()?;
    let incoming = states.iter().filter(|(_, state)| {
        matches!(state, State::Paused(PausedReason::Migration | PausedReason::Postcopy))
    });
    Ok(u32::try_from(incoming.count()).unwrap_or(u32::MAX))
}
