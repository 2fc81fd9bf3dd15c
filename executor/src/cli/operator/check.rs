//! `whimbrel check`: every known obstacle to a migration in one report, before the guest is touched.

use clap::Args;
use whimbrel_facts::Facts;

use super::args::heading;
use super::asked::Asked;
use super::rule::args::Form;
use super::rule::{load_set, show};
use super::{CliError, Exit, hosts};
use whimbrel_drive::today;

#[derive(Debug, Args)]
pub(in crate::cli) struct Check {
    #[command(flatten)]
    asked: Asked,
    /// Output format.
    #[arg(long, value_enum, default_value_t, help_heading = heading::OUTPUT)]
    format: Form,
}

pub(super) fn run(arguments: &Check) -> Result<Exit, CliError> {
    let set = load_set(&arguments.asked.rules)?;
    let facts = collect(&arguments.asked)?;
    show(&set.judge(&facts, &today()), arguments.format)
}

/// The facts of both hosts that rules evaluate.
pub(super) fn collect(asked: &Asked) -> Result<Facts, CliError> {
    let hosts = hosts::for_uris(&asked.simulated, [&asked.source, &asked.dest])?;
    let route = asked.route(asked.destination_xml()?);
    Ok(whimbrel_preflight::facts(&hosts, &asked.spec(), &route, !asked.no_probe)?)
}
