//! Every policy on every case of a grid, summed up by cell and in all, with bootstrap intervals.

use std::num::NonZero;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde::Serialize;
use whimbrel_core::Instant;
use whimbrel_policy::catalog::Entry;
use whimbrel_policy::forecast::{Model, Verdict};
use whimbrel_policy::{Beforehand, FixedDowntime, Intent, Seen, Start, ThrottleResponse};
use whimbrel_sim::random::Random;

use crate::calibration::{count, share};
use crate::cost::cost_ms;
use crate::grid::{Case, Grid};
use crate::hindsight::{Hindsight, hindsight};
use crate::kinds::Kind;
use crate::migration::{Ended, Observer, Run, run_observed};

/// Resamples of an interval.
const RESAMPLES: usize = 200;
const VERDICT_EVERY_MS: u64 = 1_000;
const MOST_VERDICTS: u64 = 12;

/// A comparison of policies over a grid.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// `whimbrel.policy-comparison/1`.
    pub schema: &'static str,
    /// The grid's name.
    pub grid: String,
    /// The grid's digest.
    pub sha256: String,
    /// The first seed, and how many.
    pub first_seed: u64,
    /// Seeds of each cell.
    pub seeds: u64,
    /// Migrations of each policy.
    pub cases: usize,
    /// Of them, those whose intent some static limit or the oracle meets.
    pub feasible: usize,
    /// Policies in the order given; then the best static limit in hindsight, and the oracle.
    pub policies: Vec<PolicyReport>,
}

/// One policy.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PolicyReport {
    /// Its name.
    pub name: String,
    /// Over all cases.
    pub overall: Cell,
    /// By intent, kind, memory and link.
    pub cells: Vec<Cell>,
}

/// The runs of one policy in one cell, or in all.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Cell {
    /// The intent; absent over all.
    pub intent: Option<String>,
    /// The guest.
    pub kind: Option<Kind>,
    /// Its memory.
    pub memory_gib: Option<u64>,
    /// The link.
    pub link_gbps: Option<u64>,
    /// Migrations.
    pub runs: usize,
    /// Share that met the intent.
    pub met: Estimate,
    /// Share of the feasible ones that met it; absent without any.
    pub met_of_feasible: Option<f64>,
    /// Share that the policy cancelled.
    pub cancelled: f64,
    /// Median and 95 % quantile of the total time, in ms.
    pub total_ms: [u64; 2],
    /// Median and 95 % quantile of the downtime of those that completed, in ms; absent without any.
    pub downtime_ms: Option<[u64; 2]>,
    /// Bytes on the wire, relative to the memory, mean.
    pub sent_per_memory: f64,
    /// Time lost by each writer, in ms, mean.
    pub lost_ms: Estimate,
    /// Cost above the best static limit's, relative to it: the difference of the sums.
    pub regret: Estimate,
    /// Of the migrations that missed their intent, the share for which the verdict said so before.
    pub warned: Option<f64>,
    /// How long before the end that was, in ms, median.
    pub warned_early_ms: Option<u64>,
    /// Of the migrations that met it, the share for which it said so wrongly.
    pub false_alarms: Option<f64>,
}

/// A value with its 95 % bootstrap interval over cases.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Estimate {
    /// The value.
    pub value: f64,
    /// The interval.
    pub interval: [f64; 2],
}

/// One run with what is needed to sum it up.
#[derive(Clone, Copy, Debug)]
struct Scored {
    run: Run,
    cost_ms: u64,
    best_ms: u64,
    is_feasible: bool,
    memory_bytes: u64,
    warned_ms: Option<u64>,
}

