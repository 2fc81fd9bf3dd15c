//! `whimbrel check --all-guests`: whether every guest of some hosts can go to one of some others, and whether those fit there
//! together.
//!
//! It proves no sharing by a file, unless that is wanted: a check of a whole host must not write once for each guest. A
//! guest for which no destination remains is named with the reasons of each.

use std::fmt::Write as _;

use clap::{Arg, ArgAction, ArgMatches, Command, FromArgMatches as _};
use serde::Serialize;
use whimbrel_facts::Verdict;
use whimbrel_preflight::matrix::{Guest, Matrix, Pair, Wanted, matrix};

use super::args::heading;
use super::rule::args::{Form, Set};
use super::rule::{document, load_set, print};
use super::simulated::Simulated;
use super::{CliError, Exit, hosts};

/// Guests at most: a bound on time and output, above what one evacuation moves.
const GUESTS_MOST: usize = 10_000;
/// The option that makes a check one of all guests.
pub(super) const ALL_GUESTS: &str = "all_guests";
const TO: &str = "to";

/// The guests of which hosts, to which others.
#[derive(Debug)]
pub(in crate::cli) struct AllGuests {
    sources: Vec<String>,
    destinations: Vec<String>,
    rules: Set,
    simulated: Simulated,
    copy_disks: bool,
    form: Form,
}

impl AllGuests {
    /// The options beside those of one migration.
    pub(super) fn added(command: Command) -> Command {
        let hosts =
            |id: &'static str| Arg::new(id).value_name("HOST").num_args(1..).action(ArgAction::Append);
        let alone = ["domain", "dest", "xml", "migrate_uri", "overwrite_disks", "offline", "allow_unsafe"];
        let all = hosts(ALL_GUESTS)
            .long("all-guests")
            .help("Check every running guest of these hosts instead of one guest")
            .help_heading(heading::MANY)
            .requires(TO)
            .conflicts_with_all(alone);
        let to = hosts(TO)
            .long("to")
            .help("The hosts that the guests may go to, the preferred one first")
            .help_heading(heading::MANY)
            .requires(ALL_GUESTS);
        command.arg(all).arg(to)
    }

    pub(super) fn read(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let all = |id: &str| matches.get_many::<String>(id).into_iter().flatten().cloned().collect();
        Ok(Self {
            sources: all(ALL_GUESTS),
            destinations: all(TO),
            rules: Set::from_arg_matches(matches)?,
            simulated: Simulated::from_arg_matches(matches)?,
            copy_disks: matches.contains_id("copy_disks"),
            form: matches.get_one::<Form>("format").copied().unwrap_or_default(),
        })
    }
}

#[derive(Debug, Serialize)]
struct Document<'a> {
    schema: &'static str,
    #[serde(flatten)]
    matrix: &'a Matrix,
}

pub(super) fn run(all: &AllGuests) -> Result<Exit, CliError> {
    let set = load_set(&all.rules)?;
    let hosts = hosts::for_uris(&all.simulated, all.sources.iter().chain(&all.destinations))?;
    let wanted = Wanted {
        sources: all.sources.clone(),
        destinations: all.destinations.clone(),
        guests: Vec::new(),
        copy_disks: all.copy_disks,
        guests_most: GUESTS_MOST,
    };
    let matrix = matrix(&hosts, &set, &wanted, &|| false)?;
    match all.form {
        Form::Json => document(&Document { schema: "whimbrel.all-guests/2", matrix: &matrix })?,
        Form::Text => print(&text(&matrix))?,
    };
    Ok(if matrix.unplaced.is_empty() { Exit::Done } else { Exit::Refused })
}

fn text(matrix: &Matrix) -> String {
    let mut out = String::new();
    let width = |of: fn(&Pair) -> &str| matrix.pairs.iter().map(|pair| of(pair).len()).max().unwrap_or(0);
    let [guest, source, destination] = [
        width(|pair| &pair.guest.guest).max("guest".len()),
        width(|pair| &pair.guest.source).max("source".len()),
        width(|pair| &pair.destination).max("destination".len()),
    ];
    // Writing into a string does not fail.
    let _ =
        writeln!(out, "{:<guest$}  {:<source$}  {:<destination$}  result", "guest", "source", "destination");
    for pair in &matrix.pairs {
        let result = if pair.allowed {
            format!("allowed, {} warn, {} unknown", pair.warn, pair.unknown)
        } else {
            format!("refused, {} fail", pair.reasons.len())
        };
        let _ = writeln!(
            out,
            "{:<guest$}  {:<source$}  {:<destination$}  {result}",
            pair.guest.guest, pair.guest.source, pair.destination
        );
        for reason in &pair.reasons {
            let _ = writeln!(out, "    {}: {}\n        {}", reason.code, reason.message, reason.remediation);
        }
    }
    for load in &matrix.placement {
        let guests = if load.guests.is_empty() { "no guest".to_owned() } else { names(&load.guests) };
        let _ = writeln!(out, "{} takes {guests}", load.destination);
        for one in &load.shortages {
            let _ = writeln!(out, "    {} {}: {}", one.verdict.name(), one.resource, one.message);
        }
    }
    let _ = match matrix.together {
        Verdict::Fail => {
            writeln!(out, "No destination takes {} beside the others.", names(&matrix.unplaced))
        }
        Verdict::Unknown => {
            writeln!(out, "Every guest has a destination; whether they fit there together is not known.")
        }
        Verdict::Pass | Verdict::Warn => writeln!(out, "Every guest has a destination."),
    };
    out
}

fn names(guests: &[Guest]) -> String {
    guests.iter().map(|guest| guest.guest.as_str()).collect::<Vec<_>>().join(", ")
}
