//! Post-copy: the guest runs on the destination, and its memory follows. **The destination runs the guest, and the
//! source holds the rest of its memory: neither copy is the guest alone.**
//!
//! There is no way back: the source's copy never runs again, and neither copy is ended. A cancel is refused, with that
//! reason. A call that returns with an error leads to [`Recovering`], as does its loss and a restart of the driver,
//! since the copy may continue without a caller; a success leads to [`Completing`].

use super::ledger::Mark;
use super::precopy::{Abort, Call, Poll, Precopy};
use super::signal::{CallSignal, JobSignal, Order, Orders, Signal, Timer};
use super::{Completing, Ledger, Next, Phase, Recovering, UnexpectedSignal};
use crate::port::{CopyState, Side};
use crate::vocabulary::{AdjustmentResult, PhaseName};

/// The guest runs on the destination, and its memory follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Postcopy {
    call: Call,
    asking: Asking,
    /// Whether the halves had lost each other and have not been seen together since.
    joining: bool,
    /// Whether the last query did not show progress of the guest.
    stalled: bool,
    /// Whether no job was seen working on it since it was found in progress: `Timer::Patience` runs.
    doubted: bool,
}

/// The query in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Asking {
    Nothing,
    /// The job.
    Job,
    /// The destination: only the guest itself shows whether it makes progress.
    Guest {
        job_active: bool,
    },
    /// The source, where neither a call nor the destination would show it: a destination reports "post-copy" also when
    /// the source has given the other half up, and a plain "running" says nothing about it.
    Rest,
}

impl Postcopy {
    /// Whether the last query did not show progress of the guest: `Timer::Patience` runs.
    #[must_use]
    pub const fn is_stalled(self) -> bool {
        self.stalled
    }

    /// A half of the guest was seen while memory was copied.
    pub(super) fn enter(copy: Precopy, ledger: &mut Ledger, orders: &mut Orders) -> Phase {
        let mut copy = copy;
        copy.end_adjustment(AdjustmentResult::Done, orders);
        if copy.abort != Abort::NotAsked || ledger.has(Mark::CancelAsked) {
            orders.give(Order::ReportCancelRefused);
        }
        // From here on only a loss of the post-copy itself can be the cause of an end.
        ledger.cause = None;
        orders.give(Order::Arm(Timer::Poll));
        let asking = if copy.poll == Poll::None { Asking::Nothing } else { Asking::Job };
        Phase::Postcopy(Self { asking, ..Self::with(copy.call) })
    }

    /// Memory was seen to follow although no caller waits. One that was in doubt already does not restart the timeout.
    pub(super) fn adopt(doubted: bool, orders: &mut Orders) -> Phase {
        if !doubted {
            orders.give(Order::Arm(Timer::Patience));
        }
        orders.give(Order::Arm(Timer::Poll));
        Phase::Postcopy(Self { doubted: true, ..Self::with(Call::Lost) })
    }

    /// Resumes a post-copy that lost its connection.
    pub(super) fn resume(orders: &mut Orders) -> Phase {
        orders.give(Order::ResumePostcopy);
        orders.give(Order::Arm(Timer::Poll));
        Phase::Postcopy(Self { joining: true, ..Self::with(Call::Out) })
    }