/// Runs the policies over a grid, with this many threads. The result does not depend on their number.
#[must_use]
pub fn compare(grid: &Grid, entries: &[&Entry], threads: NonZero<usize>) -> Comparison {
    let cases = grid.cases();
    let scored = each(&cases, threads, |case| score(case, entries));
    let name = |index: usize| {
        let given = entries.get(index).map(|entry| entry.name);
        given.unwrap_or(if index == entries.len() { "best-static-in-hindsight" } else { "oracle" })
    };
    let policies = (0..entries.len() + 2).map(|index| {
        let of_case = |scored: &Vec<Scored>| scored.get(index).copied();
        let rows: Vec<(&Case, Scored)> =
            cases.iter().zip(&scored).filter_map(|(case, scored)| Some((case, of_case(scored)?))).collect();
        report(name(index), &rows)
    });
    let is_feasible = |scored: &&Vec<Scored>| scored.first().is_some_and(|one| one.is_feasible);
    Comparison {
        schema: "whimbrel.policy-comparison/1",
        grid: grid.name.clone(),
        sha256: grid.sha256.clone(),
        first_seed: grid.first_seed,
        seeds: grid.seeds,
        cases: cases.len(),
        feasible: scored.iter().filter(is_feasible).count(),
        policies: policies.collect(),
    }
}

/// Each policy's run, then the two of hindsight.
fn score(case: &Case, entries: &[&Entry]) -> Vec<Scored> {
    let Hindsight { best_static, oracle, .. } = hindsight(case);
    let best_ms = cost_ms(&best_static, &case.intent);
    let is_feasible = best_static.meets_intent || oracle.meets_intent;
    let scored = |run: Run, warned_ms| Scored {
        run,
        cost_ms: cost_ms(&run, &case.intent),
        best_ms,
        is_feasible,
        memory_bytes: case.memory_gib << 30,
        warned_ms,
    };
    let runs = entries.iter().map(|entry| {
        let mut listener =
            Listener { intent: case.intent, model: None, last_ms: None, verdicts: 0, hopeless_ms: None };
        let run = run_observed(case, &mut *entry.create(), &mut listener);
        scored(run, listener.hopeless_ms)
    });
    runs.chain([scored(best_static, None), scored(oracle, None)]).collect()
}

/// Listens for the first verdict that nothing suffices.
#[derive(Debug)]
struct Listener {
    intent: Intent,
    model: Option<Model>,
    last_ms: Option<u64>,
    verdicts: u64,
    hopeless_ms: Option<u64>,
}

impl Observer for Listener {
    fn starts(&mut self, before: &Beforehand, start: &Start) {
        self.model = Some(Model::new(before, *start, FixedDowntime::default(), ThrottleResponse::default()));
    }

    fn on(&mut self, now: Instant, seen: Seen<'_>) {
        let Some(model) = &mut self.model else { return };
        if self.hopeless_ms.is_some() || self.verdicts >= MOST_VERDICTS {
            return;
        }
        model.on(now, seen);
        let is_due = self.last_ms.is_none_or(|last_ms| now.as_ms() >= last_ms + VERDICT_EVERY_MS);
        let is_sync = matches!(seen, Seen::Sync(sync) if sync.iteration > 1);
        // Arithmetic is seen in the first pass already.
        let is_early =
            matches!(seen, Seen::Poll(_)) && model.ends() == 0 && self.verdicts == 0 && now.as_ms() > 1_000;
        if is_due && (is_sync || is_early) {
            self.last_ms = Some(now.as_ms());
            self.verdicts += 1;
            let verdict = model.assess(&self.intent).verdict;
            if matches!(verdict, Verdict::Never { .. } | Verdict::LinkTooSlow) {
                self.hopeless_ms = Some(now.as_ms());
            }
        }
    }
}

/// The results in the order of the cases.
fn each<T: Send>(cases: &[Case], threads: NonZero<usize>, of: impl Fn(&Case) -> T + Sync) -> Vec<T> {
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<(usize, T)>> = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..threads.get() {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(case) = cases.get(index) else { break };
                    let result = of(case);
                    done.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push((index, result));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    done.sort_unstable_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, result)| result).collect()
}

fn report(name: &str, rows: &[(&Case, Scored)]) -> PolicyReport {
    let key = |case: &Case| (case.intent_name.clone(), case.kind, case.memory_gib, case.link_gbps);
    let all: Vec<Scored> = rows.iter().map(|(_, scored)| *scored).collect();
    let cells = rows.chunk_by(|(a, _), (b, _)| key(a) == key(b)).filter_map(|chunk| {
        let (case, _) = chunk.first()?;
        let scored: Vec<Scored> = chunk.iter().map(|(_, scored)| *scored).collect();
        Some(Cell {
            intent: Some(case.intent_name.clone()),
            kind: Some(case.kind),
            memory_gib: Some(case.memory_gib),
            link_gbps: Some(case.link_gbps),
            ..summary(&scored)
        })
    });
    PolicyReport { name: name.to_owned(), overall: summary(&all), cells: cells.collect() }
}

