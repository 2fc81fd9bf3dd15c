//! Preparing: settings of the guest are changed. **The source owns the guest; no copy exists elsewhere.**
//!
//! The original values are read first, and the undo of each change is on record before the change is requested: a reply
//! that never comes is treated as a change that was made. A failure or a cancel leads to [`RollingBack`], which puts
//! back every change on record. So does a restart of the driver: the copy never begins without a request.

use super::ledger::Mark;
use super::signal::{Order, Orders, SettingSignal, SetupSignal, Signal, Timer};
use super::{Done, Ledger, Next, Phase, Precopy, RollingBack, UnexpectedSignal};
use crate::outcome::Cause;
use crate::vocabulary::{AdjustmentResult, Change, Changes, PhaseName};

/// Settings are changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Preparing {
    step: Step,
    to_apply: Changes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Step {
    Reading,
    Applying(Change),
}

impl Preparing {
    /// Reads the settings; a guest that is off has none.
    pub(super) fn enter(ledger: &mut Ledger, orders: &mut Orders) -> Phase {
        if ledger.has(Mark::Offline) {
            return Precopy::enter(ledger, orders);
        }
        Self { step: Step::Reading, to_apply: ledger.plan }.read(orders)
    }

    pub(super) fn on(self, signal: Signal, ledger: &mut Ledger, orders: &mut Orders) -> Next {
        match (self.step, signal) {
            (Step::Reading, Signal::Setup(SetupSignal::SettingsRead)) => {
                ledger.mark(Mark::OriginalsKnown);
                Ok(self.next(ledger, orders))
            }
            (Step::Applying(_), Signal::Setting(SettingSignal::Applied)) => Ok(self.next(ledger, orders)),
            // No setting is to be changed, so the originals are not needed; no adjustment can change one later either.
            (
                Step::Reading,
                Signal::Setup(SetupSignal::SettingsUnreadable) | Signal::Elapsed(Timer::Reply),
            ) if self.to_apply == Changes::EMPTY => Ok(self.next(ledger, orders)),
            (
                Step::Reading,
                Signal::Setup(SetupSignal::SettingsUnreadable) | Signal::Elapsed(Timer::Reply),
            ) => {
                ledger.set_cause(Cause::SettingsUnreadable);
                Ok(Done::untouched(ledger))
            }
            (Step::Applying(_), Signal::Setting(SettingSignal::Unknown) | Signal::Elapsed(Timer::Reply)) => {
                ledger.set_cause(Cause::SettingRefused);
                Ok(RollingBack::restore(ledger, orders))
            }
            (Step::Reading, Signal::Restarted) => {
                ledger.set_cause(Cause::DriverRestarted);
                Ok(Done::untouched(ledger))
            }
            (Step::Applying(_), Signal::Restarted) => {
                ledger.set_cause(Cause::DriverRestarted);
                Ok(RollingBack::restore(ledger, orders))
            }
            (Step::Reading, Signal::Cancel) => {
                ledger.mark(Mark::CancelAsked);
                ledger.set_cause(Cause::OperatorCancelled);
                Ok(Done::untouched(ledger))
            }
            // The answer to the change in flight is awaited before it is undone, or the two could overtake each other.
            (Step::Applying(_), Signal::Cancel) => {
                ledger.mark(Mark::CancelAsked);
                ledger.set_cause(Cause::OperatorCancelled);
                Ok(Phase::Preparing(self))
            }
            (_, Signal::React(kind)) => {
                orders.give(Order::ReportAdjustment(kind, AdjustmentResult::TooEarly));
                Ok(Phase::Preparing(self))
            }
            (_, Signal::Hint(_) | Signal::Elapsed(_)) => Ok(Phase::Preparing(self)),
            (Step::Reading, Signal::Setting(_))
            | (
                Step::Applying(_),
                Signal::Setup(SetupSignal::SettingsRead | SetupSignal::SettingsUnreadable),
            )
            | (
                _,
                Signal::Begin
                | Signal::Setup(
                    SetupSignal::FactsArrived(_)
                    | SetupSignal::FactsMissing
                    | SetupSignal::Allowed
                    | SetupSignal::Refused,
                )
                | Signal::Reacted(_)
                | Signal::Call(_)
                | Signal::Job(_)
                | Signal::Abort(_)
                | Signal::Seen(..)
                | Signal::Act(_),
            ) => Err(UnexpectedSignal { phase: PhaseName::Preparing, signal }),
        }
    }

    fn next(self, ledger: &mut Ledger, orders: &mut Orders) -> Phase {
        if ledger.has(Mark::CancelAsked) {
            return RollingBack::restore(ledger, orders);
        }
        let Some(change) = self.to_apply.first() else {
            return Precopy::enter(ledger, orders);
        };
        ledger.undo = ledger.undo.with(change);
        Self { to_apply: self.to_apply.without(change), ..self }.apply(change, orders)
    }

    fn read(self, orders: &mut Orders) -> Phase {
        orders.give(Order::ReadSettings);
        orders.give(Order::Arm(Timer::Reply));
        Phase::Preparing(self)
    }

    fn apply(self, change: Change, orders: &mut Orders) -> Phase {
        orders.give(Order::Apply(change));
        orders.give(Order::Arm(Timer::Reply));
        Phase::Preparing(Self { step: Step::Applying(change), ..self })
    }
}
