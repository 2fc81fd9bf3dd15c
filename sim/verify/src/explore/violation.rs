//! The invariants, and the comparison of a migration's end with the actual state.

use std::fmt;

use whimbrel_core::control::{Change, Done, UnexpectedSignal};
use whimbrel_core::{Ending, GuestLocation, Side};

use super::model::{Here, Stage, There};
use super::state::State;

/// An invariant that was broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violation {
    /// 1: a command of the migration started a second copy.
    TwoRun,
    /// 2: a command of the migration destroyed the last copy.
    LastCopyDestroyed,
    /// 2: disks were removed from under a copy.
    DisksRemovedInUse,
    /// 3: a command of ours let the copy run that a post-copy had left behind.
    LeftBehindResumed,
    /// 4: a command of ours resumed a copy after the guest had run on the other host: its memory is older than the
    /// disks.
    StaleResumed,
    /// A rule failed, and the migration continued.
    WentOnRefused,
    /// The migrate call was made a second time for the same migration.
    StartedTwice,
    /// 4: the guest is not where it was reported.
    WrongPlace {
        /// The reported location.
        reported: GuestLocation,
    },
    /// 4: it is reported lost, and is whole somewhere.
    NotLost,
    /// 5: something is left, and not named.
    LeftOver(Leftover),
    /// 6: a fair schedule does not terminate.
    NeverEnds,
    /// Control received an unexpected signal from hypervisors that keep the protocol.
    UnexpectedSignal(UnexpectedSignal),
}

/// A leftover that should have been reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leftover {
    /// A limit is not what it was.
    Limit,
    /// A copy is left on the destination.
    Copy,
    /// A definition is left on the destination.
    Definition,
    /// Disks are left on the destination.
    Disks,
    /// The guest was stopped by this migration and is still stopped.
    Paused,
}

impl Violation {
    /// Compares the end with the actual state. A change since the last query is not an error: only a report that cannot
    /// have been true at any time since is a violation.
    pub(super) fn of_the_end(state: &State, done: Done) -> Option<Self> {
        let model = &state.model;
        if done.ending == Ending::InDoubt {
            return None;
        }
        // It may be anywhere since the last query, and copies of other clients come and go: then the report is compared
        // with the observations, by the oracle in the fuzzer.
        if model.is_moved_by_others {
            return None;
        }
        let reported = done.guest;
        match reported.side() {
            // The observed copy may have died or stopped since, and libvirt may have started the other one.
            Some(Side::Source) if (model.died_here || model.halted_here) && done.unsettled.is_some() => {}
            Some(Side::Destination) if model.died_there && done.unsettled.is_some() => {}
            Some(Side::Source) if !model.guest_is_here() && model.guest_is_there() => {
                return Some(Self::WrongPlace { reported });
            }
            Some(Side::Destination) if model.guest_is_here() && !model.guest_is_there() => {
                return Some(Self::WrongPlace { reported });
            }
            // Another client has started it from its disks since.
            None if reported.is_lost() && (model.restarted_here || model.restarted_there) => {}
            None if reported.is_lost() && (model.guest_is_here() || model.guest_is_there()) => {
                return Some(Self::NotLost);
            }
            _ => {}
        }
        if reported == GuestLocation::Untouched
            && (model.stage != Stage::None || model.there != There::Nothing)
        {
            return Some(Self::WrongPlace { reported });
        }
        let stays = reported.side() == Some(Side::Source) && model.guest_is_here();
        if stays { Self::left_over(state, done).map(Self::LeftOver) } else { None }
    }

    /// A leftover that is not reported although the guest stays.
    fn left_over(state: &State, done: Done) -> Option<Leftover> {
        let model = &state.model;
        let named = state.control.ledger().not_undone;
        let limits = [
            (model.changed_downtime, Change::DowntimeLimit),
            (model.changed_bandwidth, Change::BandwidthLimit),
        ];
        if limits.into_iter().any(|(changed, change)| changed && !named.has(change)) {
            return Some(Leftover::Limit);
        }
        if model.here == Here::Paused
            && !model.halted_here
            && done.guest != GuestLocation::SourcePaused
            && done.guest != GuestLocation::Untouched
        {
            return Some(Leftover::Paused);
        }
        if done.unsettled.is_some() {
            return None;
        }
        if model.there == There::Incoming {
            return Some(Leftover::Copy);
        }
        if model.defined_there && done.definition_left.is_none() {
            return Some(Leftover::Definition);
        }
        if model.made_disks && !named.has(Change::Disks) {
            return Some(Leftover::Disks);
        }
        None
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TwoRun => f.write_str("invariant 1: a command of the migration started a second copy"),
            Self::LastCopyDestroyed => {
                f.write_str("invariant 2: a command of the migration destroyed the last copy")
            }
            Self::DisksRemovedInUse => f.write_str("invariant 2: disks were removed from under a copy"),
            Self::LeftBehindResumed => {
                f.write_str("invariant 3: the copy that a post-copy had left behind was resumed")
            }
            Self::StaleResumed => {
                f.write_str("invariant 4: a copy was resumed although its memory is older than the disks")
            }
            Self::WentOnRefused => f.write_str("a rule failed, and the migration continued"),
            Self::StartedTwice => f.write_str("the migrate call was made twice"),
            Self::WrongPlace { reported } => {
                write!(f, "invariant 4: the guest is reported {reported}, and is not")
            }
            Self::NotLost => f.write_str("invariant 4: the guest is reported lost, and is whole"),
            Self::LeftOver(what) => write!(f, "invariant 5: left and not named: {what:?}"),
            Self::NeverEnds => f.write_str("invariant 6: no more disruptions, and it does not end"),
            Self::UnexpectedSignal(unexpected) => {
                write!(f, "{:?} is not expected while {}", unexpected.signal, unexpected.phase)
            }
        }
    }
}
