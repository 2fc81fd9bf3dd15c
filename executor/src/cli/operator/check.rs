//! `whimbrel check`: every known obstacle to a migration in one report, before the guest is touched.

use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};
use serde::Serialize;
use whimbrel_facts::Facts;
use whimbrel_plugins::Judgement;

use super::args::heading;
use super::asked::Asked;
use super::beforehand::{Beforehand, Measuring};
use super::check_all::{self, AllGuests};
use super::earlier::Earlier;
use super::rule::args::Form;
use super::rule::{document, load_set, print, show};
use super::{CliError, Exit, hosts, state_folder};
use whimbrel_drive::today;

/// One migration, or those of all guests of some hosts.
#[derive(Debug)]
pub(in crate::cli) enum Check {
    One(Box<One>),
    All(Box<AllGuests>),
}

#[derive(Debug, Args)]
pub(in crate::cli) struct One {
    #[command(flatten)]
    asked: Asked,
    #[command(flatten)]
    measuring: Measuring,
    /// Output format.
    #[arg(long, value_enum, default_value_t, help_heading = heading::OUTPUT)]
    format: Form,
}

/// The judgement, and what is known of the copy before it begins.
#[derive(Serialize)]
struct Checked<'a> {
    #[serde(flatten)]
    judgement: &'a Judgement,
    forecast: &'a Earlier,
    /// Only where it was requested.
    #[serde(skip_serializing_if = "Option::is_none")]
    measured: Option<&'a Beforehand>,
}

/// The options of one migration serve for all guests too; the guest and its destination are then not given.
impl Args for Check {
    fn augment_args(command: Command) -> Command {
        let optional = |arg: Arg| arg.required(false).required_unless_present(check_all::ALL_GUESTS);
        let measuring = |arg: Arg| arg.conflicts_with(check_all::ALL_GUESTS);
        let one = One::augment_args(command).mut_arg("measure_dirty_rate", measuring);
        AllGuests::added(one.mut_arg("domain", optional).mut_arg("dest", optional))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Check {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        if matches.contains_id(check_all::ALL_GUESTS) {
            return AllGuests::read(matches).map(|all| Self::All(Box::new(all)));
        }
        One::from_arg_matches(matches).map(|one| Self::One(Box::new(one)))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

pub(super) fn run(arguments: &Check) -> Result<Exit, CliError> {
    match arguments {
        Check::One(one) => {
            let set = load_set(&one.asked.rules)?;
            let facts = collect(&one.asked)?;
            let judgement = set.judge(&facts, &today());
            let spec = one.asked.spec();
            let forecast = Earlier::of(&spec, state_folder().ok().as_deref());
            let measured = if one.measuring.measure_dirty_rate {
                let hosts = hosts::for_uris(&one.asked.simulated, [&one.asked.source, &one.asked.dest])?;
                Some(Beforehand::measure(&hosts, &spec, &one.asked.route(None)))
            } else {
                None
            };
            match one.format {
                Form::Json => {
                    let measured = measured.as_ref();
                    document(&Checked { judgement: &judgement, forecast: &forecast, measured })?;
                }
                Form::Text => {
                    show(&judgement, one.format)?;
                    let text = match &measured {
                        Some(measured) if forecast.is_unknown() => format!("{measured}\n"),
                        Some(measured) => format!("{measured}\n{forecast}\n"),
                        None => format!("{forecast}\n"),
                    };
                    print(&text)?;
                }
            }
            Ok(if judgement.allows() { Exit::Done } else { Exit::Refused })
        }
        Check::All(all) => check_all::run(all),
    }
}

/// The facts of both hosts that rules evaluate.
pub(super) fn collect(asked: &Asked) -> Result<Facts, CliError> {
    let hosts = hosts::for_uris(&asked.simulated, [&asked.source, &asked.dest])?;
    let route = asked.route(asked.destination_xml()?);
    Ok(whimbrel_preflight::facts(&hosts, &asked.spec(), &route, !asked.no_probe)?)
}
