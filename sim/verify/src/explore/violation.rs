//! What must never happen, and how the end of a migration is held against what really is.

use std::fmt;

use whimbrel_core::control::{Change, Done, UnexpectedSignal};
use whimbrel_core::{Ending, GuestLocation, Side};

use super::model::{Here, Stage, There};
use super::state::State;

/// An invariant that was broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violation {
    /// 1: a command of ours let a second copy run.
    TwoRun,
    /// 2: a command of ours ended the last copy.
    LastCopyDestroyed,
    /// 2: disks were removed from under a copy.
    DisksRemovedInUse,
    /// 3: a command of ours let the copy run that a post-copy had left behind.
    LeftBehindResumed,
    /// 4: a command of ours resumed a copy after the guest had run on the other host: its memory is older than the disks.
    StaleResumed,
    /// A rule stood against it, and it went on.
    WentOnRefused,
    /// The migrate call was made a second time for the same migration.
    StartedTwice,
    /// 4: where the guest is said to be is not where it is.
    WrongPlace {
        /// What is said.
        said: GuestLocation,
    },
    /// 4: it is said to be lost, and is whole somewhere.
    NotLost,
    /// 5: something is left, and not named.
    LeftOver(Leftover),
    /// 6: a way on never ends.
    NeverEnds,
    /// Control was given something that it did not ask for, by hypervisors that keep the protocol.
    UnexpectedSignal(UnexpectedSignal),
}

/// Something that is left and should have been named.
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
    /// The guest was stopped by us and stands still.
    Paused,
}

impl Violation {
    /// Holds the end against how things are. What has changed since the last look is nobody's fault: only what could not
    /// have been so at any time since is a violation.
    pub(super) fn of_the_end(state: &State, done: Done) -> Option<Self> {
        let model = &state.model;
        if done.ending == Ending::InDoubt {
            return None;
        }
        // It may be anywhere since the last look, and copies that are not ours come and go: what is said then is compared with
        // what was observed, by the oracle in the fuzzer.
        if model.is_moved_by_others {
            return None;
        }
        let said = done.guest;
        match said.side() {
            // The one that was seen may have died or stopped since, and the other have come to run, by libvirt's doing.
            Some(Side::Source) if (model.died_here || model.halted_here) && done.unsettled.is_some() => {}
            Some(Side::Destination) if model.died_there && done.unsettled.is_some() => {}
            Some(Side::Source) if !model.guest_is_here() && model.guest_is_there() => {
                return Some(Self::WrongPlace { said });
            }
            Some(Side::Destination) if model.guest_is_here() && !model.guest_is_there() => {
                return Some(Self::WrongPlace { said });
            }
            // Somebody else started it from its disks since.
            None if said.is_lost() && (model.restarted_here || model.restarted_there) => {}
            None if said.is_lost() && (model.guest_is_here() || model.guest_is_there()) => {
                return Some(Self::NotLost);
            }
            _ => {}
        }
        if said == GuestLocation::Untouched && (model.stage != Stage::None || model.there != There::Nothing) {
            return Some(Self::WrongPlace { said });
        }
        let stays = said.side() == Some(Side::Source) && model.guest_is_here();
        if stays { Self::left_over(state, done).map(Self::LeftOver) } else { None }
    }

    /// What is left although the guest stays and nothing of it is named.
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
            Self::TwoRun => f.write_str("invariant 1: a command of ours let a second copy run"),
            Self::LastCopyDestroyed => f.write_str("invariant 2: a command of ours ended the last copy"),
            Self::DisksRemovedInUse => f.write_str("invariant 2: disks were removed from under a copy"),
            Self::LeftBehindResumed => {
                f.write_str("invariant 3: the copy that a post-copy had left behind was let run")
            }
            Self::StaleResumed => {
                f.write_str("invariant 4: a copy was resumed although its memory is older than the disks")
            }
            Self::WentOnRefused => f.write_str("a rule stood against it, and it went on"),
            Self::StartedTwice => f.write_str("the migrate call was made twice"),
            Self::WrongPlace { said } => write!(f, "invariant 4: the guest is said to be {said}, and is not"),
            Self::NotLost => f.write_str("invariant 4: the guest is said to be lost, and is whole"),
            Self::LeftOver(what) => write!(f, "invariant 5: left and not named: {what:?}"),
            Self::NeverEnds => f.write_str("invariant 6: nothing goes wrong any more, and it does not end"),
            Self::UnexpectedSignal(unexpected) => {
                write!(f, "{:?} is not expected while {}", unexpected.signal, unexpected.phase)
            }
        }
    }
}
