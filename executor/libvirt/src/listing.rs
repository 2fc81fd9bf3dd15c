//! A host and its guests, as its daemon lists them. Nothing is changed.

use crate::access::Access;
use crate::hypervisor::hypervisor;
use crate::{Connection, Domain, LibvirtError, XmlView, documents};
use whimbrel_drive::inventory::{GuestEntry, HostEntry, Inventory};
use whimbrel_drive::running::guest_run;
use whimbrel_drive::uri::HostUri;

/// Asks a host. Blocks, for ten seconds at most when it does not let us in.
///
/// # Errors
/// When the host cannot be reached, or refuses to list its guests.
pub(crate) fn inventory(access: &Access, uri: &HostUri) -> Result<Inventory, LibvirtError> {
    inventory_over(&access.open(uri)?, uri)
}

/// The same over a connection that is there already.
///
/// # Errors
/// Whatever libvirt reports.
pub(crate) fn inventory_over(connection: &Connection, uri: &HostUri) -> Result<Inventory, LibvirtError> {
    let uri = uri.as_str();
    let host = HostEntry {
        uri: uri.to_owned(),
        name: connection.hostname()?,
        hypervisor: hypervisor(uri),
        architecture: documents::host(&connection.capabilities_xml()?)?.architecture,
        hypervisor_version: connection.hypervisor_version()?.to_string(),
        library_version: connection.library_version()?.to_string(),
        free_memory_bytes: connection.free_memory_bytes().ok(),
    };
    // A guest that ends while it is asked is no guest any more.
    let mut guests: Vec<_> =
        connection.domains()?.iter().filter_map(|domain| guest(domain, uri).ok()).collect();
    guests.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(Inventory { host, guests })
}

fn guest(domain: &Domain, host: &str) -> Result<GuestEntry, LibvirtError> {
    // A guest whose definition is refused is there all the same; its size is not known.
    let told = documents::guest(&domain.xml(XmlView::Current)?).unwrap_or_default();
    Ok(GuestEntry {
        name: domain.name()?,
        uuid: domain.uuid()?,
        host: host.to_owned(),
        run: guest_run(domain.state()?.run_state()),
        memory_bytes: told.memory_kib.saturating_mul(1024),
        vcpus: told.cpus_maximum,
    })
}
