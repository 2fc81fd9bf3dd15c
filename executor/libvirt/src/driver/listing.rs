//! A host and its guests, as its daemon lists them. Nothing is changed.

use super::facts::{architecture, guest_run, hypervisor, memory_bytes, text_of};
use super::link::Link;
use crate::{Domain, LibvirtError, XmlView};
use whimbrel_drive::inventory::{GuestEntry, HostEntry, Inventory};
use whimbrel_drive::uri::HostUri;

/// Asks a host. Blocks, for ten seconds at most when it does not let us in.
///
/// # Errors
/// When the host cannot be reached, or refuses to list its guests.
pub fn inventory(uri: &HostUri) -> Result<Inventory, LibvirtError> {
    let connection = Link::open(uri)?;
    let uri = uri.as_str();
    let capabilities = connection.capabilities_xml()?;
    let host = HostEntry {
        uri: uri.to_owned(),
        name: connection.hostname()?,
        hypervisor: hypervisor(uri),
        architecture: architecture(&capabilities).unwrap_or_default(),
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
    let xml = domain.xml(XmlView::Current)?;
    Ok(GuestEntry {
        name: domain.name()?,
        uuid: domain.uuid()?,
        host: host.to_owned(),
        run: guest_run(domain.state()?),
        memory_bytes: memory_bytes(&xml).unwrap_or(0),
        vcpus: text_of(&xml, "vcpu").and_then(|text| text.parse().ok()).unwrap_or(0),
    })
}
