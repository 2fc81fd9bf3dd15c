//! Validating: facts are collected and judged. **The source owns the guest; nothing has been changed.**
//!
//! Whatever fails here ends the migration at once with the guest untouched. A cancel does the same: there is nothing
//! to wait for, and what is still being asked changes nothing. A restart of the driver ends it as well: how the guest and the
//! hosts have changed since is not known, and a migration must never begin without a request.

use super::ledger::Mark;
use super::preparing::Preparing;
use super::signal::{Order, Orders, SetupSignal, Signal, Timer};
use super::{Done, Ledger, Next, Phase, Unasked};
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

    /// Whether the migration was asked for yet.
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
                ledger.blame(Cause::FactsMissing);
                Ok(Done::untouched(ledger))
            }
            (Step::Facts | Step::Rules, Signal::Restarted) => {
                ledger.blame(Cause::DriverRestarted);
                Ok(Done::untouched(ledger))
            }
            (Step::Rules, Signal::Setup(SetupSignal::Allowed)) if may_be_moved(ledger) => {
                Ok(Preparing::enter(ledger, orders))
            }
            (Step::Rules, Signal::Setup(SetupSignal::Refused | SetupSignal::Allowed)) => {
                ledger.blame(Cause::RulesRefused);
                Ok(Done::untouched(ledger))
            }
            (_, Signal::Cancel) => {
                ledger.mark(Mark::CancelAsked);
                ledger.blame(Cause::OperatorCancelled);
                Ok(Done::untouched(ledger))
            }
            (_, Signal::React(kind)) => {
                orders.give(Order::ReportAdjustment(kind, AdjustmentResult::TooEarly));
                Ok(Phase::Validating(self))
            }
            // Somebody else works on the guest, or a timer fires late: nothing of ours has begun.
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
            ) => Err(Unasked { phase: PhaseName::Validating, signal }),
        }
    }
}

/// Rules that let a guest through which cannot be moved as asked are mistaken: one that is off has no memory, and one that
/// is in memory is more than its definition.
fn may_be_moved(ledger: &Ledger) -> bool {
    (ledger.guest_was == GuestRun::NotRunning) == ledger.has(Mark::Offline)
}
