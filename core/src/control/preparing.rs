//! Preparing: settings of the guest are changed. **The source owns the guest; no copy exists elsewhere.**
//!
//! The original values are read first, and the undo of each change is on record before the change is asked for: a
//! reply that never comes is treated as a change that was made. A failure or a cancel leads to [`RollingBack`], which
//! puts back what is on record.

use super::signal::{Order, Orders, Signal, Timer};
use super::{Done, Ledger, Next, Phase, Precopy, RollingBack, SettingSet, Unasked};
use crate::event::PhaseName;
use crate::outcome::Cause;

/// Settings are changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Preparing {
    step: Step,
    to_apply: SettingSet,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Step {
    Reading,
    Applying,
}

impl Preparing {
    /// Begins with the first change, or with the copy when nothing is to be changed.
    pub(super) fn enter(ledger: &Ledger, orders: &mut Orders) -> Phase {
        if ledger.plan == SettingSet::EMPTY {
            return Precopy::enter(orders);
        }
        orders.give(Order::ReadSettings);
        orders.give(Order::Arm(Timer::Reply));
        Phase::Preparing(Self { step: Step::Reading, to_apply: ledger.plan })
    }

    pub(super) fn on(self, signal: Signal, ledger: &mut Ledger, orders: &mut Orders) -> Next {
        match (self.step, signal) {
            (Step::Reading, Signal::SettingsRead) | (Step::Applying, Signal::Applied) => {
                Ok(self.next(ledger, orders))
            }
            (Step::Reading, Signal::SettingsUnreadable | Signal::Elapsed(Timer::Reply)) => {
                ledger.blame(Cause::SettingsUnreadable);
                Ok(Done::untouched(ledger))
            }
            (Step::Applying, Signal::NotApplied | Signal::Elapsed(Timer::Reply)) => {
                ledger.blame(Cause::SettingRefused);
                Ok(RollingBack::restore(ledger, orders))
            }
            (Step::Reading, Signal::Cancel) => {
                ledger.cancel_asked = true;
                ledger.blame(Cause::OperatorCancelled);
                Ok(Done::untouched(ledger))
            }
            // The change that is under way must be known before it is undone, or the two could overtake each other.
            (Step::Applying, Signal::Cancel) => {
                ledger.cancel_asked = true;
                ledger.blame(Cause::OperatorCancelled);
                Ok(Phase::Preparing(self))
            }
            (
                _,
                Signal::IterationBegan
                | Signal::SourceSuspended
                | Signal::SourceResumed
                | Signal::JobEnded
                | Signal::Elapsed(Timer::Poll | Timer::GiveUp | Timer::LookAgain),
            ) => Ok(Phase::Preparing(self)),
            (Step::Reading, Signal::Applied | Signal::NotApplied)
            | (Step::Applying, Signal::SettingsRead | Signal::SettingsUnreadable)
            | (
                _,
                Signal::Begin
                | Signal::FactsArrived(_)
                | Signal::FactsMissing
                | Signal::Allowed
                | Signal::Refused
                | Signal::CallSucceeded
                | Signal::CallFailed
                | Signal::CallLost
                | Signal::JobActive
                | Signal::JobGone
                | Signal::JobUnknown
                | Signal::AbortAccepted
                | Signal::AbortRefused
                | Signal::Seen(..)
                | Signal::Acted
                | Signal::NotActed,
            ) => Err(Unasked { phase: PhaseName::Preparing, signal }),
        }
    }

    fn next(self, ledger: &mut Ledger, orders: &mut Orders) -> Phase {
        if ledger.cancel_asked {
            return RollingBack::restore(ledger, orders);
        }
        let Some(kind) = self.to_apply.first() else {
            return Precopy::enter(orders);
        };
        ledger.undo = ledger.undo.with(kind);
        orders.give(Order::Apply(kind));
        orders.give(Order::Arm(Timer::Reply));
        Phase::Preparing(Self { step: Step::Applying, to_apply: self.to_apply.without(kind) })
    }
}
