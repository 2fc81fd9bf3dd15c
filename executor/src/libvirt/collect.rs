//! The facts that rules judge, from two live hosts. Nothing is changed on either.
//!
//! What a host does not tell stays unknown: a question that fails must never look like an answer.

use whimbrel_plugins::facts::{CpuComparison, Domain as Guest, Facts, Host, Namesake, Request, RunState};
use whimbrel_plugins::xml;

use super::{Connection, Domain, ErrorCode, LibvirtError, PausedReason, State, Version, XmlView};

/// A host that did not tell what it was asked.
#[derive(Debug, thiserror::Error)]
#[error("`{uri}` does not tell its facts: {error}")]
pub struct Untold {
    /// Which host.
    pub uri: String,
    /// Why.
    #[source]
    pub error: LibvirtError,
}

/// Asks both hosts about a guest, and about each other.
///
/// # Errors
/// When a host cannot be reached, or the source has no such guest.
pub fn collect(guest: &str, source_uri: &str, destination_uri: &str) -> Result<Facts, Untold> {
    let at = |uri: &str| {
        let uri = uri.to_owned();
        move |error| Untold { uri, error }
    };
    let source = Connection::open(source_uri).map_err(at(source_uri))?;
    let destination = Connection::open(destination_uri).map_err(at(destination_uri))?;
    let (definition, told) = guest_told(&source, guest).map_err(at(source_uri))?;
    let here = host(source_uri, &source, &told, None).map_err(at(source_uri))?;
    let there = host(destination_uri, &destination, &told, Some(&definition)).map_err(at(destination_uri))?;
    let request = Request { live: true, persist_destination: true, ..Request::default() };
    Ok(Facts {
        request: Some(request),
        guest: Some(told),
        source: Some(here),
        destination: Some(there),
        ..Facts::default()
    })
}

fn guest_told(source: &Connection, name: &str) -> Result<(String, Guest), LibvirtError> {
    let domain = source.lookup(name)?;
    let definition = domain.xml(XmlView::Current)?;
    let told = guest_facts(&domain, &definition)?;
    Ok((definition, told))
}

fn guest_facts(domain: &Domain, definition: &str) -> Result<Guest, LibvirtError> {
    let mut guest = xml::domain(definition).map_err(|error| unreadable("virDomainGetXMLDesc", &error))?;
    let state = domain.state()?;
    (guest.state, guest.state_reason) = run_state(state);
    guest.persistent = domain.is_persistent().ok();
    guest.autostart = domain.autostart().ok();
    guest.managed_save = domain.has_managed_save().ok();
    guest.snapshots = domain.snapshots().ok();
    for disk in guest.disks.iter_mut().filter(|disk| disk.busy.is_none()) {
        // A guest that is off has no block jobs, and libvirt refuses to speak of them.
        let job = if state.is_active() { domain.block_job(&disk.target) } else { Ok("") };
        disk.busy = job.ok().map(str::to_owned);
    }
    // libvirt refuses to speak of jobs of a guest that is off.
    let job = if state.is_active() { domain.job_statistics() } else { Ok(None) };
    guest.job = job.ok().map(|job| match job {
        Some(job) if super::driver::is_active_job(&job) => "active".to_owned(),
        _ => String::new(),
    });
    Ok(guest)
}

fn host(
    uri: &str,
    connection: &Connection,
    guest: &Guest,
    definition: Option<&str>,
) -> Result<Host, LibvirtError> {
    let mut host = Host {
        uri: uri.to_owned(),
        name: connection.hostname()?,
        hypervisor: super::driver::hypervisor(uri),
        hypervisor_version: connection.hypervisor_version().map(number).unwrap_or_default(),
        library_version: connection.library_version().map(number).unwrap_or_default(),
        free_memory_kib: connection.free_memory_bytes().ok().map(|bytes| bytes >> 10),
        ..Host::default()
    };
    let told = connection.capabilities_xml()?;
    xml::capabilities(&told, &mut host).map_err(|error| unreadable("virConnectGetCapabilities", &error))?;
    let asked = connection.domain_capabilities_xml(
        &guest.emulator,
        &guest.architecture,
        &guest.machine,
        &guest.accelerator,
    );
    // A host without the guest's emulator or machine answers with an error; its own words stand in the comparison.
    if let Ok(told) = asked {
        xml::domain_capabilities(&told, &mut host)
            .map_err(|error| unreadable("virConnectGetDomainCapabilities", &error))?;
    }
    host.namesakes = namesakes(connection, guest).ok();
    if let Some(definition) = definition {
        compare_cpu(connection, guest, definition, &mut host);
    }
    Ok(host)
}

/// libvirt's own answer decides whether the guest's CPU can run there.
fn compare_cpu(connection: &Connection, guest: &Guest, definition: &str, host: &mut Host) {
    let Some(cpu) = element(definition, "cpu") else { return };
    // A CPU without a model is the hypervisor's own on each host: there is nothing to compare.
    if guest.cpu.model.is_empty() {
        return;
    }
    match connection.compare_hypervisor_cpu(
        &guest.emulator,
        &guest.architecture,
        &guest.machine,
        &guest.accelerator,
        cpu,
    ) {
        Ok(0) => host.cpu_comparison = Some(CpuComparison::Incompatible),
        Ok(1) => host.cpu_comparison = Some(CpuComparison::Identical),
        Ok(2) => host.cpu_comparison = Some(CpuComparison::Superset),
        Ok(_) => {}
        Err(error) => host.cpu_comparison_reason = error.message,
    }
}

/// The text of the first element of this name, with everything in it.
fn element<'x>(document: &'x str, name: &str) -> Option<&'x str> {
    let parsed = roxmltree::Document::parse(document).ok()?;
    let node = parsed.root_element().children().find(|node| node.has_tag_name(name))?;
    document.get(node.range())
}

fn namesakes(connection: &Connection, guest: &Guest) -> Result<Vec<Namesake>, LibvirtError> {
    let mut found: Vec<Namesake> = Vec::new();
    for lookup in [connection.lookup_uuid(&guest.uuid), connection.lookup(&guest.name)] {
        match lookup {
            Ok(domain) => {
                let namesake = Namesake {
                    name: domain.name()?,
                    uuid: domain.uuid()?,
                    state: run_state(domain.state()?).0,
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

fn run_state(state: State) -> (RunState, String) {
    let (state, reason) = match state {
        State::Running(_) | State::Blocked | State::ShuttingDown => (RunState::Running, ""),
        State::Paused(PausedReason::IoError) => (RunState::Paused, "io-error"),
        State::Paused(PausedReason::Migration) => (RunState::Paused, "migration"),
        State::Paused(PausedReason::Postcopy) => (RunState::Paused, "post-copy"),
        State::Paused(PausedReason::PostcopyFailed) => (RunState::Paused, "post-copy-failed"),
        State::Paused(PausedReason::Unknown) => (RunState::Paused, ""),
        State::Paused(_) | State::GuestSuspended => (RunState::Paused, "other"),
        State::Shutoff(_) => (RunState::Off, ""),
        State::Crashed => (RunState::Crashed, "crashed"),
        State::Unknown { .. } => (RunState::Unknown, ""),
    };
    (state, reason.to_owned())
}

fn number(version: Version) -> u64 {
    u64::from(version.major) * 1_000_000 + u64::from(version.minor) * 1_000 + u64::from(version.release)
}

fn unreadable(call: &'static str, error: &xml::XmlError) -> LibvirtError {
    LibvirtError { call, code: ErrorCode::XmlError, domain: 0, message: error.to_string() }
}
