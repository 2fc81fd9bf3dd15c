//! What a migration tells people: the stream that a terminal, a log or a web page shows.

use alloc::boxed::Box;
use core::fmt;

use serde::{Deserialize, Serialize};

use crate::convergence::{Statistics, SyncReport};
use crate::facts::Verdict;
use crate::outcome::{Outcome, Recovery};
use crate::port::{CopyState, Side};
use crate::vocabulary::{AdjustmentKind, AdjustmentResult};

pub use crate::vocabulary::PhaseName;

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
    /// A dirty-bitmap sync was seen, with its regression and what all syncs up to it come to.
    Sync(SyncReport),
    /// What came of a cancel. [`CancelAnswer::InDoubt`] and [`CancelAnswer::Refused`] are followed by a final answer
    /// when the migration has ended.
    CancelAnswered(CancelAnswer),
    /// What came of a reaction.
    Reacted(AdjustmentKind, AdjustmentResult),
    /// A copy was seen in another state than before.
    Seen(Side, CopyState),
    /// Something was done to put things right.
    Recovered(Recovery),
    /// It is over.
    Ended(Box<Outcome>),
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
