//! `whimbrel explore`: exhaustive exploration of the shipped control machine, slice by slice.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Instant;

use serde::Serialize;
use whimbrel_core::{Ending, GuestLocation, PhaseName};
use whimbrel_verify::explore::{Bounds, Coverage, Finding, Slice, explore_watched, follow, slices};

use super::args::{Explore, FidelityFormat};
use super::progress::Progress;
use super::stop::{Partial, Stop};
use super::{CliError, Exit, give, say, unwritten};

const SCHEMA: &str = "whimbrel.explore/1";
/// No path through a slice is longer.
const MOST_DEPTH: u32 = 1_000;
/// One is enough to fail; a few show whether they have the same cause.
const MOST_VIOLATIONS: usize = 8;

pub(super) fn run(arguments: &Explore) -> Result<Exit, CliError> {
    let chosen: Vec<Slice> = slices().into_iter().filter(|slice| is_chosen(slice, arguments)).collect();
    if chosen.is_empty() {
        return Err(CliError::Slice { names: slices().iter().map(|slice| slice.name).collect() });
    }
    let stop = Stop::listen()?;
    let began = Instant::now();
    let mut explored = Vec::new();
    for (place, slice) in chosen.iter().enumerate() {
        let what = format!("explore {} ({} of {})", slice.name, place + 1, chosen.len());
        explored.push(explore_slice(slice, arguments, Progress::new(&what, "states", slice.states, &stop))?);
        if stop.is_pressed() {
            break;
        }
    }
    let document = Document::of(explored, chosen.len(), began.elapsed().as_secs_f64());
    let written = match arguments.format {
        FidelityFormat::Text => document.text(),
        FidelityFormat::Json => {
            serde_json::to_string(&document).map_err(|error| unwritten(error.into()))? + "\n"
        }
    };
    give(&written)?;
    let is_all = arguments.slice.is_empty() && document.partial.is_none();
    let missing = if is_all { document.never_met() } else { Vec::new() };
    for what in &missing {
        say(&format!("error: never reached: {what}; the result says nothing about it"));
    }
    Ok(match (document.violations.is_empty() && missing.is_empty(), document.partial) {
        (false, _) => Exit::Unexpected,
        (true, Some(_)) => Exit::Interrupted,
        (true, None) => Exit::Done,
    })
}

fn is_chosen(slice: &Slice, arguments: &Explore) -> bool {
    if arguments.slice.is_empty() {
        arguments.long || !slice.is_long
    } else {
        arguments.slice.iter().any(|name| name == slice.name)
    }
}

fn explore_slice(slice: &Slice, arguments: &Explore, progress: Progress) -> Result<Explored, CliError> {
    let began = Instant::now();
    let bounds = Bounds { states: arguments.states, depth: MOST_DEPTH, violations: MOST_VIOLATIONS };
    let coverage = explore_watched(&slice.scope, bounds, |states| progress.set(states));
    drop(progress);
    let violations = coverage
        .violations
        .iter()
        .map(|finding| violated(slice, finding, arguments.journals.as_deref()))
        .collect::<Result<_, _>>()?;
    let explored = Explored::of(slice.name, &coverage, violations, began.elapsed().as_secs_f64());
    if arguments.format == FidelityFormat::Text && !explored.is_stopped {
        say(&format!(
            "explored {}: {} states in {:.0} s",
            slice.name, explored.unique_states, explored.seconds
        ));
    }
    Ok(explored)
}

/// A violation with its path, and its journal where the shipped machine can follow that path in time.
fn violated(slice: &Slice, finding: &Finding, folder: Option<&Path>) -> Result<Violated, CliError> {
    let what = finding.violation.to_string();
    let course = follow(&slice.scope, &finding.way).ok();
    let mut journal = None;
    if let (Some(folder), Some(course)) = (folder, course) {
        let digest = course.journal.bytes().fold(0_u32, |sum, byte| sum.rotate_left(5) ^ u32::from(byte));
        let path = folder.join(format!("{}-{digest:08x}.jsonl", slice.name));
        std::fs::write(&path, course.journal)
            .map_err(|source| CliError::Unwritable { path: path.clone(), source })?;
        journal = Some(path.display().to_string());
    }
    let way = finding.way.iter().map(|what| format!("{what:?}")).collect();
    Ok(Violated { slice: slice.name, what, way, journal })
}

#[derive(Serialize)]
struct Document {
    schema: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    partial: Option<Partial>,
    unique_states: u64,
    transitions: u64,
    /// Of the deepest slice.
    depth: u32,
    /// Shortest paths from the start to an end, of all slices.
    interleavings: f64,
    /// The longest fair path to an end after the last fault.
    longest_calm_way: u32,
    /// Whether every slice was explored completely.
    is_exhaustive: bool,
    /// The probability that two states of one slice had the same fingerprint, by the birthday bound.
    confusion_chance: f64,
    violations: Vec<Violated>,
    seconds: f64,
    ends: BTreeMap<String, u64>,
    phases: BTreeMap<String, u64>,
    slices: Vec<Explored>,
}

#[derive(Clone, Serialize)]
struct Violated {
    slice: &'static str,
    what: String,
    way: Vec<String>,
    journal: Option<String>,
}

#[derive(Serialize)]
struct Explored {
    name: &'static str,
    unique_states: u64,
    transitions: u64,
    depth: u32,
    interleavings: f64,
    longest_calm_way: u32,
    is_exhaustive: bool,
    #[serde(skip)]
    is_stopped: bool,
    ends: BTreeMap<String, u64>,
    phases: BTreeMap<String, u64>,
    #[serde(skip)]
    violations: Vec<Violated>,
    seconds: f64,
}

