//! What a migration tells people: the stream that a terminal, a log or a web page shows.

use alloc::boxed::Box;
use core::fmt;

use serde::{Deserialize, Serialize};

use crate::control::{Reaction, ReactionResult};
use crate::convergence::{Statistics, Sync};
use crate::facts::Verdict;
use crate::outcome::{Outcome, Recovery};
use crate::port::{CopyState, Side};

/// Something worth telling. Events never need an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// A phase was entered.
    Phase(PhaseName),
    /// The rules spoke.
    Judged(Verdict),
    /// A look at the job's numbers.
    Progress(Statistics),
    /// A dirty-bitmap sync was seen, with its regression.
    Sync(Sync),
    /// What came of a cancel. [`CancelAnswer::InDoubt`] and [`CancelAnswer::Refused`] are followed by a final answer
    /// when the migration has ended.
    CancelAnswered(CancelAnswer),
    /// What came of a reaction.
    Reacted(Reaction, ReactionResult),
    /// A copy was seen in another state than before.
    Seen(Side, CopyState),
    /// Something was done to put things right.
    Recovered(Recovery),
    /// It is over.
    Ended(Box<Outcome>),
}

/// The phases by name, in the order in which a migration that works goes through them; then the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PhaseName {
    /// Facts are collected and judged. Nothing is changed.
    Validating,
    /// Settings are changed, each with its undo on record.
    Preparing,
    /// Memory is copied while the guest runs on the source.
    Precopy,
    /// The guest runs on the destination, and its memory follows.
    Postcopy,
    /// The guest stands still while the rest is copied and the destination takes over.
    SwitchingOver,
    /// The call says that the guest is on the destination; both ends are looked at.
    Completing,
    /// The guest stays on the source; what was changed is put back.
    RollingBack,
    /// The result is not known: both ends are looked at before anything is resumed or destroyed.
    Resolving,
    /// A post-copy lost its connection: it is made to go on.
    Recovering,
    /// It is over.
    Done,
}

impl PhaseName {
    /// Every phase.
    pub const ALL: [Self; 10] = [
        Self::Validating,
        Self::Preparing,
        Self::Precopy,
        Self::Postcopy,
        Self::SwitchingOver,
        Self::Completing,
        Self::RollingBack,
        Self::Resolving,
        Self::Recovering,
        Self::Done,
    ];
}

/// The truth about a cancel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CancelAnswer {
    /// The migration ended because of the cancel, or failed first; the guest is on the source.
    Cancelled,
    /// The guest was already on the destination.
    TooLate,
    /// The guest runs on the destination, and its memory follows: there is no way back, and the migration goes on.
    Refused,
    /// It is not known yet; both ends are being looked at.
    InDoubt,
    /// It could not be found out where the guest is, or it is lost: see the outcome.
    Unresolved,
}

impl fmt::Display for PhaseName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Validating => "validating",
            Self::Preparing => "preparing",
            Self::Precopy => "pre-copy",
            Self::Postcopy => "post-copy",
            Self::SwitchingOver => "switching over",
            Self::Completing => "completing",
            Self::RollingBack => "rolling back",
            Self::Resolving => "resolving",
            Self::Recovering => "recovering",
            Self::Done => "done",
        })
    }
}

impl fmt::Display for CancelAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cancelled => "cancelled: the guest is on the source",
            Self::TooLate => "too late: the migration had completed",
            Self::Refused => "refused: the guest runs on the destination already, and there is no way back",
            Self::InDoubt => "in doubt: the hand-over is under way and is being resolved",
            Self::Unresolved => "unresolved: where the guest runs could not be made sure",
        })
    }
}

impl fmt::Display for Reaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::DowntimeLimit => "another downtime limit",
            Self::BandwidthLimit => "another bandwidth limit",
            Self::Pause => "stopping the guest until it has arrived",
            Self::Postcopy => "post-copy",
        })
    }
}

impl fmt::Display for ReactionResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Done => "done",
            Self::Refused => "the hypervisor refused it",
            Self::NotKnown => "the hypervisor did not answer: it may or may not be done",
            Self::NotAllowed => "the migration was not begun with it allowed",
            Self::OutOfBounds => "the value is out of its bounds",
            Self::Busy => "another reaction is being carried out, or the migration is being left",
            Self::TooEarly => "the copy has not begun",
            Self::TooLate => "too late",
        })
    }
}
