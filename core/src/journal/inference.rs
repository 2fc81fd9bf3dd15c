//! The state of a migration as the inputs of a journal without snapshots show it.
//!
//! The states that they led to are another release's. Where the inputs leave open whether something happened, it is
//! taken to have happened if that forbids a step, and not to have happened if it would allow one. Answers do not name
//! the host that they are from, so a copy that was reported running may have been the destination's.

use crate::control::{Control, Found, Ledger, Mark};
use crate::migration::{Adjustment, Snapshot};
use crate::outcome::Cause;
use crate::port::{Answer, CopyState, Hint, Side};
use crate::spec::Spec;
use crate::time::Instant;
use crate::vocabulary::Change;

/// What was inferred so far.
pub(super) struct Inference {
    ledger: Ledger,
    /// Whether the rules allowed the migration.
    is_allowed: bool,
    are_settings_answered: bool,
    /// Settings that were changed.
    applied: usize,
    has_arrived: bool,
}

impl Inference {
    pub(super) fn new(spec: &Spec) -> Self {
        let mut ledger = *Control::new(spec.plan(), spec.control_options()).ledger();
        ledger.mark(Mark::Inferred);
        Self { ledger, is_allowed: false, are_settings_answered: false, applied: 0, has_arrived: false }
    }

    pub(super) fn found(&mut self, found: Found) {
        self.ledger.note_found(found);
    }

    pub(super) fn cancel_requested(&mut self) {
        self.ledger.mark(Mark::CancelAsked);
        self.ledger.set_cause(Cause::OperatorCancelled);
    }

    /// A requested adjustment counts as made, because its answer may be missing.
    pub(super) fn adjustment_requested(&mut self, adjustment: Adjustment) {
        match adjustment {
            Adjustment::DowntimeLimitMs(_) => self.may_have_changed(Change::DowntimeLimit),
            Adjustment::BandwidthLimitBytesPerSecond(_) => self.may_have_changed(Change::BandwidthLimit),
            Adjustment::Pause => {
                self.may_have_changed(Change::Pause);
                self.ledger.mark(Mark::PausedByUs);
            }
            Adjustment::Postcopy => self.ledger.mark(Mark::PostcopyAsked),
        }
    }

    /// A timer came. At the timeout something may have been done about a copy that lasted too long.
    pub(super) fn timer(&mut self, spec: &Spec, at: Instant) {
        if spec.timeout_ms.is_none_or(|timeout_ms| at < Instant::from_ms(timeout_ms)) {
            return;
        }
        if self.ledger.has(Mark::PauseAtTimeout) {
            self.adjustment_requested(Adjustment::Pause);
        } else if self.ledger.has(Mark::PostcopyAtTimeout) {
            self.adjustment_requested(Adjustment::Postcopy);
        }
    }

    pub(super) fn hinted(&mut self, hint: Hint) {
        match hint {
            Hint::SourceSuspended => self.ledger.mark(Mark::SwitchoverBegan),
            // A hint may be wrong: it forbids a resume of the source, and no more is concluded from it.
            Hint::PostcopyBegan | Hint::PostcopyFailed => self.ledger.mark(Mark::PostcopyAsked),
            Hint::IterationBegan | Hint::SourceResumed | Hint::JobEnded => {}
        }
    }

    pub(super) fn answered(&mut self, answer: &Answer) {
        match answer {
            Answer::Verdict(verdict) => self.is_allowed |= verdict.allows(),
            Answer::Settings(Ok(_)) => {
                self.are_settings_answered = true;
                self.ledger.mark(Mark::OriginalsKnown);
            }
            Answer::Settings(Err(_)) => self.are_settings_answered = true,
            Answer::Applied(Ok(())) => self.applied += 1,
            Answer::CallReturned(Ok(())) => {
                self.has_arrived = true;
                self.ledger.mark(Mark::DestinationRan);
            }
            Answer::Copy(state) => self.seen(*state),
            Answer::Facts(_)
            | Answer::Applied(Err(_))
            | Answer::CallReturned(Err(_))
            | Answer::Job(_)
            | Answer::Abort(_)
            | Answer::Acted(_)
            | Answer::Postcopy(_) => {}
        }
    }

    /// The snapshot that results. `all_read` is whether every line could be read.
    pub(super) fn snapshot(mut self, spec: &Spec, all_read: bool) -> Snapshot {
        let has_prepared =
            spec.transfer.offline || self.are_settings_answered && self.applied >= spec.plan().iter().count();
        let call_made = self.is_allowed && has_prepared || !all_read;
        if self.ledger.has(Mark::OriginalsKnown) {
            for change in spec.plan().iter() {
                self.may_have_changed(change);
            }
        }
        if call_made && self.ledger.has(Mark::MakesDisks) {
            self.may_have_changed(Change::Disks);
        }
        Snapshot { call_made, has_arrived: self.has_arrived, ledger: self.ledger.snapshot(), outcome: None }
    }

    fn seen(&mut self, state: CopyState) {
        match state {
            CopyState::Incoming => self.ledger.note_seen(Side::Destination, state),
            CopyState::Postcopy | CopyState::PostcopyFailed => self.ledger.note_seen(Side::Source, state),
            CopyState::Running | CopyState::Migrating | CopyState::Paused | CopyState::Defined => {
                self.ledger.mark(Mark::DestinationRan);
            }
            CopyState::Stopped | CopyState::Absent | CopyState::Unknown => {}
        }
    }

    fn may_have_changed(&mut self, change: Change) {
        self.ledger.undo = self.ledger.undo.with(change);
    }
}
