//! The host drivers of this build: simulated hosts, and real ones where the libvirt driver is built in.

use std::sync::Arc;

use whimbrel_drive::hosts::{HostDriver, Hosts};
use whimbrel_simulated::{SCHEME, SimulatedHosts};

use super::simulated::Simulated;
use super::{CliError, simulated};

/// The drivers for these URIs. A simulated world is started, or connected to, only where a URI names one of its hosts.
pub(super) fn for_uris<'a>(
    arguments: &Simulated,
    uris: impl IntoIterator<Item = &'a String>,
) -> Result<Hosts, CliError> {
    let needs_world = uris.into_iter().any(|uri| uri.starts_with(SCHEME));
    let world = if needs_world { Some(simulated::connect(arguments)?) } else { None };
    Ok(registered(world))
}

/// Every driver of this build, with the simulated hosts of this world.
pub(super) fn registered(world: Option<SimulatedHosts>) -> Hosts {
    let mut drivers: Vec<Arc<dyn HostDriver>> = Vec::new();
    if let Some(world) = world {
        drivers.push(Arc::new(world));
    }
    #[cfg(feature = "libvirt")]
    drivers.push(Arc::new(whimbrel_libvirt::LibvirtHosts::default()));
    Hosts::new(drivers)
}
