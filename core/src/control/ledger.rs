//! What outlives a phase: what was asked, what was changed, what was seen, why the migration is being left.

use super::signal::{Change, Changes, Found};
use crate::facts::GuestRun;
use crate::outcome::Cause;
use crate::port::{CopyState, Side};
use crate::spec::AtTimeout;

/// What outlives a phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ledger {
    /// The settings that are to be changed before the copy begins.
    pub plan: Changes,
    /// What may have been changed and is to be put back.
    pub undo: Changes,
    /// What could not be put back.
    pub not_undone: Changes,
    /// How the guest stood before the migration.
    pub guest_was: GuestRun,
    /// Why the migration is being left: the first cause stays.
    pub cause: Option<Cause>,
    marks: Marks,
}

/// Something that is true of a migration from some moment on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mark {
    /// An operator asked for the end.
    CancelAsked,
    /// The source's copy was seen stopped for the hand-over: the destination may have run since.
    SwitchoverBegan,
    /// The destination was seen with the guest during this migration. Only then does its absence there mean anything: a
    /// name that leads us to another host than the source's daemon would show it absent too.
    DestinationReceives,
    /// The settings are known, so that what is changed can be put back.
    OriginalsKnown,
    /// The switch to post-copy may be asked for.
    PostcopyAllowed,
    /// It was asked for, and not refused: the source's copy must never run again unless it was seen running.
    PostcopyAsked,
    /// One half of a guest in post-copy was seen: the source's copy must never run again.
    PostcopySeen,
    /// Our own wish keeps the guest's CPUs still.
    PausedByUs,
    /// The migration makes disks on the destination.
    MakesDisks,
    /// The guest's definition goes with it.
    TakesDefinition,
    /// The destination had a definition of the guest before.
    DefinedThere,
    /// Only the definition of a guest that is off is moved.
    Offline,
    /// At the timeout the guest is stopped.
    PauseAtTimeout,
    /// At the timeout the guest is moved first.
    PostcopyAtTimeout,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Marks(u16);

impl Ledger {
    pub(super) fn new(plan: Changes, asked: super::Asked) -> Self {
        let mut ledger = Self {
            plan,
            undo: Changes::EMPTY,
            not_undone: Changes::EMPTY,
            guest_was: GuestRun::Running,
            cause: None,
            marks: Marks::default(),
        };
        ledger.set(Mark::PostcopyAllowed, asked.postcopy);
        ledger.set(Mark::Offline, asked.offline);
        ledger.set(Mark::PauseAtTimeout, asked.at_timeout == AtTimeout::Pause);
        ledger.set(Mark::PostcopyAtTimeout, asked.at_timeout == AtTimeout::Postcopy);
        ledger
    }

    /// Whether this is true of the migration.
    #[must_use]
    pub const fn has(&self, mark: Mark) -> bool {
        self.marks.0 & mark.bit() != 0
    }

    pub(super) fn mark(&mut self, mark: Mark) {
        self.set(mark, true);
    }

    pub(super) fn unmark(&mut self, mark: Mark) {
        self.set(mark, false);
    }

    /// Notes what the facts say.
    pub(super) fn note_found(&mut self, found: Found) {
        self.guest_was = found.run;
        self.set(Mark::MakesDisks, found.makes_disks);
        self.set(Mark::TakesDefinition, found.is_persistent);
        self.set(Mark::DefinedThere, found.is_defined_there);
    }

    /// Notes what was seen of the guest.
    pub(super) fn note_seen(&mut self, side: Side, state: CopyState) {
        if state.is_half() {
            self.mark(Mark::PostcopySeen);
        }
        let is_there = !state.is_gone() && state != CopyState::Unknown;
        if side == Side::Destination && is_there {
            self.mark(Mark::DestinationReceives);
        }
    }

    /// Notes why the migration is being left; a cause that stands already stays.
    pub(super) fn blame(&mut self, cause: Cause) {
        self.cause = self.cause.or(Some(cause));
    }

    /// Whether the source's copy may be let run, if everything else speaks for it: never after post-copy, nor when it
    /// may have begun unseen.
    #[must_use]
    pub const fn may_resume_source(&self) -> bool {
        !self.has(Mark::PostcopyAsked) && !self.has(Mark::PostcopySeen)
    }

    /// Whether this migration left a definition on the destination: where the guest was defined before, it stays.
    pub(super) fn has_left_definition(&self, there: CopyState) -> bool {
        there == CopyState::Defined && !self.has(Mark::DefinedThere)
    }

    /// A change was put back, or needs no putting back any more.
    pub(super) fn undone(&mut self, change: Change) {
        self.undo = self.undo.without(change);
        if change == Change::Pause {
            self.unmark(Mark::PausedByUs);
        }
    }

    /// A change could not be put back.
    pub(super) fn could_not_undo(&mut self, change: Change) {
        self.undo = self.undo.without(change);
        self.not_undone = self.not_undone.with(change);
    }

    /// Whatever is still on record for undoing could not be put back.
    pub(super) fn give_up_undoing(&mut self) {
        for change in self.undo.iter() {
            self.could_not_undo(change);
        }
    }

    fn set(&mut self, mark: Mark, holds: bool) {
        if holds {
            self.marks.0 |= mark.bit();
        } else {
            self.marks.0 &= !mark.bit();
        }
    }
}

impl Mark {
    const fn bit(self) -> u16 {
        1 << self as u16
    }
}
