//! Pre-copy: memory is copied while the guest runs. **The source owns the guest; the destination's copy has never
//! run.**
//!
//! The migrate call is in flight. Until it returns, nothing is resumed or destroyed here: the hypervisors run their own
//! protocol, and may only be requested to abort it, to change its limits, to stop the guest, or to switch to post-copy.
//! A call that reports failure leads to [`RollingBack`], which queries both hosts before it believes that; a call whose
//! reply is lost, or that was made before a restart of the driver, leads to [`Resolving`], which returns here when the
//! copy is seen to continue without the caller; so does a job that is not seen for too long, since a call may never
//! return. A half of a guest in post-copy, once seen, leads to [`Postcopy`]: a hint of it only causes a query.

use super::ledger::Mark;
use super::signal::{AbortSignal, AdjustmentSignal, CallSignal, JobSignal, Order, Orders, Signal, Timer};
use super::{
    Completing, Ledger, Next, Phase, Postcopy, Resolving, RollingBack, SwitchingOver, UnexpectedSignal,
};
use crate::outcome::Cause;
use crate::port::{Hint, Side};
use crate::vocabulary::{AdjustmentKind, AdjustmentResult, Change, PhaseName};

/// Memory is copied while the guest runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Precopy {
    pub(super) call: Call,
    pub(super) abort: Abort,
    pub(super) poll: Poll,
    /// Whether the last query did not show the job, although the call is in flight.
    pub(super) unseen: bool,
    /// The adjustment in progress.
    pub(super) adjusting: Option<AdjustmentKind>,
    /// Whether the same was requested before and not refused: a refusal of this request says nothing about that one.
    pub(super) repeats: bool,
}

/// The migrate call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Call {
    /// It is in flight and will return.
    Out,
    /// Its reply was lost, and the copy was seen to continue: its end is found by queries.
    Lost,
}

/// A query of the job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Poll {
    /// None is in flight.
    None,
    /// One is in flight.
    Out,
    /// One is in flight, and another follows as soon as it is answered.
    OutAndAgain,
}

/// An abort.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Abort {
    /// None was requested.
    NotAsked,
    /// It was requested and not answered. A request may be lost: it is repeated after a while.
    Asked,
    /// The hypervisor will try. When the job still goes on for too long, the request is repeated: the first one may
    /// have met another job, or be lost.
    Accepted,
    /// The hypervisor refused, mostly because the job had not begun: the request is repeated when a job is seen.
    Refused,
}

impl Precopy {
    /// Whether the last query did not show the job although the call is in flight: `Timer::Patience` runs.
    #[must_use]
    pub const fn is_stalled(self) -> bool {
        self.unseen
    }

    /// Makes the migrate call. Disks that it creates are on record for removal before.
    pub(super) fn enter(ledger: &mut Ledger, orders: &mut Orders) -> Phase {
        if ledger.has(Mark::MakesDisks) {
            ledger.undo = ledger.undo.with(Change::Disks);
        }
        orders.give(Order::StartMigration);
        orders.give(Order::Arm(Timer::Poll));
        orders.give(Order::Arm(Timer::GiveUp));
        Phase::Precopy(Self {
            call: Call::Out,
            abort: Abort::NotAsked,
            poll: Poll::None,
            unseen: false,
            adjusting: None,
            repeats: false,
        })
    }

    /// Follows a copy that continues although the call's reply was lost.
    pub(super) fn adopt(ledger: &Ledger, orders: &mut Orders) -> Phase {
        let mut phase = Self {
            call: Call::Lost,
            abort: Abort::NotAsked,
            poll: Poll::None,
            unseen: false,
            adjusting: None,
            repeats: false,
        };
        orders.give(Order::Arm(Timer::Poll));
        // An operator or a timeout requested the end before.
        if ledger.cause.is_some() {
            phase.ask_abort(orders);
        }
        Phase::Precopy(phase)
    }

