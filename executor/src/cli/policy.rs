//! `whimbrel policy`: the convergence policies by name, what each does on a busy guest, and their comparison on simulated
//! migrations.

use std::fmt::Write as _;
use std::io;
use std::num::NonZero;
use std::path::Path;

use clap::{Args, Subcommand};
use serde::Serialize;
use whimbrel_policy::catalog::{CATALOG, Entry, Reach, find};
use whimbrel_policy::script::{Played, Script};
use whimbrel_policy::{Action, Allowed, Intent, Otherwise, Start};
use whimbrel_study::{BUILT_IN, Comparison, Grid, compare};

use super::args::FidelityFormat;
use super::{CliError, Exit, give, input, unwritten};

const LIST_SCHEMA: &str = "whimbrel.policies/1";
const EXPLAIN_SCHEMA: &str = "whimbrel.policy/1";
/// The guest of `explain`: a pass each 12 s that leaves 1,200 MiB, for an hour and a half.
const BUSY_PASSES: usize = 450;
const BUSY_FOR_MS: u64 = 5_400_000;

#[derive(Debug, Args)]
pub(super) struct Policy {
    #[command(subcommand)]
    verb: PolicyVerb,
}

#[derive(Debug, Subcommand)]
enum PolicyVerb {
    /// List every policy, with its source.
    List {
        /// How results are written.
        #[arg(long, value_enum, default_value_t)]
        format: FidelityFormat,
    },
    /// Explain one policy: its source, its options at the start, and its actions on a guest that never converges.
    Explain {
        /// The policy.
        name: String,
        /// How results are written.
        #[arg(long, value_enum, default_value_t)]
        format: FidelityFormat,
    },
    /// Compare policies on a grid of simulated migrations.
    Compare(Compare),
}

#[derive(Debug, Args)]
struct Compare {
    /// A built-in grid (small, known, unseen), or a file.
    #[arg(long, value_name = "NAME|FILE", default_value = "small")]
    grid: String,
    /// Only this policy; may be given several times.
    #[arg(long, value_name = "NAME")]
    policy: Vec<String>,
    /// Seeds of each cell, instead of the grid's own number.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=100_000))]
    seeds: Option<u64>,
    /// How results are written.
    #[arg(long, value_enum, default_value_t)]
    format: FidelityFormat,
}

pub(super) fn run(arguments: &Policy) -> Result<Exit, CliError> {
    let written = match &arguments.verb {
        PolicyVerb::List { format: FidelityFormat::Text } => listed(),
        PolicyVerb::List { format: FidelityFormat::Json } => {
            json(&Listed { schema: LIST_SCHEMA, policies: CATALOG.iter().map(Row::of).collect() })?
        }
        PolicyVerb::Explain { name, format } => {
            let entry = entry(name)?;
            let played = on_a_busy_guest(entry);
            match format {
                FidelityFormat::Text => explained(entry, &played),
                FidelityFormat::Json => json(&Explained::of(entry, &played))?,
            }
        }
        PolicyVerb::Compare(arguments) => {
            let comparison = compared(arguments)?;
            match arguments.format {
                FidelityFormat::Text => comparison.to_string(),
                FidelityFormat::Json => json(&comparison)?,
            }
        }
    };
    give(&written)?;
    Ok(Exit::Done)
}

fn entry(name: &str) -> Result<&'static Entry, CliError> {
    let names = || CATALOG.iter().map(|entry| entry.name).collect();
    find(name).ok_or_else(|| CliError::NoPolicy { name: name.to_owned(), names: names() })
}

fn compared(arguments: &Compare) -> Result<Comparison, CliError> {
    let mut grid = grid(&arguments.grid)?;
    grid.seeds = arguments.seeds.unwrap_or(grid.seeds);
    let entries: Vec<&Entry> = if arguments.policy.is_empty() {
        CATALOG.iter().collect()
    } else {
        arguments.policy.iter().map(|name| entry(name)).collect::<Result<_, _>>()?
    };
    let threads = std::thread::available_parallelism().unwrap_or(NonZero::<usize>::MIN);
    Ok(compare(&grid, &entries, threads))
}

fn grid(name: &str) -> Result<Grid, CliError> {
    let unusable = |source| CliError::Grid { path: name.into(), source };
    if BUILT_IN.iter().any(|(built_in, _)| *built_in == name) {
        return Grid::built_in(name).map_err(unusable);
    }
    let text = input::text(Path::new(name)).map_err(|error| match error {
        CliError::Unreadable { source, .. }
            if source.kind() == io::ErrorKind::NotFound && !name.contains(['/', '.']) =>
        {
            CliError::NoGrid { name: name.to_owned(), names: BUILT_IN.map(|(built_in, _)| built_in).into() }
        }
        error => error,
    })?;
    Grid::read(&text).map_err(unusable)
}

