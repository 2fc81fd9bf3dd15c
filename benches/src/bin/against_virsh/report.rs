//! The comparison in tables for people and as a document for machines.

use std::fmt::Write as _;

use serde::Serialize;
use whimbrel_benches::figures::{Spread, median_interval, paired_ratios};

use crate::Options;
use crate::course::{MEMORY_MIB, Measured, Pair, REGION_MIB, Run};

/// Names the form of the document.
const SCHEMA: &str = "whimbrel.against-virsh/1";
/// Limits for the medians of the ratios, and for the 99th percentile of the reactions.
const MOST_RATIO: f64 = 1.03;
const MOST_REACTION_US: u64 = 5_000;

/// The whole comparison.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    schema: &'static str,
    guest: Described,
    machine: Machine,
    rows: Vec<Row>,
    whimbrel_phases: Vec<PhaseTime>,
    reactions: Option<AllReactions>,
    pairs: Vec<Pair>,
}

#[derive(Clone, Copy, Debug, Serialize)]
struct Described {
    memory_mib: u32,
    region_mib: u32,
    writes_per_second: u32,
    bandwidth_mib_per_second: u32,
}

#[derive(Clone, Debug, Serialize)]
struct Machine {
    cores: Option<usize>,
    versions: Vec<String>,
    load_average_before: Option<f64>,
    load_average_after: Option<f64>,
}

/// One kind of measurement, in ms, and Whimbrel's over `virsh`'s, pair by pair.
#[derive(Clone, Debug, Serialize)]
struct Row {
    what: &'static str,
    virsh_ms: Spread,
    whimbrel_ms: Spread,
    ratio: Spread,
    /// Where the true median of the ratio lies, at 95 %.
    ratio_median_interval: Option<[f64; 2]>,
    target: Option<f64>,
}

/// How long Whimbrel was in a phase, in ms.
#[derive(Clone, Debug, Serialize)]
struct PhaseTime {
    phase: String,
    ms: Spread,
}

#[derive(Clone, Copy, Debug, Serialize)]
struct AllReactions {
    count: u64,
    median_p50_us: f64,
    /// The worst of the runs' 99th percentiles.
    worst_p99_us: u64,
    target_us: u64,
}

/// How a measurement is taken from a run.
type Take = fn(&Run) -> Option<f64>;

/// What is compared, and against which target.
const ROWS: [(&str, Take, Option<f64>); 6] = [
    ("whole command", |run| Some(run.command_ms), Some(MOST_RATIO)),
    ("guest's standstill", |run| Some(run.standstill_ms), Some(MOST_RATIO)),
    ("longest gap of ticks", |run| Some(run.longest_gap_ms), None),
    ("libvirt's total", |run| run.libvirt_total_ms, None),
    ("libvirt's downtime", |run| run.libvirt_downtime_ms, None),
    ("client's CPU time", |run| Some(run.client_cpu_ms), None),
];

impl Report {
    /// What was measured; `None` when that was nothing.
    pub(crate) fn of(options: &Options, measured: &Measured) -> Option<Self> {
        let rows: Vec<Row> = ROWS
            .into_iter()
            .filter_map(|(what, take, target)| row(&measured.pairs, what, take, target))
            .collect();
        if rows.is_empty() {
            return None;
        }
        let [load_average_before, load_average_after] = measured.load;
        Some(Self {
            schema: SCHEMA,
            guest: Described {
                memory_mib: MEMORY_MIB,
                region_mib: REGION_MIB,
                writes_per_second: options.writes,
                bandwidth_mib_per_second: options.bandwidth,
            },
            machine: Machine {
                cores: std::thread::available_parallelism().ok().map(usize::from),
                versions: measured
                    .versions
                    .lines()
                    .filter(|line| !line.is_empty())
                    .map(str::to_owned)
                    .collect(),
                load_average_before,
                load_average_after,
            },
            rows,
            whimbrel_phases: phases(&measured.pairs),
            reactions: reactions(&measured.pairs),
            pairs: measured.pairs.clone(),
        })
    }