    pub(super) fn on(mut self, signal: Signal, ledger: &mut Ledger, orders: &mut Orders) -> Next {
        let lost = self.call == Call::Lost;
        match signal {
            Signal::Call(CallSignal::Succeeded) => return Ok(Completing::enter(ledger, orders)),
            Signal::Call(CallSignal::Failed) => {
                ledger.set_cause(Cause::CopyFailed);
                return Ok(RollingBack::look(orders));
            }
            Signal::Call(CallSignal::Lost) => return Ok(Resolving::after_lost_reply(orders)),
            // Whether the call was made at all is unknown too.
            Signal::Restarted => {
                self.end_adjustment(AdjustmentResult::NotKnown, orders);
                return Ok(Resolving::after_lost_reply(orders));
            }
            // Believed without a query: the next phase permits less, so a false hint cannot harm the guest.
            Signal::Hint(Hint::SourceSuspended) => return Ok(SwitchingOver::enter(self, ledger)),
            Signal::Seen(side, state) => {
                ledger.note_seen(side, state);
                if state.is_half() {
                    return Ok(Postcopy::enter(self, ledger, orders));
                }
            }
            // No call will report the end, and a job that is not seen may have ended with the guest on either host.
            Signal::Job(JobSignal::Gone | JobSignal::Unknown) if lost => {
                return Ok(Resolving::after_lost_reply(orders));
            }
            Signal::Elapsed(Timer::Reply) if lost && self.poll != Poll::None => {
                return Ok(Resolving::after_lost_reply(orders));
            }
            // The call may never return. It is given up before the hosts are queried, because a later return could
            // contradict the conclusion.
            Signal::Elapsed(Timer::Patience) if self.unseen => {
                orders.give(Order::GiveUpCall);
                return Ok(Resolving::after_lost_reply(orders));
            }
            // While the call is in flight its return decides, not a query of the job.
            Signal::Job(JobSignal::Gone | JobSignal::Unknown) => self.on_poll_in_vain(orders),
            Signal::Elapsed(Timer::Reply) if self.poll != Poll::None => self.on_poll_in_vain(orders),
            Signal::Job(JobSignal::Active) => self.on_job_active(ledger, orders),
            Signal::Cancel => {
                ledger.mark(Mark::CancelAsked);
                self.leave(Cause::OperatorCancelled, ledger, orders);
            }
            Signal::React(kind) => self.adjust(kind, ledger, orders),
            Signal::Reacted(AdjustmentSignal::Done) => self.on_adjusted(orders),
            Signal::Reacted(AdjustmentSignal::Refused) => self.on_adjustment_refused(ledger, orders),
            Signal::Reacted(AdjustmentSignal::Unknown) | Signal::Elapsed(Timer::Reaction) => {
                self.end_adjustment(AdjustmentResult::NotKnown, orders);
            }
            Signal::Abort(AbortSignal::Accepted) => {
                self.abort = Abort::Accepted;
                orders.give(Order::Arm(Timer::AskAgain));
            }
            Signal::Abort(AbortSignal::Refused) => self.abort = Abort::Refused,
            Signal::Hint(Hint::IterationBegan | Hint::JobEnded) => self.poll_soon(orders),
            // A hint is not believed: the source is queried.
            Signal::Hint(Hint::PostcopyBegan | Hint::PostcopyFailed) => {
                orders.give(Order::Observe(Side::Source));
            }
            Signal::Elapsed(Timer::Poll) => self.on_poll_timer(orders),
            Signal::Elapsed(Timer::GiveUp) => self.on_timeout(ledger, orders),
            Signal::Elapsed(Timer::AskAgain) if matches!(self.abort, Abort::Asked | Abort::Accepted) => {
                self.ask_abort(orders);
            }
            Signal::Hint(Hint::SourceResumed)
            | Signal::Elapsed(Timer::Reply | Timer::AskAgain | Timer::Patience | Timer::LookAgain) => {}
            Signal::Begin | Signal::Setup(_) | Signal::Setting(_) | Signal::Act(_) => {
                return Err(UnexpectedSignal { phase: PhaseName::Precopy, signal });
            }
        }
        Ok(Phase::Precopy(self))
    }

    /// Requests the abort, once; a second request changes nothing.
    pub(super) fn leave(&mut self, cause: Cause, ledger: &mut Ledger, orders: &mut Orders) {
        ledger.set_cause(cause);
        if self.abort == Abort::NotAsked {
            self.ask_abort(orders);
        }
    }

    /// Orders an adjustment, if it is allowed; its undo is on record before.
    pub(super) fn adjust(&mut self, kind: AdjustmentKind, ledger: &mut Ledger, orders: &mut Orders) {
        if let Err(result) = self.may_adjust(kind, ledger) {
            orders.give(Order::ReportAdjustment(kind, result));
            return;
        }
        // Before the marks below are set, which would make every request look like a repeated one.
        self.repeats = match kind {
            AdjustmentKind::DowntimeLimit | AdjustmentKind::BandwidthLimit => false,
            AdjustmentKind::Pause => ledger.has(Mark::PausedByUs),
            AdjustmentKind::Postcopy => ledger.has(Mark::PostcopyAsked),
        };
        match kind {
            AdjustmentKind::DowntimeLimit => ledger.undo = ledger.undo.with(Change::DowntimeLimit),
            AdjustmentKind::BandwidthLimit => ledger.undo = ledger.undo.with(Change::BandwidthLimit),
            AdjustmentKind::Pause => {
                ledger.undo = ledger.undo.with(Change::Pause);
                ledger.mark(Mark::PausedByUs);
            }
            AdjustmentKind::Postcopy => ledger.mark(Mark::PostcopyAsked),
        }
        self.adjusting = Some(kind);
        orders.give(Order::Adjust(kind));
        orders.give(Order::Arm(Timer::Reaction));
    }

