//! `whimbrel check --all-guests`: whether every guest of some hosts can go to one of some others, and whether those fit there
//! together.
//!
//! It proves no sharing by a file, unless that is wanted: a check of a whole host must not write once for each guest. A
//! guest for which no destination remains is named with the reasons of each.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use clap::{Arg, ArgAction, ArgMatches, Command, FromArgMatches as _};
use serde::Serialize;
use whimbrel_core::{GuestRun, Spec};
use whimbrel_drive::hosts::{Hosts, Route};
use whimbrel_drive::today;
use whimbrel_facts::{Facts, Verdict};
use whimbrel_plugins::{Judgement, RuleSet};
use whimbrel_preflight::together::{Shortage, shortages};

use super::args::heading;
use super::rule::args::{Form, Set};
use super::rule::{document, load_set, print};
use super::simulated::Simulated;
use super::{CliError, Exit, hosts};

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

/// One guest and one destination.
#[derive(Debug, Serialize)]
struct Pair {
    guest: String,
    uuid: String,
    source: String,
    destination: String,
    /// Whether the rules let the migration begin.
    allowed: bool,
    warn: usize,
    unknown: usize,
    /// Findings that fail; in place of them why the hosts could not be queried.
    reasons: Vec<Reason>,
    #[serde(skip)]
    facts: Option<Facts>,
}

#[derive(Debug, Serialize)]
struct Reason {
    code: String,
    message: String,
    remediation: String,
}

/// What one destination would take.
#[derive(Debug, Serialize)]
struct Load {
    destination: String,
    guests: Vec<String>,
    /// What they cannot have there together.
    shortages: Vec<Shortage>,
}

#[derive(Debug, Serialize)]
struct Outcome {
    schema: &'static str,
    pairs: Vec<Pair>,
    placement: Vec<Load>,
    /// Guests for which no destination remains.
    unplaced: Vec<String>,
}

pub(super) fn run(all: &AllGuests) -> Result<Exit, CliError> {
    let set = load_set(&all.rules)?;
    let hosts = hosts::for_uris(&all.simulated, all.sources.iter().chain(&all.destinations))?;
    let mut pairs = Vec::new();
    for source in &all.sources {
        let guests = hosts.inventory(source)?.guests;
        for guest in guests.iter().filter(|guest| guest.run != GuestRun::NotRunning) {
            for destination in &all.destinations {
                let ends = [source.as_str(), destination.as_str()];
                pairs.push(pair(&hosts, &set, [&guest.name, &guest.uuid], ends, all.copy_disks));
            }
        }
    }
    let (placement, unplaced) = placed(&pairs, &all.destinations);
    let outcome = Outcome { schema: "whimbrel.all-guests/1", pairs, placement, unplaced };
    match all.form {
        Form::Json => document(&outcome)?,
        Form::Text => print(&text(&outcome))?,
    };
    Ok(if outcome.unplaced.is_empty() { Exit::Done } else { Exit::Refused })
}

fn pair(
    hosts: &Hosts,
    set: &RuleSet,
    [guest, uuid]: [&str; 2],
    [source, destination]: [&str; 2],
    copy_disks: bool,
) -> Pair {
    let mut spec = Spec::new(guest, source, destination);
    spec.transfer.copy_disks = copy_disks;
    let route = Route { uuid: Some(uuid.to_owned()), no_probe: !copy_disks, ..Route::of(&spec) };
    let mut pair = Pair {
        guest: guest.to_owned(),
        uuid: uuid.to_owned(),
        source: source.to_owned(),
        destination: destination.to_owned(),
        allowed: false,
        warn: 0,
        unknown: 0,
        reasons: Vec::new(),
        facts: None,
    };
    match whimbrel_preflight::facts(hosts, &spec, &route, copy_disks) {
        Ok(facts) => {
            let judgement = set.judge(&facts, &today());
            pair.allowed = judgement.allows();
            (pair.warn, pair.unknown) = (judgement.count(Verdict::Warn), judgement.count(Verdict::Unknown));
            pair.reasons = reasons(judgement);
            pair.facts = Some(facts);
        }
        // A host that does not answer takes no guest; the others may.
        Err(error) => pair.reasons.push(Reason {
            code: "host".to_owned(),
            message: error.to_string(),
            remediation: "make the host reachable, and check again".to_owned(),
        }),
    }
    pair
}

