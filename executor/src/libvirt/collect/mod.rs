//! The facts that rules judge, from two live hosts.
//!
//! What a host does not tell stays unknown: a question that fails must never look like an answer. Nothing is changed on
//! either host, except what the probe for shared storage makes and removes again (see `probe`).

mod disks;
mod guest;
mod host;
mod links;
mod probe;

use whimbrel_plugins::facts::{Facts, Request};
use whimbrel_plugins::xml;

use super::driver::Link;
use super::{Connection, ErrorCode, LibvirtError, XmlView};
use crate::hosts::{Ends as Uris, Inquiry};

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
/// When a host cannot be reached, the source has no such guest, or the definition for the destination cannot be read.
pub fn collect(inquiry: &Inquiry, uris: &Uris) -> Result<Facts, Untold> {
    let name = &inquiry.guest;
    let (here, there) = (uris.source.as_str(), uris.destination.as_str());
    let at = |uri: &str| {
        let uri = uri.to_owned();
        move |error| Untold { uri, error }
    };
    let source = Link::open(&uris.source).map_err(at(here))?;
    let destination = Link::open(&uris.destination).map_err(at(there))?;
    let (domain, definition, guest) = told(&source, name).map_err(at(here))?;
    let target = inquiry.destination_xml.as_deref().map(target).transpose().map_err(at(there))?;
    let expected = target.as_ref().unwrap_or(&guest);
    let (mut of_source, links) = host::facts(here, &source, &guest, None).map_err(at(here))?;
    of_source.links = links.all();
    let cpu = host::cpu(inquiry.destination_xml.as_deref().unwrap_or(&definition));
    let told = host::facts(there, &destination, expected, cpu.as_deref());
    let (mut of_destination, mut links) = told.map_err(at(there))?;
    let expected_xml = inquiry.destination_xml.as_deref().unwrap_or(&definition);
    if xml::uses_open_vswitch(expected_xml, "domain").unwrap_or(true) {
        links.forget_completeness();
    }
    of_destination.links = links.all();
    let ends = disks::Ends {
        source: &source,
        destination: &destination,
        domain: &domain,
        definition: &definition,
        destination_xml: inquiry.destination_xml.as_deref().unwrap_or(&definition),
        probe: inquiry.probe,
        copied: inquiry.copy_disks,
    };
    let storage = disks::facts(&ends, &guest, expected);
    let request = Request { live: true, persist_destination: true, ..Request::default() };
    Ok(Facts {
        request: Some(request),
        target,
        source: Some(of_source),
        destination: Some(of_destination),
        storage: Some(storage),
        guest: Some(guest),
        attributes: links.attributes(),
        ..Facts::default()
    })
}

fn told(
    source: &Connection,
    name: &str,
) -> Result<(super::Domain, String, whimbrel_plugins::facts::Domain), LibvirtError> {
    let domain = source.lookup(name)?;
    let definition = domain.xml(XmlView::Current)?;
    let told = guest::facts(&domain, &definition)?;
    Ok((domain, definition, told))
}

fn target(definition: &str) -> Result<whimbrel_plugins::facts::Domain, LibvirtError> {
    xml::domain(definition).map_err(|error| unreadable("virDomainMigrateToURI3", &error))
}

fn unreadable(call: &'static str, error: &xml::XmlError) -> LibvirtError {
    LibvirtError { call, code: ErrorCode::XmlError, domain: 0, message: error.to_string() }
}