/// With every permission, so that nothing of the policy is left out.
fn on_a_busy_guest(entry: &Entry) -> Played {
    let allowed = Allowed { throttle: true, postcopy: true, pause: true, restart: true };
    let intent = Intent { allowed, otherwise: Otherwise::Cancel, ..Intent::default() };
    let script = Script::new(4_096, 100).intent(intent).syncs(41_000, 12_000, &[1_200; BUSY_PASSES]);
    script.play(&mut *entry.create(), BUSY_FOR_MS)
}

fn json(document: &impl Serialize) -> Result<String, CliError> {
    Ok(serde_json::to_string(document).map_err(|error| unwritten(error.into()))? + "\n")
}

#[derive(Serialize)]
struct Listed {
    schema: &'static str,
    policies: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    name: &'static str,
    does: &'static str,
    source: &'static str,
    is_simulator_only: bool,
}

impl Row {
    fn of(entry: &Entry) -> Self {
        let is_simulator_only = entry.reach == Reach::SimulatorOnly;
        Self { name: entry.name, does: entry.does, source: entry.source, is_simulator_only }
    }
}

#[derive(Serialize)]
struct Explained {
    schema: &'static str,
    #[serde(flatten)]
    row: Row,
    starts_with: Vec<String>,
    actions: Vec<Taken>,
}

#[derive(Serialize)]
struct Taken {
    at_ms: u64,
    action: String,
}

impl Explained {
    fn of(entry: &Entry, played: &Played) -> Self {
        let taken = |(at_ms, action): &(u64, Action)| Taken { at_ms: *at_ms, action: action.to_string() };
        Self {
            schema: EXPLAIN_SCHEMA,
            row: Row::of(entry),
            starts_with: options(&played.start),
            actions: played.actions.iter().map(taken).collect(),
        }
    }
}

fn options(start: &Start) -> Vec<String> {
    let mut options = vec![format!("downtime limit {} ms", start.downtime_limit_ms)];
    if start.bandwidth_bytes_per_second > 0 {
        options.push(format!("bandwidth limit {} MiB/s", start.bandwidth_bytes_per_second >> 20));
    }
    if let Some(steps) = start.auto_converge {
        let tail = if steps.tailslow { ", smaller near the end" } else { "" };
        options.push(format!(
            "auto-converge from {} % in steps of {} %{tail}",
            steps.initial_percent, steps.increment_percent
        ));
    }
    if let Some(limit) = start.dirty_limit_bytes_per_second {
        options.push(format!("dirty limit {} MiB/s", limit >> 20));
    }
    if let Some(cache) = start.xbzrle_cache_bytes {
        options.push(format!("XBZRLE with a cache of {} MiB", cache >> 20));
    }
    if start.postcopy {
        options.push("post-copy permitted".to_owned());
    }
    options
}

fn listed() -> String {
    let width = CATALOG.iter().map(|entry| entry.name.len()).max().unwrap_or(0);
    let mut text = String::new();
    for entry in &CATALOG {
        let mark = if entry.reach == Reach::SimulatorOnly { " (simulator only)" } else { "" };
        // Writing into a string does not fail.
        let _ =
            writeln!(text, "{:width$}  {}{mark}\n{:width$}  {}", entry.name, entry.does, "", entry.source);
    }
    text
}

fn explained(entry: &Entry, played: &Played) -> String {
    let reach = match entry.reach {
        Reach::Libvirt => "with libvirt, and in the simulator",
        Reach::SimulatorOnly => "in the simulator only: libvirt has no call for what it does",
    };
    let mut text = format!(
        "{}: {}\nsource: {}\nruns {reach}\nstarts with: {}\n\n\
         On a guest of 4 GiB that leaves 1,200 MiB at every pass (100 MiB/s, a pass each 12 s; everything permitted):\n",
        entry.name,
        entry.does,
        entry.source,
        options(&played.start).join(", ")
    );
    for (at_ms, action) in &played.actions {
        // Writing into a string does not fail.
        let _ = writeln!(text, "{:>6}.{} s  {action}", at_ms / 1000, at_ms % 1000 / 100);
    }
    if played.actions.is_empty() {
        text.push_str("   it does not act\n");
    }
    text
}