fn reasons(judgement: Judgement) -> Vec<Reason> {
    let failed =
        |one: &whimbrel_plugins::Judged| one.finding.verdict == Verdict::Fail && one.waived.is_none();
    let reason = |one: whimbrel_plugins::Judged| Reason {
        code: one.finding.code,
        message: one.finding.message,
        remediation: one.finding.remediation,
    };
    judgement.findings.into_iter().filter(failed).map(reason).collect()
}

/// Gives each guest the first destination that takes it beside those that it has already, the largest guests first. It
/// may miss a placement that exists, and never gives one that does not fit.
fn placed(pairs: &[Pair], destinations: &[String]) -> (Vec<Load>, Vec<String>) {
    let mut options: BTreeMap<(&str, &str), Vec<(&Pair, &Facts)>> = BTreeMap::new();
    for pair in pairs {
        let of_guest = options.entry((&pair.source, &pair.guest)).or_default();
        of_guest.extend(pair.facts.as_ref().filter(|_| pair.allowed).map(|facts| (pair, facts)));
    }
    let memory = |of: &Vec<(&Pair, &Facts)>| {
        of.first().and_then(|(_, facts)| facts.guest.as_ref()).map_or(0, |guest| guest.memory_kib)
    };
    let mut order: Vec<_> = options.into_iter().collect();
    order.sort_by_key(|(_, of)| std::cmp::Reverse(memory(of)));
    let mut taken: Vec<Vec<(&Pair, &Facts)>> = destinations.iter().map(|_| Vec::new()).collect();
    let mut unplaced = Vec::new();
    for ((_, guest), of) in order {
        let fits = |load: &Vec<(&Pair, &Facts)>, facts: &Facts| {
            let all: Vec<&Facts> = load.iter().map(|(_, facts)| *facts).chain([facts]).collect();
            shortages(&all).iter().all(|one| one.verdict != Verdict::Fail)
        };
        let place = destinations.iter().zip(&mut taken).find_map(|(destination, load)| {
            let (pair, facts) = of.iter().find(|(pair, _)| pair.destination == *destination)?;
            fits(load, facts).then_some((load, *pair, *facts))
        });
        match place {
            Some((load, pair, facts)) => load.push((pair, facts)),
            None => unplaced.push(guest.to_owned()),
        }
    }
    let load = |(destination, load): (&String, Vec<(&Pair, &Facts)>)| Load {
        destination: destination.clone(),
        guests: load.iter().map(|(pair, _)| pair.guest.clone()).collect(),
        shortages: if load.is_empty() {
            Vec::new()
        } else {
            shortages(&load.iter().map(|(_, facts)| *facts).collect::<Vec<_>>())
        },
    };
    (destinations.iter().zip(taken).map(load).collect(), unplaced)
}

fn text(outcome: &Outcome) -> String {
    let mut out = String::new();
    let width = |of: fn(&Pair) -> &str| outcome.pairs.iter().map(|pair| of(pair).len()).max().unwrap_or(0);
    let [guest, source, destination] = [
        width(|pair| &pair.guest).max("guest".len()),
        width(|pair| &pair.source).max("source".len()),
        width(|pair| &pair.destination).max("destination".len()),
    ];
    // Writing into a string does not fail.
    let _ =
        writeln!(out, "{:<guest$}  {:<source$}  {:<destination$}  result", "guest", "source", "destination");
    for pair in &outcome.pairs {
        let result = if pair.allowed {
            format!("allowed, {} warn, {} unknown", pair.warn, pair.unknown)
        } else {
            format!("refused, {} fail", pair.reasons.len())
        };
        let _ = writeln!(
            out,
            "{:<guest$}  {:<source$}  {:<destination$}  {result}",
            pair.guest, pair.source, pair.destination
        );
        for reason in &pair.reasons {
            let _ = writeln!(out, "    {}: {}\n        {}", reason.code, reason.message, reason.remediation);
        }
    }
    for load in &outcome.placement {
        let guests = if load.guests.is_empty() { "no guest".to_owned() } else { load.guests.join(", ") };
        let _ = writeln!(out, "{} takes {guests}", load.destination);
        for one in &load.shortages {
            let _ = writeln!(out, "    {} {}: {}", one.verdict.name(), one.resource, one.message);
        }
    }
    if outcome.unplaced.is_empty() {
        out.push_str("Every guest has a destination.\n");
    } else {
        let _ = writeln!(out, "No destination takes {} beside the others.", outcome.unplaced.join(", "));
    }
    out
}
