//! Pre-copy: memory is copied while the guest runs. **The source owns the guest; the destination's copy has never run.**
//!
//! The migrate call is out. Until it returns, nothing is resumed or destroyed here: the hypervisors run their own
//! protocol, and the only thing that may be asked of them is to abort it. A call that says it failed leads to
//! [`RollingBack`], which looks before it believes; a call whose reply is lost leads to [`Resolving`], which may lead
//! back here when the copy is seen to go on without the caller.

use super::signal::{Order, Orders, Signal, Timer};
use super::{Completing, Ledger, Next, Phase, Resolving, RollingBack, SwitchingOver, Unasked};
use crate::event::PhaseName;
use crate::outcome::Cause;

/// Memory is copied while the guest runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Precopy {
    pub(super) call: Call,
    pub(super) abort: Abort,
    pub(super) polling: bool,
    pub(super) poll_again: bool,
}

/// The migrate call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Call {
    /// It is out and will return.
    Out,
    /// Its reply was lost, and the copy was seen going on: its end is found by looking.
    Lost,
}

/// An abort.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Abort {
    /// Nobody asked for one.
    NotAsked,
    /// It was asked for and not answered.
    Asked,
    /// The hypervisor will try.
    Accepted,
    /// The hypervisor would not, mostly because the job had not begun: asked again when a job is seen.
    Refused,
}

impl Precopy {
    /// Makes the migrate call.
    pub(super) fn enter(orders: &mut Orders) -> Phase {
        orders.give(Order::StartMigration);
        orders.give(Order::Arm(Timer::Poll));
        orders.give(Order::Arm(Timer::GiveUp));
        Phase::Precopy(Self { call: Call::Out, abort: Abort::NotAsked, polling: false, poll_again: false })
    }

    /// Follows a copy that goes on although the call's reply was lost.
    pub(super) fn adopt(ledger: &Ledger, orders: &mut Orders) -> Phase {
        let mut phase = Self { call: Call::Lost, abort: Abort::NotAsked, polling: false, poll_again: false };
        orders.give(Order::Arm(Timer::Poll));
        if ledger.cause.is_some_and(wants_abort) {
            phase.ask_abort(orders);
        }
        Phase::Precopy(phase)
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
            Signal::SourceSuspended => return Ok(SwitchingOver::enter(self)),
            Signal::JobGone | Signal::JobUnknown if self.call == Call::Lost => {
                return Ok(Resolving::after_lost_reply(orders));
            }
            Signal::JobActive => self.on_job_active(orders),
            // While the call is out its return decides, not a look at the job.
            Signal::JobGone | Signal::JobUnknown => self.on_poll_answered(orders),
            Signal::Cancel => {
                ledger.cancel_asked = true;
                self.leave(Cause::OperatorCancelled, ledger, orders);
            }
            Signal::Elapsed(Timer::GiveUp) => self.leave(Cause::TimedOut, ledger, orders),
            Signal::AbortAccepted => self.abort = Abort::Accepted,
            Signal::AbortRefused => self.abort = Abort::Refused,
            Signal::IterationBegan | Signal::JobEnded => self.poll_soon(orders),
            Signal::Elapsed(Timer::Poll) => {
                self.poll(orders);
                orders.give(Order::Arm(Timer::Poll));
            }
            Signal::SourceResumed | Signal::Elapsed(Timer::Reply | Timer::LookAgain) => {}
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
            | Signal::NotActed => return Err(Unasked { phase: PhaseName::Precopy, signal }),
        }
        Ok(Phase::Precopy(self))
    }

    /// Asks for the end, once; a second request changes nothing.
    pub(super) fn leave(&mut self, cause: Cause, ledger: &mut Ledger, orders: &mut Orders) {
        ledger.blame(cause);
        if self.abort == Abort::NotAsked {
            self.ask_abort(orders);
        }
    }

    /// A job is there. An abort that came before the job is asked for again.
    pub(super) fn on_job_active(&mut self, orders: &mut Orders) {
        if self.abort == Abort::Refused {
            self.ask_abort(orders);
        }
        self.on_poll_answered(orders);
    }

    pub(super) fn on_poll_answered(&mut self, orders: &mut Orders) {
        self.polling = false;
        if self.poll_again {
            self.poll(orders);
        }
    }

    /// Looks at the job now, or as soon as the look that is under way has ended.
    pub(super) fn poll_soon(&mut self, orders: &mut Orders) {
        if self.polling {
            self.poll_again = true;
        } else {
            self.poll(orders);
        }
    }

    /// Looks at the job. A look that is still unanswered is given up for this one.
    pub(super) fn poll(&mut self, orders: &mut Orders) {
        self.polling = true;
        self.poll_again = false;
        orders.give(Order::PollJob);
    }

    fn ask_abort(&mut self, orders: &mut Orders) {
        self.abort = Abort::Asked;
        orders.give(Order::AbortMigration);
    }
}

/// Whether a migration that is left for this cause must be stopped if it is still under way.
fn wants_abort(cause: Cause) -> bool {
    match cause {
        Cause::OperatorCancelled | Cause::TimedOut => true,
        Cause::RulesRefused
        | Cause::FactsMissing
        | Cause::SettingsUnreadable
        | Cause::SettingRefused
        | Cause::CopyFailed
        | Cause::ReplyLost => false,
    }
}
