//! The state that outlives a phase: the request, the changes, the observations, the cause of an end.

use super::signal::Found;
use crate::facts::GuestRun;
use crate::listed::listed;
use crate::outcome::Cause;
use crate::port::{CopyState, Side};
use crate::vocabulary::{AtTimeout, Change, Changes, ControlOptions};

/// The state that outlives a phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ledger {
    /// The settings that are to be changed before the copy begins.
    pub plan: Changes,
    /// What may have been changed and is to be put back.
    pub undo: Changes,
    /// What could not be put back.
    pub not_undone: Changes,
    /// Whether the guest ran before the migration.
    pub guest_was: GuestRun,
    /// Why the migration is being ended: the first cause is kept.
    pub cause: Option<Cause>,
    marks: Marks,
}

/// Something that is true of a migration from some moment on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mark {
    /// An operator requested a cancel.
    CancelAsked,
    /// The source's copy was seen stopped for the switchover: the destination may have run since.
    SwitchoverBegan,
    /// The destination was seen with the guest during this migration. Only then does its absence there mean anything: a
    /// name that leads us to another host than the source's daemon would show it absent too.
    DestinationReceives,
    /// The original settings are known, so a change can be put back.
    OriginalsKnown,
    /// The switch to post-copy is allowed.
    PostcopyAllowed,
    /// It was requested, and not refused: the source's copy must never run again unless it was seen running.
    PostcopyAsked,
    /// One half of a guest in post-copy was seen: the source's copy must never run again.
    PostcopySeen,
    /// The guest's CPUs are stopped by this migration's own pause.
    PausedByUs,
    /// The migration creates disks on the destination.
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
    /// The destination was seen with the guest running, or stopped after it had run: the disks may be newer than the
    /// memory of a stopped source, which must never run again.
    DestinationRan,
    /// What is known of the migration was inferred from a journal that could not be replayed: nothing is destroyed or
    /// undefined on such knowledge.
    Inferred,
    /// The destination was seen without the guest after it had been seen with it: a copy that is there later is another
    /// client's, and may have been made from a source that was older than the disks.
    DestinationEmptied,
}

/// One bit for each mark. Three bytes, because the ledger must stay at eight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Marks([u8; 3]);

impl Marks {
    const fn bits(self) -> u32 {
        let [low, middle, high] = self.0;
        u32::from_le_bytes([low, middle, high, 0])
    }

    const fn of(bits: u32) -> Self {
        let [low, middle, high, _] = bits.to_le_bytes();
        Self([low, middle, high])
    }
}

const _: () = assert!(Mark::ALL.len() <= 24, "every mark has a bit");

impl Ledger {
    pub(super) fn new(plan: Changes, options: ControlOptions) -> Self {
        let mut ledger = Self {
            plan,
            undo: Changes::EMPTY,
            not_undone: Changes::EMPTY,
            guest_was: GuestRun::Running,
            cause: None,
            marks: Marks::default(),
        };
        ledger.set(Mark::PostcopyAllowed, options.postcopy);
        ledger.set(Mark::Offline, options.offline);
        ledger.set(Mark::PauseAtTimeout, options.at_timeout == AtTimeout::Pause);
        ledger.set(Mark::PostcopyAtTimeout, options.at_timeout == AtTimeout::Postcopy);
        ledger
    }

    /// Whether this is true of the migration.
    #[must_use]
    pub const fn has(&self, mark: Mark) -> bool {
        self.marks.bits() & mark.bit() != 0
    }

    pub(crate) fn mark(&mut self, mark: Mark) {
        self.set(mark, true);
    }

    pub(super) fn unmark(&mut self, mark: Mark) {
        self.set(mark, false);
    }

    /// Takes the facts.
    pub(crate) fn note_found(&mut self, found: Found) {
        self.guest_was = found.run;
        self.set(Mark::MakesDisks, found.makes_disks);
        self.set(Mark::TakesDefinition, found.is_persistent);
        self.set(Mark::DefinedThere, found.is_defined_there);
    }

    /// Takes an observation of the guest.
    pub(crate) fn note_seen(&mut self, side: Side, state: CopyState) {
        if state.is_half() {
            self.mark(Mark::PostcopySeen);
        }
        let is_there = !state.is_gone() && state != CopyState::Unknown;
        if side == Side::Destination && is_there {
            self.mark(Mark::DestinationReceives);
        }
        if side == Side::Destination && state.is_gone() && self.has(Mark::DestinationReceives) {
            self.mark(Mark::DestinationEmptied);
        }
        if side == Side::Destination && is_there && state != CopyState::Incoming
            || self.has_stored_definition(side, state)
        {
            self.mark(Mark::DestinationRan);
        }
    }

    /// Whether this observation shows a definition that the migration stored. libvirt stores it immediately before it
    /// starts the guest (`qemuMigrationDstFinishFresh`: persist, then start the CPUs).
    fn has_stored_definition(&self, side: Side, state: CopyState) -> bool {
        side == Side::Destination
            && self.has(Mark::TakesDefinition)
            && !self.has(Mark::Offline)
            && self.has_left_definition(state)
    }

    /// Sets why the migration is being ended; an earlier cause is kept.
    pub(crate) fn set_cause(&mut self, cause: Cause) {
        self.cause = self.cause.or(Some(cause));
    }

    /// Whether the source's copy may be resumed while the destination is in state `there`: never after post-copy, nor
    /// when post-copy may have begun unobserved, and only when the destination cannot have run the guest. Its
    /// definition would be there if it had. Where there is none to go by (a transient guest, or a destination that had
    /// a definition before), no observation excludes that the guest ran and ended there.
    #[must_use]
    pub const fn may_resume_source(&self, there: CopyState) -> bool {
        let would_show = self.has(Mark::TakesDefinition) && !self.has(Mark::DefinedThere);
        !self.has(Mark::PostcopyAsked)
            && !self.has(Mark::PostcopySeen)
            && !self.has(Mark::DestinationRan)
            && would_show
            && matches!(there, CopyState::Absent)
    }

    /// Whether a stopped source's copy, whatever stopped it, may be older than the disks. A guest that was paused
    /// before the migration arrives paused, and has run on the destination only if it was seen to.
    pub(super) const fn may_be_stale(&self, there: CopyState) -> bool {
        self.has(Mark::DestinationRan)
            || matches!(self.guest_was, GuestRun::Running) && !self.may_resume_source(there)
    }

    /// The side on which a definition is left that the guest should have taken along, when the source is in state
    /// `here` and the guest is on the destination.
    pub(super) fn definition_left_here(&self, here: CopyState) -> Option<Side> {
        (here == CopyState::Defined && self.has(Mark::TakesDefinition)).then_some(Side::Source)
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

    /// Every change that is still on record could not be put back.
    pub(super) fn give_up_undoing(&mut self) {
        for change in self.undo.iter() {
            self.could_not_undo(change);
        }
    }

    pub(super) fn set(&mut self, mark: Mark, holds: bool) {
        let bits = self.marks.bits();
        self.marks = Marks::of(if holds { bits | mark.bit() } else { bits & !mark.bit() });
    }
}

listed! {
    /// Every mark.
    pub(super) const ALL: Mark = [
        CancelAsked, SwitchoverBegan, DestinationReceives, OriginalsKnown, PostcopyAllowed, PostcopyAsked,
        PostcopySeen, PausedByUs, MakesDisks, TakesDefinition, DefinedThere, Offline, PauseAtTimeout,
        PostcopyAtTimeout, DestinationRan, Inferred, DestinationEmptied,
    ];
}

impl Mark {
    const fn bit(self) -> u32 {
        1 << self as u32
    }
}
