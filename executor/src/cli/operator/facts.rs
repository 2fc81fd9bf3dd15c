//! `whimbrel facts`: the exact input of the rules, from files, a journal or two hosts.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::Value;
use whimbrel_core::{Answer, Input, Observation, journal};
use whimbrel_facts::xml;
use whimbrel_facts::{Facts, Host, Request};

use super::asked::Asked;
use super::rule::document;
use super::{CliError, Exit, OperatorError, input};

/// The sources of facts.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum FactsVerb {
    /// Read facts from libvirt's XML in files. What the files do not contain stays unknown.
    FromXml(Box<FromXml>),
    /// Read facts from the journal of a migration: the input of the rules before it started.
    FromJournal(FromJournal),
    /// Collect facts from two hosts, real or simulated.
    Collect(Box<Asked>),
}

#[derive(Debug, Args)]
pub(in crate::cli) struct FromXml {
    /// Domain XML of the guest.
    #[arg(long, value_name = "FILE")]
    domain: PathBuf,
    /// Domain XML for the destination, if it differs.
    #[arg(long, value_name = "FILE")]
    target: Option<PathBuf>,
    /// Capabilities XML of the source.
    #[arg(long, value_name = "FILE")]
    source_capabilities: Option<PathBuf>,
    /// Domain capabilities XML of the source; may be repeated.
    #[arg(long, value_name = "FILE")]
    source_domain_capabilities: Vec<PathBuf>,
    /// Capabilities XML of the destination.
    #[arg(long, value_name = "FILE")]
    destination_capabilities: Option<PathBuf>,
    /// Domain capabilities XML of the destination; may be repeated.
    #[arg(long, value_name = "FILE")]
    destination_domain_capabilities: Vec<PathBuf>,
    /// XML of a storage pool of the destination; may be repeated.
    #[arg(long, value_name = "FILE")]
    pool: Vec<PathBuf>,
    /// XML of a network of the destination; may be repeated.
    #[arg(long, value_name = "FILE")]
    network: Vec<PathBuf>,
    /// XML of a node device of the destination; may be repeated.
    #[arg(long, value_name = "FILE")]
    device: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct FromJournal {
    /// Journal, as written by `whimbrel migrate`.
    journal: PathBuf,
}

pub(super) fn run(verb: &FactsVerb) -> Result<Exit, CliError> {
    match verb {
        FactsVerb::FromXml(arguments) => document(&from_xml(arguments)?),
        FactsVerb::FromJournal(arguments) => document(&from_journal(&arguments.journal)?),
        FactsVerb::Collect(arguments) => document(&super::check::collect(arguments)?),
    }
}

fn from_journal(path: &Path) -> Result<Value, CliError> {
    let text = input::text(path)?;
    let mut found = None;
    journal::replay(&text, |record, _, _| {
        if let Input::Hypervisor(Observation::Answer { answer: Answer::Verdict(verdict), .. }) = &record.input
            && let Some(facts) = verdict.basis.as_ref().and_then(|basis| basis.get("facts"))
        {
            found = Some(facts.clone());
        }
    })
    .map_err(|source| CliError::Journal { path: path.to_owned(), source })?;
    let reason =
        "it does not contain the facts that the rules evaluated, only those that the migration itself needs";
    found.ok_or_else(|| OperatorError::Facts { path: path.to_owned(), reason: reason.to_owned() }.into())
}

fn from_xml(arguments: &FromXml) -> Result<Facts, CliError> {
    let guest = read(&arguments.domain, xml::domain)?;
    let target = arguments.target.as_ref().map(|path| read(path, xml::domain)).transpose()?;
    let host = |capabilities: &Option<PathBuf>, of_domains: &[PathBuf]| {
        host(capabilities.as_ref(), of_domains, &guest.machine)
    };
    let source = host(&arguments.source_capabilities, &arguments.source_domain_capabilities)?;
    let mut destination =
        host(&arguments.destination_capabilities, &arguments.destination_domain_capabilities)?;
    let mut inventory = || -> Result<(), CliError> {
        if arguments.pool.is_empty() && arguments.network.is_empty() && arguments.device.is_empty() {
            return Ok(());
        }
        let there = destination.get_or_insert_default();
        there.pools = some(&arguments.pool, xml::pool)?;
        there.networks = some(&arguments.network, xml::network)?;
        there.devices = some(&arguments.device, xml::node_device)?;
        Ok(())
    };
    inventory()?;
    let request = Request {
        live: true,
        persist_destination: true,
        destination_xml: target.is_some(),
        ..Request::default()
    };
    let mut attributes = read(&arguments.domain, xml::domain_attributes)?;
    if let Some(path) = &arguments.target {
        let definition = input::text(&arguments.domain)?;
        attributes.extend(read(path, |target| xml::target_attributes(&definition, target))?);
    }
    if let Some(path) = &arguments.destination_capabilities {
        attributes.extend(read(path, |text| xml::capabilities_attributes(text, "destination"))?);
    }
    for path in &arguments.network {
        attributes.extend(read(path, xml::network_attributes)?);
    }
    attributes.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(Facts {
        request: Some(request),
        guest: Some(guest),
        target,
        source,
        destination,
        attributes,
        ..Facts::default()
    })
}

/// A host from its capabilities; none when no file describes it.
fn host(
    capabilities: Option<&PathBuf>,
    of_domains: &[PathBuf],
    machine: &str,
) -> Result<Option<Host>, CliError> {
    if capabilities.is_none() && of_domains.is_empty() {
        return Ok(None);
    }
    let mut host = Host::default();
    if let Some(path) = capabilities {
        read(path, |text| xml::capabilities(text, &mut host))?;
    }
    let lists_all = host.machines.is_some();
    for path in of_domains {
        read(path, |text| xml::domain_capabilities(text, &mut host))?;
    }
    // Each domain capabilities file describes one machine type: the absence of another proves nothing.
    host.machines.take_if(|machines| !lists_all && machines.iter().all(|one| one.name != machine));
    Ok(Some(host))
}

/// The content of all files of one kind; unknown when there are none.
fn some<T>(
    paths: &[PathBuf],
    parse: impl Fn(&str) -> Result<T, xml::XmlError>,
) -> Result<Option<Vec<T>>, CliError> {
    if paths.is_empty() {
        return Ok(None);
    }
    paths.iter().map(|path| read(path, &parse)).collect::<Result<_, _>>().map(Some)
}

fn read<T>(path: &Path, parse: impl FnOnce(&str) -> Result<T, xml::XmlError>) -> Result<T, CliError> {
    let text = input::text(path)?;
    parse(&text)
        .map_err(|error| OperatorError::Facts { path: path.to_owned(), reason: error.to_string() }.into())
}
