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
    /// The source's copy was seen stopped: from now on the destination may have run.
    pub(super) fn enter(copy: Precopy, ledger: &mut Ledger) -> Phase {
        ledger.switchover_began = true;
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
            Signal::Elapsed(Timer::Reply) if self.copy.polling && self.copy.call == Call::Lost => {
                return Ok(Resolving::after_lost_reply(orders));
            }
            Signal::JobActive => self.copy.on_job_active(ledger, orders),
            Signal::JobGone | Signal::JobUnknown | Signal::Elapsed(Timer::Reply) => {
                self.copy.on_poll_answered(orders);
            }
            Signal::Cancel => {
                ledger.cancel_asked = true;
                self.copy.leave(Cause::OperatorCancelled, ledger, orders);
                orders.give(Order::TellCancelInDoubt);
            }
            // Somebody else may have suspended the guest, and the copy may take as long as before: the timeout holds.
            Signal::Elapsed(Timer::GiveUp) => self.copy.leave(Cause::TimedOut, ledger, orders),
            Signal::Seen(side, state) => ledger.note_seen(side, state),
            Signal::Elapsed(Timer::LookAgain) | Signal::SourceSuspended => {}
            Signal::AbortAccepted => self.copy.abort = Abort::Accepted(0),
            Signal::AbortRefused => self.copy.abort = Abort::Refused,
            Signal::IterationBegan | Signal::JobEnded => self.copy.poll_soon(orders),
            Signal::Elapsed(Timer::Poll) => self.copy.on_poll_timer(orders),
            Signal::Begin
            | Signal::FactsArrived(_)
            | Signal::FactsMissing
            | Signal::Allowed
            | Signal::Refused
            | Signal::SettingsRead
            | Signal::SettingsUnreadable
            | Signal::Applied
            | Signal::NotApplied
            | Signal::Acted
            | Signal::NotActed => return Err(Unasked { phase: PhaseName::SwitchingOver, signal }),
        }
        Ok(Phase::SwitchingOver(self))
    }
}
