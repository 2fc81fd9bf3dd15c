//! Validating: facts are collected and judged. **The source owns the guest; nothing has been changed.**
//!
//! Any failure here ends the migration at once with the guest untouched. A cancel does the same: there is nothing to
//! wait for, because queries in flight change nothing. A restart of the driver ends it as well: the guest and the hosts
//! may have changed since, and a migration must never begin without a request.

use super::ledger::Mark;
use super::preparing::Preparing;
use super::signal::{Order, Orders, SetupSignal, Signal, Timer};
use super::{Done, Ledger, Next, Phase, UnexpectedSignal};
use crate::facts::GuestRun;
use crate::outcome::Cause;
use crate::vocabulary::{AdjustmentResult, PhaseName};

/// Facts are collected and judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Validating {
    step: Step,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Step {
    NotBegun,
    Facts,
    Rules,
}

impl Validating {
    pub(super) const NEW: Self = Self { step: Step::NotBegun };

    /// Whether the migration was requested yet.
    #[must_use]
    pub const fn has_begun(self) -> bool {
        !matches!(self.step, Step::NotBegun)
    }

    pub(super) fn on(self, signal: Signal, ledger: &mut Ledger, orders: &mut Orders) -> Next {
        match (self.step, signal) {
            (Step::NotBegun, Signal::Begin) => {
                orders.give(Order::CollectFacts);
                orders.give(Order::Arm(Timer::Reply));
                Ok(Phase::Validating(Self { step: Step::Facts }))
            }
            (Step::Facts, Signal::Setup(SetupSignal::FactsArrived(found))) => {
                ledger.note_found(found);
                orders.give(Order::EvaluateRules);
                orders.give(Order::Arm(Timer::Reply));
                Ok(Phase::Validating(Self { step: Step::Rules }))
            }
            (Step::Facts, Signal::Setup(SetupSignal::FactsMissing))
            | (Step::Facts | Step::Rules, Signal::Elapsed(Timer::Reply)) => {
                ledger.set_cause(Cause::FactsMissing);
                Ok(Done::untouched(ledger))
            }
            (Step::Facts | Step::Rules, Signal::Restarted) => {
                ledger.set_cause(Cause::DriverRestarted);
                Ok(Done::untouched(ledger))
            }
            (Step::Rules, Signal::Setup(SetupSignal::Allowed)) if may_be_moved(ledger) => {
                Ok(Preparing::enter(ledger, orders))
            }
            (Step::Rules, Signal::Setup(SetupSignal::Refused | SetupSignal::Allowed)) => {
                ledger.set_cause(Cause::RulesRefused);
                Ok(Done::untouched(ledger))
            }
            (_, Signal::Cancel) => {
                ledger.mark(Mark::CancelAsked);
                ledger.set_cause(Cause::OperatorCancelled);
                Ok(Done::untouched(ledger))
            }
            (_, Signal::React(kind)) => {
                orders.give(Order::ReportAdjustment(kind, AdjustmentResult::TooEarly));
                Ok(Phase::Validating(self))
            }
            // Another client works on the guest, or a timer fires late: this migration has not begun anything.
            (_, Signal::Hint(_) | Signal::Elapsed(_)) | (Step::NotBegun, Signal::Restarted) => {
                Ok(Phase::Validating(self))
            }
            (Step::Facts | Step::Rules, Signal::Begin)
            | (
                Step::NotBegun | Step::Rules,
                Signal::Setup(SetupSignal::FactsArrived(_) | SetupSignal::FactsMissing),
            )
            | (Step::NotBegun | Step::Facts, Signal::Setup(SetupSignal::Allowed | SetupSignal::Refused))
            | (
                _,
                Signal::Setup(SetupSignal::SettingsRead | SetupSignal::SettingsUnreadable)
                | Signal::Setting(_)
                | Signal::Reacted(_)
                | Signal::Call(_)
                | Signal::Job(_)
                | Signal::Abort(_)
                | Signal::Seen(..)
                | Signal::Act(_),
            ) => Err(UnexpectedSignal { phase: PhaseName::Validating, signal }),
        }
    }
}

/// Rules that allow a guest which cannot be moved as requested are wrong: a guest that is off has no memory to copy,
/// and an offline migration moves only the definition.
fn may_be_moved(ledger: &Ledger) -> bool {
    (ledger.guest_was == GuestRun::NotRunning) == ledger.has(Mark::Offline)
}
