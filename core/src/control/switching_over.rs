//! Switching over: the guest stands still while the rest is copied. **Nobody runs the guest; the hypervisors decide
//! between themselves who will.**
//!
//! Nothing is resumed or destroyed here. A cancel is passed on, because the hypervisor may still be able to end the
//! job, but it is answered with "in doubt" until both ends were looked at.

use super::precopy::{Abort, Call, Precopy};
use super::signal::{Order, Orders, Signal, Timer};
use super::{Completing, Ledger, Next, Phase, Resolving, RollingBack, Unasked};
use crate::event::PhaseName;
use crate::outcome::Cause;

/// The guest stands still for the hand-over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SwitchingOver {
    copy: Precopy,
}

impl SwitchingOver {
    pub(super) const fn enter(copy: Precopy) -> Phase {
        Phase::SwitchingOver(Self { copy })
    }

    pub(super) fn on(mut self, signal: Signal, ledger: &mut Ledger, orders: &mut Orders) -> Next {
        match signal {
            Signal::CallSucceeded => return Ok(Completing::enter(orders)),
            Signal::CallFailed => {
                ledger.blame(Cause::CopyFailed);
                return Ok(RollingBack::look(orders));
            }
            Signal::CallLost => {
                return Ok(Resolving::after_lost_reply(orders));
            }
            // The source gave up the hand-over and lets the guest run: pre-copy goes on, or the call will say that it
            // failed.
            Signal::SourceResumed => return Ok(Phase::Precopy(self.copy)),
            Signal::JobGone | Signal::JobUnknown if self.copy.call == Call::Lost => {
                return Ok(Resolving::after_lost_reply(orders));
            }
            Signal::JobActive => self.copy.on_job_active(orders),
            Signal::JobGone | Signal::JobUnknown => self.copy.on_poll_answered(orders),
            Signal::Cancel => {
                ledger.cancel_asked = true;
                self.copy.leave(Cause::OperatorCancelled, ledger, orders);
                orders.give(Order::TellCancelInDoubt);
            }
            // The end is near whatever is asked now.
            Signal::Elapsed(Timer::GiveUp | Timer::Reply | Timer::LookAgain) | Signal::SourceSuspended => {}
            Signal::AbortAccepted => self.copy.abort = Abort::Accepted,
            Signal::AbortRefused => self.copy.abort = Abort::Refused,
            Signal::IterationBegan | Signal::JobEnded => self.copy.poll_soon(orders),
            Signal::Elapsed(Timer::Poll) => {
                self.copy.poll(orders);
                orders.give(Order::Arm(Timer::Poll));
            }
            Signal::Begin
            | Signal::FactsArrived(_)
            | Signal::FactsMissing
            | Signal::Allowed
            | Signal::Refused
            | Signal::SettingsRead
            | Signal::SettingsUnreadable
            | Signal::Applied
            | Signal::NotApplied
            | Signal::Seen(..)
            | Signal::Acted
            | Signal::NotActed => return Err(Unasked { phase: PhaseName::SwitchingOver, signal }),
        }
        Ok(Phase::SwitchingOver(self))
    }
}
