//! A migration as its events tell it: where it stands, who owns the guest, how the copy goes.
//!
//! The same fold serves a migration that runs, one that was driven before a restart, and one that ended long ago. It
//! must never conclude anything that the events do not say.

use serde::Serialize;
use whimbrel_core::convergence::{Statistics, Sync};
use whimbrel_core::{
    CancelAnswer, CopyState, Event, Finding, Outcome, PhaseName, Reaction, ReactionResult, Recovery, Side,
};

/// Syncs that are kept for drawing; older ones are in the events.
const SYNCS_KEPT: usize = 2_048;

/// Who owns the guest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Owner {
    /// The source.
    #[default]
    Source,
    /// It is being handed over.
    HandingOver,
    /// The destination.
    Destination,
    /// It is being found out.
    BeingFoundOut,
    /// It could not be found out, or the guest is lost: see the outcome.
    SeeOutcome,
}

/// What came of a reaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Reacted {
    pub(super) reaction: Reaction,
    pub(super) result: ReactionResult,
}

/// A migration's account.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Account {
    pub(super) phase: Option<PhaseName>,
    pub(super) owner: Owner,
    pub(super) statistics: Option<Statistics>,
    pub(super) low_water_bytes: Option<u64>,
    pub(super) high_water_bytes: Option<u64>,
    /// Syncs at which the remaining memory rose.
    pub(super) regressions: u64,
    /// Syncs at which more remained than at the sync before.
    pub(super) gains: u64,
    pub(super) syncs: Vec<Sync>,
    pub(super) findings: Vec<Finding>,
    pub(super) cancel_answer: Option<CancelAnswer>,
    pub(super) reactions: Vec<Reacted>,
    pub(super) recovered: Vec<Recovery>,
    pub(super) seen_on_source: Option<CopyState>,
    pub(super) seen_on_destination: Option<CopyState>,
    pub(super) outcome: Option<Outcome>,
}

impl Account {
    /// Takes the next event.
    pub(super) fn take(&mut self, event: &Event) {
        match event {
            Event::Phase(phase) => {
                self.phase = Some(*phase);
                self.owner = owner(*phase).unwrap_or(self.owner);
            }
            Event::Judged(verdict) => self.findings.clone_from(&verdict.findings),
            Event::Progress(statistics) => self.statistics = Some(*statistics),
            Event::Sync(sync) => self.sync(*sync),
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

    fn sync(&mut self, sync: Sync) {
        self.regressions += u64::from(sync.rise_bytes > 0);
        self.gains += u64::from(sync.above_previous);
        // The first sync marks the whole memory: it says nothing about the guest.
        if !self.syncs.is_empty() {
            let remaining = sync.memory_remaining_bytes;
            self.low_water_bytes = Some(self.low_water_bytes.map_or(remaining, |low| low.min(remaining)));
            self.high_water_bytes = Some(self.high_water_bytes.map_or(remaining, |high| high.max(remaining)));
        }
        if self.syncs.len() == SYNCS_KEPT {
            self.syncs.remove(1);
        }
        self.syncs.push(sync);
    }
}

/// Who owns the guest in a phase; none where that depends on how the phase was come to.
fn owner(phase: PhaseName) -> Option<Owner> {
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
