//! `whimbrel check`: what is known to go wrong with a migration, all at once, before anything is changed.

use clap::Args;
use whimbrel_plugins::facts::Facts;

use super::facts::Collect;
use super::rule::args::{Form, Set};
use super::rule::{load_set, show, today};
use super::{CliError, Exit};
use crate::hosts::Hosts;

#[derive(Debug, Args)]
pub(super) struct Check {
    #[command(flatten)]
    of: Collect,
    #[command(flatten)]
    set: Set,
    /// How results are written.
    #[arg(long, value_enum, default_value_t)]
    format: Form,
}

pub(super) fn run(arguments: &Check) -> Result<Exit, CliError> {
    let set = load_set(&arguments.set)?;
    let facts = collect(&arguments.of)?;
    show(&set.judge(&facts, &today()), arguments.format)
}

/// Facts from two hosts that a hypervisor runs on.
pub(super) fn collect(arguments: &Collect) -> Result<Facts, CliError> {
    let told = Hosts::new(None).facts(&arguments.domain, &arguments.source, &arguments.dest)?;
    told.ok_or_else(|| CliError::Rules("simulated hosts have no facts of their own".to_owned()))
}
