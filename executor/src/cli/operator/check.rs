//! `whimbrel check`: what is known to go wrong with a migration, all at once, before the guest is touched.

use clap::Args;
use whimbrel_facts::Facts;

use super::asked::Asked;
use super::rule::args::Form;
use super::rule::{load_set, show};
use super::{CliError, Exit, hosts};
use whimbrel_drive::today;

#[derive(Debug, Args)]
pub(in crate::cli) struct Check {
    #[command(flatten)]
    asked: Asked,
    /// How results are written.
    #[arg(long, value_enum, default_value_t)]
    format: Form,
}

pub(super) fn run(arguments: &Check) -> Result<Exit, CliError> {
    let set = load_set(&arguments.asked.rules)?;
    let facts = collect(&arguments.asked)?;
    show(&set.judge(&facts, &today()), arguments.format)
}

/// The facts that rules judge, from both hosts.
pub(super) fn collect(asked: &Asked) -> Result<Facts, CliError> {
    let hosts = hosts::for_uris(&asked.simulated, [&asked.source, &asked.dest])?;
    let route = asked.route(asked.destination_xml()?);
    Ok(whimbrel_preflight::facts(&hosts, &asked.spec(), &route, !asked.no_probe)?)
}