fn summary(scored: &[Scored]) -> Cell {
    let runs = scored.len();
    let is_met = |one: &&Scored| one.run.meets_intent;
    let feasible: Vec<&Scored> = scored.iter().filter(|one| one.is_feasible).collect();
    let cancelled = scored.iter().filter(|one| one.run.ended == Ended::Cancelled).count();
    let downtimes: Vec<u64> = scored.iter().filter_map(|one| one.run.downtime_ms).collect();
    let sent = scored.iter().map(|one| real(one.run.sent_bytes) / real(one.memory_bytes)).sum::<f64>();
    let missed: Vec<&Scored> = scored.iter().filter(|one| !one.run.meets_intent).collect();
    let warned: Vec<u64> = missed
        .iter()
        .filter_map(|one| one.warned_ms.map(|warned_ms| one.run.total_ms.saturating_sub(warned_ms)))
        .collect();
    let met: Vec<&Scored> = scored.iter().filter(is_met).collect();
    let alarms = met.iter().filter(|one| one.warned_ms.is_some()).count();
    let some = |part: usize, all: usize| (all > 0).then(|| share(part, all));
    Cell {
        intent: None,
        kind: None,
        memory_gib: None,
        link_gbps: None,
        runs,
        met: estimate(scored, |sample| {
            share(sample.iter().filter(|one| one.run.meets_intent).count(), sample.len())
        }),
        met_of_feasible: some(feasible.iter().filter(|one| one.run.meets_intent).count(), feasible.len()),
        cancelled: share(cancelled, runs),
        total_ms: quantiles(scored.iter().map(|one| one.run.total_ms).collect()),
        downtime_ms: (!downtimes.is_empty()).then(|| quantiles(downtimes)),
        sent_per_memory: sent / count(runs.max(1)),
        lost_ms: estimate(scored, |sample| mean(sample, |one| one.run.lost_ms)),
        regret: estimate(scored, |sample| {
            let best = mean(sample, |one| one.best_ms);
            if best > 0.0 { mean(sample, |one| one.cost_ms) / best - 1.0 } else { 0.0 }
        }),
        warned: some(warned.len(), missed.len()),
        warned_early_ms: (!warned.is_empty()).then(|| quantiles(warned)).map(|[median, _]| median),
        false_alarms: some(alarms, met.len()),
    }
}

fn estimate(scored: &[Scored], of: impl Fn(&[Scored]) -> f64) -> Estimate {
    let mut random = Random::from_seed(1);
    let size = u64::try_from(scored.len()).unwrap_or(0);
    let mut values: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            let draw =
                |_| usize::try_from(random.below(size)).ok().and_then(|index| scored.get(index)).copied();
            let sample: Vec<Scored> = (0..size).filter_map(draw).collect();
            of(&sample)
        })
        .collect();
    values.sort_unstable_by(f64::total_cmp);
    let at = |index: usize| values.get(index).copied().unwrap_or(0.0);
    Estimate { value: of(scored), interval: [at(RESAMPLES / 40), at(RESAMPLES - 1 - RESAMPLES / 40)] }
}

/// Median and 95 % quantile.
fn quantiles(mut values: Vec<u64>) -> [u64; 2] {
    values.sort_unstable();
    [50, 95].map(|percent| values.get(values.len().saturating_sub(1) * percent / 100).copied().unwrap_or(0))
}

fn mean(scored: &[Scored], of: impl Fn(&Scored) -> u64) -> f64 {
    scored.iter().map(|one| real(of(one))).sum::<f64>() / count(scored.len().max(1))
}

#[expect(clippy::cast_precision_loss, reason = "a report needs no more than 52 bits")]
fn real(value: u64) -> f64 {
    value as f64
}
