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
use crate::port::Side;

/// Memory is copied while the guest runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Precopy {
    pub(super) call: Call,
    pub(super) abort: Abort,
    pub(super) polling: bool,
    pub(super) poll_again: bool,
}

/// Looks at a job that goes on although its end was accepted, before the end is asked for once more: about 5 s of
/// polling. A hypervisor may have answered for another job than ours, or have lost the request.
const PATIENCE_LOOKS: u8 = 20;

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
    /// The hypervisor will try; the job was seen going on this many times since.
    Accepted(u8),
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
            Signal::SourceSuspended => return Ok(SwitchingOver::enter(self, ledger)),
            Signal::JobGone | Signal::JobUnknown if self.call == Call::Lost => {
                return Ok(Resolving::after_lost_reply(orders));
            }
            Signal::Elapsed(Timer::Reply) if self.polling && self.call == Call::Lost => {
                return Ok(Resolving::after_lost_reply(orders));
            }
            // While the call is out its return decides, not a look at the job.
            Signal::JobGone | Signal::JobUnknown | Signal::Elapsed(Timer::Reply) => {
                self.on_poll_answered(orders);
            }
            Signal::JobActive => self.on_job_active(ledger, orders),
            Signal::Cancel => {
                ledger.cancel_asked = true;
                self.leave(Cause::OperatorCancelled, ledger, orders);
            }
            Signal::Elapsed(Timer::GiveUp) => self.leave(Cause::TimedOut, ledger, orders),
            Signal::AbortAccepted => self.abort = Abort::Accepted(0),
            Signal::AbortRefused => self.abort = Abort::Refused,
            Signal::IterationBegan | Signal::JobEnded => self.poll_soon(orders),
            Signal::Seen(side, state) => ledger.note_seen(side, state),
            Signal::Elapsed(Timer::Poll) => self.on_poll_timer(orders),
            Signal::SourceResumed | Signal::Elapsed(Timer::LookAgain) => {}
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

    /// A job is there. An abort that came before it, or that had no effect, is asked for again.
    pub(super) fn on_job_active(&mut self, ledger: &Ledger, orders: &mut Orders) {
        match self.abort {
            Abort::Refused | Abort::Accepted(PATIENCE_LOOKS..) => self.ask_abort(orders),
            Abort::Accepted(looks) => self.abort = Abort::Accepted(looks + 1),
            Abort::NotAsked | Abort::Asked => {}
        }
        if !ledger.destination_receives {
            // Seeing the guest arrive proves that the destination which is looked at is the one that is migrated to.
            orders.give(Order::Observe(Side::Destination));
        }
        self.on_poll_answered(orders);
    }

    /// Time for the next look. One that is still out is waited for: answers of a slow host must count too.
    pub(super) fn on_poll_timer(&mut self, orders: &mut Orders) {
        if !self.polling {
            self.poll(orders);
        }
        orders.give(Order::Arm(Timer::Poll));
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

    /// Looks at the job, with an end to the waiting.
    fn poll(&mut self, orders: &mut Orders) {
        self.polling = true;
        self.poll_again = false;
        orders.give(Order::PollJob);
        orders.give(Order::Arm(Timer::Reply));
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
