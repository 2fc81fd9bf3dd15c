//! The facts that rules judge, from two live hosts.
//!
//! What a host does not tell stays unknown: a question that fails must never look like an answer. Nothing is changed on
//! either host, except what the probe for shared storage makes and removes again (see `probe`).

mod beyond;
mod disks;
mod guest;
mod host;
#[cfg(test)]
mod hostile;
mod identity;
mod links;
mod probe;
mod remembered;
mod survey;
pub(super) mod users;

pub(crate) use survey::LibvirtSurvey;

use whimbrel_core::Side;
use whimbrel_facts::xml;
use whimbrel_facts::{Attribute, DiskStorage, Domain as Guest, Facts, Request};

use super::documents::unreadable;
use super::{Connection, LibvirtError, XmlView};
use crate::access::Access;
use whimbrel_drive::copying;
use whimbrel_drive::hosts::{Ends as Uris, Inquiry};

/// Named where the definition for the destination cannot be read: no host wrote it.
const DEFINITION: &str = "the definition for the destination";

/// A host that did not tell what it was asked.
#[derive(Debug, thiserror::Error)]
#[error("`{uri}` does not tell its facts: {error}")]
pub(crate) struct Untold {
    /// Which host.
    pub(crate) uri: String,
    /// Why.
    #[source]
    pub(crate) error: LibvirtError,
}

/// Asks both hosts about a guest, and about each other.
///
/// # Errors
/// When a host cannot be reached, the source has no such guest, or the definition for the destination cannot be read.
pub(crate) fn collect(access: &Access, inquiry: &Inquiry, uris: &Uris) -> Result<Facts, Untold> {
    let uri = |side| match side {
        Side::Source => uris.source.to_string(),
        Side::Destination => uris.destination.to_string(),
    };
    let at = |side| move |error| Untold { uri: uri(side), error };
    let source = access.open(&uris.source).map_err(at(Side::Source))?;
    let destination = access.open(&uris.destination).map_err(at(Side::Destination))?;
    let domain = source.lookup(&inquiry.guest).map_err(at(Side::Source))?;
    between(inquiry, [&source, &destination], &domain).map_err(|(side, error)| at(side)(error))
}

/// The same over connections that are there already.
///
/// # Errors
/// With the side that does not report what it has to.
pub(super) fn between(
    inquiry: &Inquiry,
    [source, destination]: [&Connection; 2],
    domain: &super::Domain,
) -> Result<Facts, (Side, LibvirtError)> {
    let (here, there) = (inquiry.source.as_str(), inquiry.destination.as_str());
    let at = |side| move |error| (side, error);
    let (source_failed, destination_failed) = (at(Side::Source), at(Side::Destination));
    let definition = domain.xml(XmlView::Current).map_err(source_failed)?;
    let (guest, own) = guest::facts(domain, &definition).map_err(source_failed)?;
    let target = inquiry.destination_xml.as_deref().map(target).transpose().map_err(destination_failed)?;
    let expected = target.as_ref().unwrap_or(&guest);
    let expected_xml = inquiry.destination_xml.as_deref().unwrap_or(&definition);
    let capabilities = source.capabilities_xml().map_err(source_failed)?;
    let (mut of_source, links, _) =
        host::facts(here, source, &guest, None, &capabilities).map_err(source_failed)?;
    of_source.links = links.all();
    // libvirt cannot compare a CPU without a model: that is the hypervisor's own on each host.
    let cpu = xml::cpu_with_model(expected_xml).ok().flatten();
    let capabilities = destination.capabilities_xml().map_err(destination_failed)?;
    let (mut of_destination, mut links, of_networks) =
        host::facts(there, destination, expected, cpu.as_deref(), &capabilities)
            .map_err(destination_failed)?;
    if xml::uses_open_vswitch(expected_xml, "domain").unwrap_or(true) {
        links.forget_completeness();
    }
    of_destination.links = links.all();
    let ends = disks::Ends {
        source,
        destination,
        domain,
        definition: &definition,
        destination_xml: expected_xml,
        probe: inquiry.probe,
    };
    let (storage, mut attributes) = storage_of(&ends, &guest, expected, inquiry.copy_disks);
    attributes.extend(links.attributes());
    attributes.extend(links.bridges());
    attributes.extend(of_networks);
    let given = inquiry.destination_xml.as_deref().map(|target| xml::target_attributes(&definition, target));
    let given = given.transpose().map_err(|error| destination_failed(unreadable(DEFINITION, &error)))?;
    let wanted = given.as_deref().unwrap_or(&own);
    let beyond = beyond::attributes(destination, &capabilities, expected, wanted, &mut of_destination);
    attributes
        .extend(beyond.map_err(|error| destination_failed(unreadable("virConnectGetCapabilities", &error)))?);
    attributes.extend(own);
    attributes.extend(given.unwrap_or_default());
    attributes.sort_by(|one, other| one.path.cmp(&other.path));
    let request = Request { live: true, persist_destination: true, ..Request::default() };
    Ok(Facts {
        request: Some(request),
        target,
        source: Some(of_source),
        destination: Some(of_destination),
        storage: Some(storage),
        attributes,
        guest: Some(guest),
        ..Facts::default()
    })
}

/// What concerns the disks alone: the guest, its storage on both hosts, and for a copy who uses the destination's files.
///
/// # Errors
/// When a definition cannot be had or read. That a host does not tell something of a disk is no error.
pub(super) fn storage(
    [source, destination]: [&Connection; 2],
    domain: &super::Domain,
    destination_xml: Option<&str>,
    probe: bool,
    copy: bool,
) -> Result<Facts, LibvirtError> {
    let definition = domain.xml(XmlView::Current)?;
    let (guest, _) = guest::facts(domain, &definition)?;
    let target = destination_xml.map(target).transpose()?;
    let ends = disks::Ends {
        source,
        destination,
        domain,
        definition: &definition,
        destination_xml: destination_xml.unwrap_or(&definition),
        probe,
    };
    let (storage, attributes) = storage_of(&ends, &guest, target.as_ref().unwrap_or(&guest), copy);
    Ok(Facts { guest: Some(guest), target, storage: Some(storage), attributes, ..Facts::default() })
}

/// The storage of each disk, and for a copy who uses the destination's files.
fn storage_of(
    ends: &disks::Ends<'_>,
    guest: &Guest,
    target: &Guest,
    copy: bool,
) -> (Vec<DiskStorage>, Vec<Attribute>) {
    let storage = disks::facts(ends, guest, target);
    let paths: Vec<String> = storage.iter().map(|disk| disk.destination_path.clone()).collect();
    // Who uses a file matters only where one is to be written.
    let used = if copy { users::users(ends.destination, &paths, Some(&guest.uuid)).ok() } else { None };
    let attributes = used.map(|used| copying::users(&storage, &used)).unwrap_or_default();
    (storage, attributes)
}

fn target(definition: &str) -> Result<Guest, LibvirtError> {
    xml::domain(definition).map_err(|error| unreadable(DEFINITION, &error))
}
