//! The drivers that this build has.

use std::sync::Arc;

use whimbrel_drive::hosts::{HostDriver, Hosts};
use whimbrel_simulated::SimulatedHosts;

/// Real hosts, where the libvirt driver is built in, and the simulated ones of this world.
pub(crate) fn hosts(world: Option<SimulatedHosts>) -> Hosts {
    let mut drivers: Vec<Arc<dyn HostDriver>> = Vec::new();
    if let Some(world) = world {
        drivers.push(Arc::new(world));
    }
    #[cfg(feature = "libvirt")]
    drivers.push(Arc::new(whimbrel_libvirt::LibvirtHosts));
    Hosts::new(drivers)
}