    /// One line of JSON.
    pub(crate) fn json(&self) -> String {
        // Numbers, strings, lists and maps with string keys: writing them cannot fail.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The tables, each line with its end.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = self.write(&mut text);
        text
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        let Described { memory_mib, region_mib, writes_per_second, bandwidth_mib_per_second } = self.guest;
        writeln!(
            out,
            "{} pairs; guest of {memory_mib} MiB that writes {writes_per_second} pages/s to {region_mib} MiB; at most {bandwidth_mib_per_second} MiB/s",
            self.pairs.len()
        )?;
        let load = |load: Option<f64>| load.map_or("?".to_owned(), |load| format!("{load:.2}"));
        let machine = &self.machine;
        let cores = machine.cores.map_or("?".to_owned(), |cores| cores.to_string());
        let (before, after) = (load(machine.load_average_before), load(machine.load_average_after));
        writeln!(
            out,
            "{cores} cores, load average {before} before and {after} after; {}",
            machine.versions.join("; ")
        )?;
        writeln!(out)?;
        writeln!(
            out,
            "{:<22}{:>27}{:>29}{:>27}{:>18}",
            "ms: median (p10, p90)", "virsh", "whimbrel", "whimbrel/virsh", "95 % of median"
        )?;
        for row in &self.rows {
            let verdict = row.target.map_or(String::new(), |target| {
                let met = if row.ratio.median <= target { "met" } else { "MISSED" };
                format!("  target {target:.2} {met}")
            });
            let (virsh, whimbrel, ratio) =
                (cell(&row.virsh_ms, 1), cell(&row.whimbrel_ms, 1), cell(&row.ratio, 3));
            let sure = row
                .ratio_median_interval
                .map_or("too few".to_owned(), |[low, high]| format!("{low:.3} to {high:.3}"));
            writeln!(out, "{:<22}{virsh:>27}{whimbrel:>29}{ratio:>27}{sure:>18}{verdict}", row.what)?;
        }
        writeln!(out)?;
        for PhaseTime { phase, ms } in &self.whimbrel_phases {
            writeln!(out, "{:<22}{:>27}", format!("in {phase}"), cell(ms, 1))?;
        }
        if let Some(AllReactions { count, median_p50_us, worst_p99_us, target_us }) = self.reactions {
            let met = if worst_p99_us <= target_us { "met" } else { "MISSED" };
            writeln!(
                out,
                "\n{count} reactions to events: p50 {median_p50_us:.0} µs, worst p99 of a run {worst_p99_us} µs, target {target_us} µs {met}"
            )?;
        }
        Ok(())
    }
}

fn cell(spread: &Spread, digits: usize) -> String {
    let Spread { median, p10, p90, .. } = spread;
    format!("{median:.digits$} ({p10:.digits$}, {p90:.digits$})")
}

/// Only pairs of which both runs have the measurement count.
fn row(pairs: &[Pair], what: &'static str, take: Take, target: Option<f64>) -> Option<Row> {
    let both: Vec<(f64, f64)> =
        pairs.iter().filter_map(|pair| Some((take(&pair.whimbrel)?, take(&pair.virsh)?))).collect();
    let ratios = paired_ratios(both.iter().copied());
    Some(Row {
        what,
        virsh_ms: Spread::of(both.iter().map(|(_, virsh)| *virsh))?,
        whimbrel_ms: Spread::of(both.iter().map(|(whimbrel, _)| *whimbrel))?,
        ratio: Spread::of(ratios.iter().copied())?,
        ratio_median_interval: median_interval(&ratios),
        target,
    })
}

/// In the order of the first run; the phase that a migration ends in has no length.
fn phases(pairs: &[Pair]) -> Vec<PhaseTime> {
    let Some(first) = pairs.first() else { return Vec::new() };
    let length = |run: &Run, name: &str| {
        let mut pairs = run.phases.iter().zip(run.phases.iter().skip(1));
        let (from, to) = pairs.find(|(from, _)| from.phase == name)?;
        Some(std::time::Duration::from_nanos(to.at_ns.saturating_sub(from.at_ns)).as_secs_f64() * 1000.0)
    };
    let spread = |name: &str| Spread::of(pairs.iter().filter_map(|pair| length(&pair.whimbrel, name)));
    first
        .whimbrel
        .phases
        .iter()
        .filter_map(|entered| Some(PhaseTime { phase: entered.phase.clone(), ms: spread(&entered.phase)? }))
        .collect()
}

fn reactions(pairs: &[Pair]) -> Option<AllReactions> {
    let all: Vec<_> = pairs.iter().filter_map(|pair| pair.whimbrel.reactions).collect();
    // Microseconds of a reaction are far below what a double counts exactly; the bound keeps that so.
    let exact = |us: u64| u32::try_from(us).map_or(f64::from(u32::MAX), f64::from);
    Some(AllReactions {
        count: all.iter().map(|one| one.count).sum(),
        median_p50_us: Spread::of(all.iter().map(|one| exact(one.p50_us)))?.median,
        worst_p99_us: all.iter().map(|one| one.p99_us).max()?,
        target_us: MOST_REACTION_US,
    })
}
