//! The projection of a migration's events: its phase, the owner of the guest, the state of the copy.
//!
//! The same fold serves a migration that runs, one that was driven before a restart, and one that ended long ago. It
//! must never conclude anything that the events do not contain.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use whimbrel_core::convergence::{DirtySync, SYNCS_KEPT, Statistics, SyncReport, SyncTotals};
use whimbrel_core::{
    AdjustmentKind, AdjustmentResult, CancelAnswer, CopyState, Event, Finding, Outcome, PhaseName, Recovery,
    Side,
};
use whimbrel_policy::follow::Report;

/// A forecast in the place of an event, as it is stored and sent.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct ForecastEvent {
    pub(super) forecast: Report,
}

/// Who owns the guest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Owner {
    /// The source.
    #[default]
    Source,
    /// The switchover is in progress.
    HandingOver,
    /// The destination.
    Destination,
    /// It is being determined.
    BeingFoundOut,
    /// It could not be determined, or the guest is lost: see the outcome.
    SeeOutcome,
}

/// The result of an adjustment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Reacted {
    pub(super) reaction: AdjustmentKind,
    pub(super) result: AdjustmentResult,
}

/// A migration's account.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Account {
    pub(super) phase: Option<PhaseName>,
    pub(super) owner: Owner,
    pub(super) statistics: Option<Statistics>,
    /// As the last sync's event has them.
    #[serde(flatten)]
    pub(super) totals: SyncTotals,
    /// The last [`SYNCS_KEPT`], for drawing; older ones are in the events.
    pub(super) syncs: VecDeque<DirtySync>,
    pub(super) findings: Vec<Finding>,
    pub(super) cancel_answer: Option<CancelAnswer>,
    pub(super) reactions: Vec<Reacted>,
    pub(super) recovered: Vec<Recovery>,
    pub(super) seen_on_source: Option<CopyState>,
    pub(super) seen_on_destination: Option<CopyState>,
    pub(super) outcome: Option<Outcome>,
    /// The last forecast, while memory is copied. The migration's document has it.
    #[serde(skip)]
    pub(super) forecast: Option<Report>,
}

impl Account {
    /// Takes an event as it is stored. One of a kind that this release does not know says nothing.
    pub(super) fn take_stored(&mut self, body: &str) {
        if let Ok(event) = serde_json::from_str(body) {
            self.take(&event);
        } else if let Ok(ForecastEvent { forecast }) = serde_json::from_str(body) {
            self.forecast = Some(forecast);
        }
    }

    /// Takes the next event.
    pub(super) fn take(&mut self, event: &Event) {
        match event {
            Event::Phase(phase) => {
                self.phase = Some(*phase);
                self.owner = owner(*phase).unwrap_or(self.owner);
                if *phase != PhaseName::Precopy {
                    self.forecast = None;
                }
            }
            Event::Judged(verdict) => self.findings.clone_from(&verdict.findings),
            Event::Progress(statistics) => self.statistics = Some(*statistics),
            Event::Sync(seen) => self.sync(seen),
            Event::CancelAnswered(answer) => self.cancel_answer = Some(*answer),
            Event::Reacted(reaction, result) => {
                self.reactions.push(Reacted { reaction: *reaction, result: *result });
            }
            Event::Seen(Side::Source, state) => self.seen_on_source = Some(*state),
            Event::Seen(Side::Destination, state) => self.seen_on_destination = Some(*state),
            Event::Recovered(recovery) => self.recovered.push(*recovery),
            Event::Ended(outcome) => {
                self.owner = match outcome.guest.side() {
                    Some(Side::Source) => Owner::Source,
                    Some(Side::Destination) => Owner::Destination,
                    None => Owner::SeeOutcome,
                };
                self.outcome = Some(*outcome.clone());
            }
        }
    }

    fn sync(&mut self, SyncReport { sync, totals }: &SyncReport) {
        // An event that an earlier release stored has none: then the core's fold is made up for here.
        self.totals = totals.unwrap_or_else(|| self.totals.with(sync));
        if self.syncs.len() == SYNCS_KEPT {
            self.syncs.pop_front();
        }
        self.syncs.push_back(*sync);
    }
}

/// Who owns the guest in a phase; none where that depends on how the phase was come to.
pub(super) fn owner(phase: PhaseName) -> Option<Owner> {
    match phase {
        PhaseName::Validating | PhaseName::Preparing | PhaseName::Precopy | PhaseName::RollingBack => {
            Some(Owner::Source)
        }
        PhaseName::SwitchingOver => Some(Owner::HandingOver),
        PhaseName::Postcopy | PhaseName::Recovering => Some(Owner::Destination),
        PhaseName::Completing | PhaseName::Resolving => Some(Owner::BeingFoundOut),
        PhaseName::Done => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn sync(iteration: u64, remaining: u64, rise: u64, totals: Option<Value>) -> Event {
        let mut sync = json!({
            "at": iteration, "iteration": iteration, "unseen": 0, "memory_remaining_bytes": remaining,
            "disk_remaining_bytes": 0, "rise_bytes": rise, "above_previous": rise > remaining,
        });
        if let Some(totals) = totals {
            sync["totals"] = totals;
        }
        serde_json::from_value(json!({ "sync": sync })).unwrap()
    }

    #[test]
    fn the_totals_are_those_of_the_event() {
        let totals = json!({
            "syncs_seen": 70, "syncs_unseen": 4, "regressions": 60, "gains": 9, "low_water_bytes": 5,
            "high_water_bytes": 900,
        });
        let mut account = Account::default();
        account.take(&sync(75, 100, 50, Some(totals.clone())));
        let document = serde_json::to_value(&account).unwrap();
        for (name, total) in totals.as_object().unwrap() {
            assert_eq!(&document[name], total, "{name}");
        }
        assert_eq!(document["syncs"][0]["iteration"], 75);
    }

    #[test]
    fn events_that_an_earlier_release_stored_are_counted_by_the_cores_fold() {
        let mut account = Account::default();
        for (iteration, remaining, rise) in [(1, 1000, 0), (2, 400, 300), (3, 500, 550), (4, 30, 10)] {
            account.take(&sync(iteration, remaining, rise, None));
        }
        let SyncTotals { regressions, non_converging_syncs, low_water_bytes, high_water_bytes, .. } =
            account.totals;
        assert_eq!((regressions, non_converging_syncs), (3, 1));
        assert_eq!((low_water_bytes, high_water_bytes), (Some(30), Some(500)));
        // Its journal was replayed, and it was driven on by this release.
        let whole = account.totals.with(&account.syncs[3]);
        account.take(&sync(5, 20, 0, Some(serde_json::to_value(whole).unwrap())));
        assert_eq!(account.totals, whole);
    }

    #[test]
    fn the_syncs_that_are_kept_are_the_last() {
        let mut account = Account::default();
        for iteration in 1..=SYNCS_KEPT as u64 + 7 {
            account.take(&sync(iteration, 10, 0, None));
        }
        assert_eq!((account.syncs.len(), account.syncs[0].iteration), (SYNCS_KEPT, 8));
        assert_eq!(account.totals.syncs_seen, SYNCS_KEPT as u64 + 7);
    }
}