impl Explored {
    fn of(name: &'static str, coverage: &Coverage, violations: Vec<Violated>, seconds: f64) -> Self {
        let end = |(ending, guest)| format!("{}: {guest}", ending_name(ending));
        Self {
            name,
            unique_states: coverage.unique_states,
            transitions: coverage.transitions,
            depth: coverage.depth,
            interleavings: 10_f64.powf(coverage.interleavings_log10),
            longest_calm_way: coverage.longest_fair_path,
            is_exhaustive: coverage.is_exhaustive,
            is_stopped: coverage.is_stopped,
            ends: coverage.ends.iter().map(|(key, count)| (end(*key), *count)).collect(),
            phases: coverage.phases.iter().map(|(phase, count)| (phase.to_string(), *count)).collect(),
            violations,
            seconds,
        }
    }
}

impl Document {
    fn of(slices: Vec<Explored>, chosen: usize, seconds: f64) -> Self {
        let mut ends = BTreeMap::new();
        let mut phases = BTreeMap::new();
        for slice in &slices {
            slice.ends.iter().for_each(|(end, count)| *ends.entry(end.clone()).or_default() += count);
            slice.phases.iter().for_each(|(phase, count)| *phases.entry(phase.clone()).or_default() += count);
        }
        #[expect(clippy::cast_precision_loss, reason = "a probability needs no more digits")]
        let confusion = |slice: &Explored| (slice.unique_states as f64).powi(2) / 2_f64.powi(65);
        let finished = slices.iter().filter(|slice| !slice.is_stopped).count();
        Self {
            schema: SCHEMA,
            partial: (finished < chosen).then_some(Partial {
                done: finished as u64,
                of: chosen as u64,
                unit: "slices",
            }),
            unique_states: slices.iter().map(|slice| slice.unique_states).sum(),
            transitions: slices.iter().map(|slice| slice.transitions).sum(),
            depth: slices.iter().map(|slice| slice.depth).max().unwrap_or(0),
            interleavings: slices.iter().map(|slice| slice.interleavings).sum(),
            longest_calm_way: slices.iter().map(|slice| slice.longest_calm_way).max().unwrap_or(0),
            is_exhaustive: finished == chosen && slices.iter().all(|slice| slice.is_exhaustive),
            confusion_chance: slices.iter().map(confusion).sum(),
            violations: slices.iter().flat_map(|slice| slice.violations.clone()).collect(),
            seconds,
            ends,
            phases,
            slices,
        }
    }

    /// Phases and endings that no slice has reached.
    fn never_met(&self) -> Vec<String> {
        let phases = PhaseName::ALL.into_iter().map(|phase| phase.to_string());
        let phases =
            phases.filter(|phase| !self.phases.contains_key(phase)).map(|phase| format!("phase {phase}"));
        let endings = [Ending::Completed, Ending::Cancelled, Ending::Failed, Ending::InDoubt];
        let endings = endings.into_iter().map(ending_name);
        let endings = endings.filter(|name| !self.ends.keys().any(|end| end.starts_with(name)));
        let places = GuestLocation::ALL.into_iter().map(|guest| format!(": {guest}"));
        let places = places.filter(|place| !self.ends.keys().any(|end| end.ends_with(place)));
        let places = places.map(|place| format!("an end with the guest{place}"));
        phases.chain(endings.map(|ending| format!("an end that is {ending}"))).chain(places).collect()
    }

    fn text(&self) -> String {
        let mut text = self.partial.as_ref().map_or_else(String::new, Partial::heading);
        // Writing into a string does not fail.
        let _ = writeln!(
            text,
            "{:20} {:>12} {:>14} {:>6} {:>10} {:>6} {:>8}",
            "slice", "states", "transitions", "depth", "paths", "calm", "seconds"
        );
        for slice in &self.slices {
            let whole = match (slice.is_exhaustive, slice.is_stopped) {
                (true, _) => "",
                (false, true) => "  stopped",
                (false, false) => "  incomplete",
            };
            let _ = writeln!(
                text,
                "{:20} {:>12} {:>14} {:>6} {:>10.1e} {:>6} {:>8.1}{whole}",
                slice.name,
                slice.unique_states,
                slice.transitions,
                slice.depth,
                slice.interleavings,
                slice.longest_calm_way,
                slice.seconds
            );
        }
        let _ = writeln!(
            text,
            "{:20} {:>12} {:>14} {:>6} {:>10.1e} {:>6} {:>8.1}\n",
            "total",
            self.unique_states,
            self.transitions,
            self.depth,
            self.interleavings,
            self.longest_calm_way,
            self.seconds
        );
        for (end, count) in &self.ends {
            let _ = writeln!(text, "{count:>12}  {end}");
        }
        let so_far = if self.partial.is_some() { " so far" } else { "" };
        let _ = writeln!(
            text,
            "\nafter the last fault, every state{so_far} ends within {} steps\n\
             probability that two states had the same fingerprint: {:.1e}",
            self.longest_calm_way, self.confusion_chance
        );
        for violated in &self.violations {
            let _ = writeln!(text, "\nVIOLATION in {}: {}", violated.slice, violated.what);
            for what in &violated.way {
                let _ = writeln!(text, "    {what}");
            }
            if let Some(journal) = &violated.journal {
                let _ = writeln!(text, "    replay: whimbrel replay {journal}");
            }
        }
        if self.violations.is_empty() {
            let _ = writeln!(text, "no violation{so_far}");
        }
        text
    }
}

const fn ending_name(ending: Ending) -> &'static str {
    match ending {
        Ending::Completed => "completed",
        Ending::Cancelled => "cancelled",
        Ending::Failed => "failed",
        Ending::InDoubt => "in doubt",
        // The explored machine has no such end: the shell around it derives it from a completed one.
        Ending::ArrivedStopped => "arrived, but not running",
    }
}
