//! Post-copy: the guest runs on the destination, and its memory follows. **The destination runs the guest, and the source
//! holds the rest of its memory: neither copy is the guest alone.**
//!
//! There is no way back: the source's copy never runs again, and neither copy is ended. A cancel is refused, with that
//! reason. A call that returns with an error leads to [`Recovering`], as does its loss and a restart of ours, since the
//! copy may go on without a caller; a success leads to [`Completing`].

use super::ledger::Mark;
use super::precopy::{Abort, Call, Precopy};
use super::signal::{Order, Orders, ReactionResult, Signal, Timer};
use super::{Completing, Ledger, Next, Phase, Recovering, Unasked};
use crate::event::PhaseName;
use crate::port::{CopyState, Side};

/// The guest runs on the destination, and its memory follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Postcopy {
    call: Call,
    polling: bool,
    /// Whether it was cut off and has not been seen going on since.
    resumed: bool,
}

impl Postcopy {
    /// A half of the guest was seen while memory was copied.
    pub(super) fn enter(copy: Precopy, ledger: &mut Ledger, orders: &mut Orders) -> Phase {
        let mut copy = copy;
        copy.end_reaction(ReactionResult::Done, orders);
        if copy.abort != Abort::NotAsked || ledger.has(Mark::CancelAsked) {
            orders.give(Order::TellCancelRefused);
        }
        // Nothing but the hand-over itself can be the cause of an end from here on.
        ledger.cause = None;
        orders.give(Order::Arm(Timer::Poll));
        Phase::Postcopy(Self { call: copy.call, polling: copy.polling, resumed: false })
    }

    /// Memory was seen to follow although nobody waits for the call.
    pub(super) fn adopt(orders: &mut Orders) -> Phase {
        orders.give(Order::Arm(Timer::Poll));
        Phase::Postcopy(Self { call: Call::Lost, polling: false, resumed: false })
    }

    /// Lets a post-copy go on that lost its connection.
    pub(super) fn resume(orders: &mut Orders) -> Phase {
        orders.give(Order::ResumePostcopy);
        orders.give(Order::Arm(Timer::Poll));
        Phase::Postcopy(Self { call: Call::Out, polling: false, resumed: true })
    }

    pub(super) fn on(mut self, signal: Signal, ledger: &mut Ledger, orders: &mut Orders) -> Next {
        let lost = self.call == Call::Lost;
        match signal {
            Signal::CallSucceeded => return Ok(Completing::enter(orders)),
            // A try to go on that failed at once: the next one has to wait.
            Signal::CallFailed if self.resumed => return Ok(Recovering::wait(orders)),
            Signal::CallFailed | Signal::CallLost | Signal::Restarted => return Ok(Recovering::look(orders)),
            Signal::JobGone | Signal::JobUnknown if lost => return Ok(Recovering::look(orders)),
            Signal::Elapsed(Timer::Reply) if lost && self.polling => return Ok(Recovering::look(orders)),
            Signal::JobActive | Signal::JobGone | Signal::JobUnknown | Signal::Elapsed(Timer::Reply) => {
                self.polling = false;
                // Without a caller, only the guest itself tells whether the halves have each other.
                if lost || self.resumed {
                    orders.give(Order::Observe(Side::Destination));
                }
            }
            Signal::Seen(side, state) => {
                ledger.note_seen(side, state);
                if state == CopyState::Postcopy {
                    self.resumed = false;
                } else if lost {
                    return Ok(Recovering::look(orders));
                }
            }
            Signal::Elapsed(Timer::Poll) => {
                if !self.polling {
                    self.polling = true;
                    orders.give(Order::PollJob);
                    orders.give(Order::Arm(Timer::Reply));
                }
                orders.give(Order::Arm(Timer::Poll));
            }
            Signal::Cancel => {
                ledger.mark(Mark::CancelAsked);
                orders.give(Order::TellCancelRefused);
            }
            Signal::React(reaction) => orders.give(Order::TellReaction(reaction, ReactionResult::TooLate)),
            // Answers to what pre-copy asked last, hints, and timers of a step that is over. A connection that is lost
            // makes the call return.
            Signal::Reacted
            | Signal::ReactionRefused
            | Signal::ReactionUnknown
            | Signal::AbortAccepted
            | Signal::AbortRefused
            | Signal::Hint(_)
            | Signal::Elapsed(_) => {}
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
            | Signal::NotActed => return Err(Unasked { phase: PhaseName::Postcopy, signal }),
        }
        Ok(Phase::Postcopy(self))
    }
}