    pub(super) fn on(mut self, signal: Signal, ledger: &mut Ledger, orders: &mut Orders) -> Next {
        let lost = self.call == Call::Lost;
        match signal {
            Signal::Call(CallSignal::Succeeded) => return Ok(Completing::enter(ledger, orders)),
            // An attempt to resume failed at once: the next one has to wait.
            Signal::Call(CallSignal::Failed) if self.joining => return Ok(Recovering::wait(orders)),
            Signal::Call(CallSignal::Failed | CallSignal::Lost) | Signal::Restarted => {
                return Ok(Recovering::look(orders));
            }
            // No call will report the end: both hosts have to explain a job that is not seen.
            Signal::Job(JobSignal::Gone | JobSignal::Unknown) if lost => return Ok(self.look_again(orders)),
            // Both halves report a connection, but no job works on them.
            Signal::Elapsed(Timer::Patience) if self.doubted => return Ok(Recovering::look_last_on(orders)),
            // A call may never return.
            Signal::Elapsed(Timer::Patience) if self.joining => {
                orders.give(Order::GiveUpCall);
                return Ok(Recovering::look_last(orders));
            }
            Signal::Elapsed(Timer::Patience) if self.stalled => {
                orders.give(Order::GiveUpCall);
                return Ok(Recovering::look(orders));
            }
            Signal::Job(job) => {
                let asking = Asking::Guest { job_active: job == JobSignal::Active };
                self.ask(asking, Order::Observe(Side::Destination), orders);
            }
            Signal::Seen(side, state) => return Ok(self.on_seen((side, state), ledger, orders)),
            Signal::Elapsed(Timer::Reply) if self.asking != Asking::Nothing => {
                if lost {
                    return Ok(self.look_again(orders));
                }
                self.asking = Asking::Nothing;
                self.stall(orders);
            }
            Signal::Elapsed(Timer::Poll) => {
                if self.asking == Asking::Nothing {
                    self.ask(Asking::Job, Order::PollJob, orders);
                }
                orders.give(Order::Arm(Timer::Poll));
            }
            Signal::Cancel => {
                ledger.mark(Mark::CancelAsked);
                orders.give(Order::ReportCancelRefused);
            }
            Signal::React(kind) => orders.give(Order::ReportAdjustment(kind, AdjustmentResult::TooLate)),
            // Answers to the last queries of pre-copy, hints, and timers of a step that is over. A lost connection
            // makes the call return.
            Signal::Reacted(_) | Signal::Abort(_) | Signal::Hint(_) | Signal::Elapsed(_) => {}
            Signal::Begin | Signal::Setup(_) | Signal::Setting(_) | Signal::Act(_) => {
                return Err(UnexpectedSignal { phase: PhaseName::Postcopy, signal });
            }
        }
        Ok(Phase::Postcopy(self))
    }

    /// An answer to a query that is not in flight belongs to an earlier one.
    fn on_seen(
        mut self,
        (side, state): (Side, CopyState),
        ledger: &mut Ledger,
        orders: &mut Orders,
    ) -> Phase {
        ledger.note_seen(side, state);
        let lost = self.call == Call::Lost;
        match (self.asking, side) {
            (Asking::Guest { job_active }, Side::Destination)
                // A plain "running" is a guest that has woken up, or that has arrived while its source does not notice.
                if goes_on(state, job_active) && (self.joining || lost || state == CopyState::Running) =>
            {
                self.ask(Asking::Rest, Order::Observe(Side::Source), orders);
            }
            (Asking::Guest { job_active }, Side::Destination) if goes_on(state, job_active) => {
                self.asking = Asking::Nothing;
                self.stalled = false;
            }
            (Asking::Guest { .. }, Side::Destination) if lost => return self.look_again(orders),
            (Asking::Guest { .. }, Side::Destination) => {
                self.asking = Asking::Nothing;
                self.stall(orders);
            }
            (Asking::Rest, Side::Source) => {
                self.asking = Asking::Nothing;
                if matches!(state, CopyState::Postcopy | CopyState::Migrating) {
                    self.joining = false;
                    self.stalled = false;
                    self.doubted = false;
                } else if lost {
                    return self.look_again(orders);
                } else {
                    self.stall(orders);
                }
            }
            (Asking::Nothing | Asking::Job | Asking::Guest { .. } | Asking::Rest, _) => {}
        }
        Phase::Postcopy(self)
    }

    /// Queries both hosts; a running timeout keeps running.
    fn look_again(self, orders: &mut Orders) -> Phase {
        if self.doubted { Recovering::look_on(orders) } else { Recovering::look(orders) }
    }

    const fn with(call: Call) -> Self {
        Self { call, asking: Asking::Nothing, joining: false, stalled: false, doubted: false }
    }

    fn ask(&mut self, asking: Asking, order: Order, orders: &mut Orders) {
        self.asking = asking;
        orders.give(order);
        orders.give(Order::Arm(Timer::Reply));
    }

    /// The query did not show progress of the guest. `Timer::Patience` starts with the first one; while the halves are
    /// being joined, it runs already.
    fn stall(&mut self, orders: &mut Orders) {
        if !core::mem::replace(&mut self.stalled, true) && !self.joining {
            orders.give(Order::Arm(Timer::Patience));
        }
    }
}

/// Whether the destination's half runs and still receives memory. libvirt reports one that woke up, or was paused and
/// resumed, as plainly running; without an active job that is a guest that has arrived, and whose call is overdue.
const fn goes_on(there: CopyState, job_active: bool) -> bool {
    matches!(there, CopyState::Postcopy) || job_active && matches!(there, CopyState::Running)
}
