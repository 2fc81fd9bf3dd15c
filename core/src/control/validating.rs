//! Validating: facts are collected and judged. **The source owns the guest; nothing has been changed.**
//!
//! Whatever fails here ends the migration at once with the guest untouched. A cancel does the same: there is nothing
//! to wait for, and what is still being asked changes nothing.

use super::preparing::Preparing;
use super::signal::{Order, Orders, Signal, Timer};
use super::{Done, Ledger, Next, Phase, Unasked};
use crate::event::PhaseName;
use crate::facts::GuestRun;
use crate::outcome::Cause;

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
            (Step::Facts, Signal::FactsArrived(run)) => {
                ledger.guest_was = run;
                orders.give(Order::EvaluateRules);
                orders.give(Order::Arm(Timer::Reply));
                Ok(Phase::Validating(Self { step: Step::Rules }))
            }
            (Step::Facts, Signal::FactsMissing)
            | (Step::Facts | Step::Rules, Signal::Elapsed(Timer::Reply)) => {
                ledger.blame(Cause::FactsMissing);
                Ok(Done::untouched(ledger))
            }
            // Rules that let a guest through which is not in memory are mistaken: there is nothing to migrate live.
            (Step::Rules, Signal::Allowed) if ledger.guest_was != GuestRun::NotRunning => {
                Ok(Preparing::enter(ledger, orders))
            }
            (Step::Rules, Signal::Refused | Signal::Allowed) => {
                ledger.blame(Cause::RulesRefused);
                Ok(Done::untouched(ledger))
            }
            (Step::NotBegun | Step::Facts | Step::Rules, Signal::Cancel) => {
                ledger.cancel_asked = true;
                ledger.blame(Cause::OperatorCancelled);
                Ok(Done::untouched(ledger))
            }
            // Somebody else works on the guest, or a timer fires late: nothing of ours has begun.
            (
                _,
                Signal::IterationBegan
                | Signal::SourceSuspended
                | Signal::SourceResumed
                | Signal::JobEnded
                | Signal::Elapsed(Timer::Poll | Timer::GiveUp | Timer::LookAgain),
            )
            | (Step::NotBegun, Signal::Elapsed(Timer::Reply)) => Ok(Phase::Validating(self)),
            (Step::Facts | Step::Rules, Signal::Begin)
            | (Step::NotBegun | Step::Rules, Signal::FactsArrived(_) | Signal::FactsMissing)
            | (Step::NotBegun | Step::Facts, Signal::Allowed | Signal::Refused)
            | (
                _,
                Signal::SettingsRead
                | Signal::SettingsUnreadable
                | Signal::Applied
                | Signal::NotApplied
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
            ) => Err(Unasked { phase: PhaseName::Validating, signal }),
        }
    }
}