    fn may_adjust(&self, kind: AdjustmentKind, ledger: &Ledger) -> Result<(), AdjustmentResult> {
        let allowed = match kind {
            AdjustmentKind::DowntimeLimit | AdjustmentKind::BandwidthLimit => {
                ledger.has(Mark::OriginalsKnown)
            }
            AdjustmentKind::Postcopy => ledger.has(Mark::PostcopyAllowed),
            AdjustmentKind::Pause => !ledger.has(Mark::Offline),
        };
        if !allowed {
            return Err(AdjustmentResult::NotAllowed);
        }
        if self.adjusting.is_some() || self.abort != Abort::NotAsked {
            return Err(AdjustmentResult::Busy);
        }
        Ok(())
    }

    fn on_adjusted(&mut self, orders: &mut Orders) {
        match self.adjusting {
            // The hypervisor will try. Its answer does not mean that it has switched: only an observation shows that.
            Some(AdjustmentKind::Postcopy) => self.poll_soon(orders),
            Some(_) | None => self.end_adjustment(AdjustmentResult::Done, orders),
        }
    }

    /// A refused adjustment was not made: nothing is to be undone, unless the same was requested before. That earlier
    /// request may have been executed, or may be executed late.
    fn on_adjustment_refused(&mut self, ledger: &mut Ledger, orders: &mut Orders) {
        match self.adjusting {
            Some(AdjustmentKind::Pause | AdjustmentKind::Postcopy) if self.repeats => {}
            Some(AdjustmentKind::Pause) => ledger.undone(Change::Pause),
            Some(AdjustmentKind::Postcopy) => ledger.unmark(Mark::PostcopyAsked),
            // A limit may have been changed before by the same adjustment, or while preparing; restoring a limit that
            // was never changed does no harm.
            Some(AdjustmentKind::DowntimeLimit | AdjustmentKind::BandwidthLimit) | None => {}
        }
        self.end_adjustment(AdjustmentResult::Refused, orders);
    }

    pub(super) fn end_adjustment(&mut self, result: AdjustmentResult, orders: &mut Orders) {
        if let Some(kind) = self.adjusting.take() {
            orders.give(Order::ReportAdjustment(kind, result));
        }
    }

    /// The copy has lasted too long. The configured adjustment is made once, and has as long again to work.
    fn on_timeout(&mut self, ledger: &mut Ledger, orders: &mut Orders) {
        let help = match (ledger.has(Mark::PauseAtTimeout), ledger.has(Mark::PostcopyAtTimeout)) {
            (true, _) => AdjustmentKind::Pause,
            (_, true) => AdjustmentKind::Postcopy,
            (false, false) => return self.leave(Cause::TimedOut, ledger, orders),
        };
        ledger.unmark(Mark::PauseAtTimeout);
        ledger.unmark(Mark::PostcopyAtTimeout);
        orders.give(Order::Arm(Timer::GiveUp));
        self.adjust(help, ledger, orders);
    }

    /// A job was seen. An abort that was refused before it began is requested again.
    fn on_job_active(&mut self, ledger: &Ledger, orders: &mut Orders) {
        self.unseen = false;
        if self.abort == Abort::Refused {
            self.ask_abort(orders);
        }
        if !ledger.has(Mark::DestinationReceives) {
            // Seeing the guest arrive proves that the queried destination is the one that the source migrates to.
            orders.give(Order::Observe(Side::Destination));
        }
        // No call would report a switch to post-copy, which another client may have requested.
        if ledger.has(Mark::PostcopyAsked) || self.call == Call::Lost {
            orders.give(Order::Observe(Side::Source));
        }
        self.on_poll_answered(orders);
    }

    /// The next query is due. One in flight is awaited, not replaced: answers of a slow host must count too.
    fn on_poll_timer(&mut self, orders: &mut Orders) {
        if self.poll == Poll::None {
            self.poll(orders);
        }
        orders.give(Order::Arm(Timer::Poll));
    }

    /// The query did not show the job. `Timer::Patience` starts with the first one.
    fn on_poll_in_vain(&mut self, orders: &mut Orders) {
        if !core::mem::replace(&mut self.unseen, true) {
            orders.give(Order::Arm(Timer::Patience));
        }
        self.on_poll_answered(orders);
    }

    fn on_poll_answered(&mut self, orders: &mut Orders) {
        if core::mem::replace(&mut self.poll, Poll::None) == Poll::OutAndAgain {
            self.poll(orders);
        }
    }

    /// Queries the job now, or as soon as the query in flight is answered.
    fn poll_soon(&mut self, orders: &mut Orders) {
        if self.poll == Poll::None {
            self.poll(orders);
        } else {
            self.poll = Poll::OutAndAgain;
        }
    }

    /// Queries the job, with a deadline for the answer.
    fn poll(&mut self, orders: &mut Orders) {
        self.poll = Poll::Out;
        orders.give(Order::PollJob);
        orders.give(Order::Arm(Timer::Reply));
    }

    fn ask_abort(&mut self, orders: &mut Orders) {
        self.abort = Abort::Asked;
        orders.give(Order::AbortMigration);
        orders.give(Order::Arm(Timer::AskAgain));
    }
}
