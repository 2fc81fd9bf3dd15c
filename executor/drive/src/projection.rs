//! The facts of the machine, taken from the facts that rules judge: hosts are queried once, and both are about one moment.
//!
//! A fact that the machine requires is never made up: where it is unknown, the facts are missing.

use whimbrel_core::{Facts, Failure, Fault, GuestFacts, HostFacts, Side};
use whimbrel_facts::{Domain, Facts as Collected, Host};

use crate::route::Route;
use crate::running::guest_run;

/// The machine's part of the facts. `disks_to_make` are the paths that the migration would create on the destination.
///
/// # Errors
/// When something is unknown that the machine needs; the failure is that of the host that did not report it.
pub fn machine_facts(
    collected: &Collected,
    route: &Route,
    disks_to_make: Vec<String>,
) -> Result<Box<Facts>, Failure> {
    let known = collected.guest.as_ref().zip(collected.source.as_ref()).zip(collected.destination.as_ref());
    let Some(((guest, source), destination)) = known else {
        return Err(unknown(Side::Source, "the guest and both hosts"));
    };
    let mut there = host(destination, &route.destination);
    let namesakes = destination.namesakes.as_ref();
    let namesakes = namesakes.ok_or_else(|| unknown(Side::Destination, "whether it has the guest"))?;
    there.has_guest = namesakes.first().map(|found| guest_run(found.state));
    Ok(Box::new(Facts {
        guest: guest_facts(guest, route)?,
        source: host(source, &route.source),
        destination: there,
        disks_to_make,
    }))
}

fn guest_facts(guest: &Domain, route: &Route) -> Result<GuestFacts, Failure> {
    Ok(GuestFacts {
        name: route.guest.clone(),
        uuid: guest.uuid.clone(),
        run: guest_run(guest.state),
        persistent: guest
            .persistent
            .ok_or_else(|| unknown(Side::Source, "whether the guest is persistent"))?,
        memory_bytes: guest.memory_kib.saturating_mul(1024),
        job_active: guest
            .job
            .as_ref()
            .map(|job| !job.is_empty())
            .ok_or_else(|| unknown(Side::Source, "whether a job works on the guest"))?,
    })
}

fn host(collected: &Host, uri: &str) -> HostFacts {
    HostFacts {
        uri: uri.to_owned(),
        hostname: collected.name.clone(),
        host_uuid: collected.uuid.clone(),
        hypervisor: collected.hypervisor.clone(),
        architecture: collected.architecture.clone(),
        library_version: collected.library_version,
        hypervisor_version: collected.hypervisor_version,
        free_memory_bytes: collected.free_memory_kib.map(|kib| kib.saturating_mul(1024)),
        has_guest: None,
    }
}

fn unknown(side: Side, what: &str) -> Failure {
    Failure::new(Fault::unreachable(side), format!("the {side} does not report {what}"))
}
