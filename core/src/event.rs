//! The events of a migration, as a terminal, a log or a web page shows them.

use alloc::boxed::Box;
use core::fmt;

use serde::{Deserialize, Serialize};

use crate::convergence::{Statistics, SyncReport};
use crate::facts::Verdict;
use crate::outcome::{Outcome, Recovery};
use crate::port::{CopyState, Side};
use crate::vocabulary::{AdjustmentKind, AdjustmentResult};

pub use crate::vocabulary::PhaseName;

/// An event. It never needs an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// A phase was entered.
    Phase(PhaseName),
    /// The rules were evaluated.
    Judged(Verdict),
    /// The job's numbers were queried.
    Progress(Statistics),
    /// A dirty-bitmap sync was seen, with its regression and the totals of all syncs up to it.
    Sync(SyncReport),
    /// The answer to a cancel. [`CancelAnswer::InDoubt`] and [`CancelAnswer::Refused`] are followed by a final answer
    /// when the migration has ended.
    CancelAnswered(CancelAnswer),
    /// The result of an adjustment.
    Reacted(AdjustmentKind, AdjustmentResult),
    /// A copy was seen in another state than before.
    Seen(Side, CopyState),
    /// A recovery step was done.
    Recovered(Recovery),
    /// It is over.
    Ended(Box<Outcome>),
}

/// The verified answer to a cancel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CancelAnswer {
    /// The migration ended because of the cancel, or failed first; the guest is on the source.
    Cancelled,
    /// The guest was already on the destination.
    TooLate,
    /// The guest runs on the destination, and its memory follows: there is no way back, and the migration continues.
    Refused,
    /// It is not known yet; both hosts are being queried.
    InDoubt,
    /// The guest's location could not be determined, or the guest is lost: see the outcome.
    Unresolved,
}

impl fmt::Display for CancelAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cancelled => "cancelled: the guest is on the source",
            Self::TooLate => "too late: the migration had completed",
            Self::Refused => "refused: the guest runs on the destination already, and there is no way back",
            Self::InDoubt => "in doubt: the switchover is under way and is being resolved",
            Self::Unresolved => "unresolved: the location of the guest could not be determined",
        })
    }
}
