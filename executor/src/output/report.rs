//! A migration in one document, for machines.
//!
//! It is written when the migration ends, and contains what the events reported; it must never conclude anything
//! itself.

use std::io::Write;

use serde::Serialize;
use whimbrel_core::convergence::{DirtySync, SyncTotals};
use whimbrel_core::{
    AdjustmentKind, AdjustmentResult, CancelAnswer, Event, Finding, Instant, Outcome, PhaseName, Spec, View,
};
use whimbrel_policy::follow::Report as Forecast;

use super::{Origin, Show, Watcher};
use whimbrel_observe::summary::describe;

/// Names the form of the document.
pub const SCHEMA: &str = "whimbrel.report/1";

/// One migration in one document. It grows by one entry per dirty-bitmap sync.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: &'static str,
    /// The source of simulated numbers.
    #[serde(flatten)]
    pub origin: Origin,
    /// The requested migration.
    pub spec: Spec,
    /// How it ended.
    pub outcome: Outcome,
    /// The same in plain English.
    pub description: String,
    /// The phases in the order in which they were entered.
    pub phases: Vec<At<PhaseName>>,
    /// The findings of the rules.
    pub findings: Vec<Finding>,
    /// The answers to cancels.
    pub cancel_answers: Vec<At<CancelAnswer>>,
    /// The results of adjustments.
    pub reactions: Vec<At<Reacted>>,
    /// Every dirty-bitmap sync that was seen, with its regression.
    pub syncs: Vec<DirtySync>,
    /// Every forecast that was made, oldest first.
    pub forecasts: Vec<Forecast>,
    /// Least remaining memory at a sync after the first pass.
    pub low_water_bytes: Option<u64>,
    /// Most remaining memory at a sync after the first pass.
    pub high_water_bytes: Option<u64>,
    /// Counts of events.
    pub counts: Counts,
}

/// Something with its instant, in ns since the migration began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct At<T> {
    /// The instant.
    pub at_ns: Instant,
    /// The value.
    pub what: T,
}

/// The result of an adjustment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Reacted {
    /// The adjustment.
    pub reaction: AdjustmentKind,
    /// Its result.
    pub result: AdjustmentResult,
}

/// Counts of events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Queries of the job's statistics.
    pub looks: u64,
    /// Syncs that were seen.
    pub syncs: u64,
    /// Syncs between two queries that were not seen.
    pub syncs_unseen: u64,
    /// Syncs that were seen within a pass, which end no pass and are no regression.
    pub syncs_within_pass: u64,
    /// Syncs at which the remaining memory rose above its value just before.
    pub regressions: u64,
    /// Syncs at which more remained than when the pass began.
    pub gains: u64,
}

/// Gathers a [`Report`] and writes it when the migration ends, as one line of JSON.
#[derive(Debug)]
pub struct JsonReport<W: Write> {
    out: W,
    origin: Origin,
    phases: Vec<At<PhaseName>>,
    findings: Vec<Finding>,
    cancel_answers: Vec<At<CancelAnswer>>,
    reactions: Vec<At<Reacted>>,
    syncs: Vec<DirtySync>,
    forecasts: Vec<Forecast>,
    looks: u64,
}

impl<W: Write> JsonReport<W> {
    /// A document to `out`.
    pub fn new(out: W, origin: Origin) -> Self {
        Self {
            out,
            origin,
            phases: Vec::new(),
            findings: Vec::new(),
            cancel_answers: Vec::new(),
            reactions: Vec::new(),
            syncs: Vec::new(),
            forecasts: Vec::new(),
            looks: 0,
        }
    }

    fn report(&self, outcome: &Outcome, view: View<'_>) -> Report {
        let SyncTotals {
            syncs_seen,
            syncs_unseen,
            syncs_within_pass,
            regressions,
            non_converging_syncs,
            low_water_bytes,
            high_water_bytes,
        } = view.convergence.totals();
        Report {
            schema: SCHEMA,
            origin: self.origin.clone(),
            spec: view.spec.clone(),
            outcome: outcome.clone(),
            description: describe(outcome, view.spec),
            phases: self.phases.clone(),
            findings: self.findings.clone(),
            cancel_answers: self.cancel_answers.clone(),
            reactions: self.reactions.clone(),
            syncs: self.syncs.clone(),
            forecasts: self.forecasts.clone(),
            low_water_bytes,
            high_water_bytes,
            counts: Counts {
                looks: self.looks,
                syncs: syncs_seen,
                syncs_unseen,
                syncs_within_pass,
                regressions,
                gains: non_converging_syncs,
            },
        }
    }
}

impl<W: Write> Watcher for JsonReport<W> {
    fn on_event(&mut self, now: Instant, event: &Event, view: View<'_>) {
        match event {
            Event::Phase(phase) => self.phases.push(At { at_ns: now, what: *phase }),
            Event::Judged(verdict) => self.findings.extend_from_slice(&verdict.findings),
            Event::Progress(_) => self.looks += 1,
            Event::Sync(seen) => self.syncs.push(seen.sync),
            Event::CancelAnswered(answer) => {
                self.cancel_answers.push(At { at_ns: now, what: *answer });
            }
            Event::Reacted(reaction, result) => {
                self.reactions
                    .push(At { at_ns: now, what: Reacted { reaction: *reaction, result: *result } });
            }
            Event::Seen(..) | Event::Recovered(_) => {}
            Event::Ended(outcome) => {
                let Ok(text) = serde_json::to_string(&self.report(outcome, view)) else { return };
                // A closed pipe must not affect a migration.
                let _gone = writeln!(self.out, "{text}").and_then(|()| self.out.flush());
            }
        }
    }
}

impl<W: Write> Show for JsonReport<W> {
    fn on_forecast(&mut self, _: Instant, report: &Forecast) {
        self.forecasts.push(report.clone());
    }
}
