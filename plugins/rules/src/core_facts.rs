//! Converts the core's few facts into facts for rules. Facts that the core does not have stay unknown.

use alloc::borrow::ToOwned;
use alloc::string::String;

use whimbrel_core as core;
use whimbrel_facts::{Domain, Facts, Host, Namesake, Request, RunState, StorageCopy};

/// Facts for rules with the core's facts filled in, and all others unknown.
pub(crate) fn facts(known: &core::Facts) -> Facts {
    let guest = Domain {
        name: known.guest.name.clone(),
        uuid: known.guest.uuid.clone(),
        state: state(known.guest.run),
        persistent: Some(known.guest.persistent),
        memory_kib: known.guest.memory_bytes >> 10,
        job: Some(if known.guest.job_active { "unknown".to_owned() } else { String::new() }),
        ..Domain::default()
    };
    let storage_copy = if known.disks_to_make.is_empty() { StorageCopy::None } else { StorageCopy::Full };
    Facts {
        request: Some(Request { live: true, persist_destination: true, storage_copy, ..Request::default() }),
        source: Some(host(&known.source, &known.guest)),
        destination: Some(host(&known.destination, &known.guest)),
        guest: Some(guest),
        ..Facts::default()
    }
}

fn host(known: &core::HostFacts, guest: &core::GuestFacts) -> Host {
    let namesake = |run| Namesake { name: guest.name.clone(), uuid: guest.uuid.clone(), state: state(run) };
    Host {
        uri: known.uri.clone(),
        name: known.hostname.clone(),
        uuid: known.host_uuid.clone(),
        hypervisor: known.hypervisor.clone(),
        hypervisor_version: known.hypervisor_version,
        library_version: known.library_version,
        architecture: known.architecture.clone(),
        free_memory_kib: known.free_memory_bytes.map(|bytes| bytes >> 10),
        namesakes: Some(known.has_guest.map(namesake).into_iter().collect()),
        ..Host::default()
    }
}

const fn state(run: core::GuestRun) -> RunState {
    match run {
        core::GuestRun::Running => RunState::Running,
        core::GuestRun::Paused => RunState::Paused,
        core::GuestRun::NotRunning => RunState::Off,
    }
}
