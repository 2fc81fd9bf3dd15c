//! The shell around control: it translates the port to [`Signal`]s and [`Order`]s back to commands, keeps the
//! numbers, the timers and the ids, and reports events.
//!
//! Everything that safety depends on is in [`crate::control`]. The shell must never decide anything: it has no branch
//! on where the guest is.

mod digest;
mod downtime;
mod in_flight;
mod io;
mod limits;
mod takeover;
mod timers;
mod translate;

use alloc::boxed::Box;
use alloc::vec::Vec;

pub use io::{Adjustment, Input, Misuse, Output, Outputs, Request};
pub use limits::Limits;
use limits::LimitsInForce;
pub use takeover::{Snapshot, Takeover};

use self::digest::StateDigest;
use self::downtime::Downtime;
use self::in_flight::{AnswerMatch, InFlight, Slot};
use self::timers::Timers;
use crate::control::{CallSignal, Control, Done, Mark, Order, Orders, Phase, Signal, Timer};
use crate::convergence::Convergence;
use crate::event::{CancelAnswer, Event};
use crate::facts::Facts;
use crate::outcome::{Advice, Cause, Ending, Leftover, Outcome, Recovery};
use crate::port::{Action, Command, CommandId, CopyState, Failure, Setting, Settings, Side};
use crate::spec::{Spec, SpecError};
use crate::time::Instant;
use crate::vocabulary::{AdjustmentResult, Change, PhaseName};

/// A live migration.
///
/// Methods are of three kinds. [`handle`](Self::handle) is the only one that changes anything.
/// [`deadline`](Self::deadline) gives the instant at which it must be called with [`Input::Timer`]. The others only
/// read. Time never goes back.
///
/// ```
/// use whimbrel_core::{Action, Input, Instant, Migration, Output, Request, Spec};
///
/// let mut migration = Migration::new(Spec::new("web", "qemu+tcp://alpha/system", "qemu+tcp://beta/system"))?;
/// let outputs = migration.handle(Instant::BEGIN, Input::Operator(Request::Begin))?;
/// let asks_for_facts = |output| matches!(output, Output::Command(command) if command.action == Action::CollectFacts);
/// assert!(outputs.into_iter().any(asks_for_facts));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Migration {
    spec: Spec,
    control: Control,
    convergence: Convergence,
    downtime: Downtime,
    in_flight: InFlight,
    timers: Timers,
    now: Instant,
    facts: Option<Box<Facts>>,
    originals: Option<Settings>,
    /// The setting of the operator's last adjustment.
    requested_setting: Option<Setting>,
    limits: LimitsInForce,
    /// The last observed state of the source's and of the destination's copy.
    seen: (Option<CopyState>, Option<CopyState>),
    /// Attempts since the phase was entered: the next one waits longer.
    tries: u8,
    failure: Option<Failure>,
    /// Whether the migrate call may have been made.
    call_made: bool,
    /// Whether the migrate call reported success: the guest was moved.
    has_arrived: bool,
    /// Whether the last input changed what a [`Snapshot`] shows.
    has_progressed: bool,
    recovered: Vec<Recovery>,
    outcome: Option<Outcome>,
    outputs: Vec<Output>,
    state_digest: StateDigest,
}

/// The state of a migration between two inputs.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// The request.
    pub spec: &'a Spec,
    /// Its phase.
    pub phase: PhaseName,
    /// The dirty curve.
    pub convergence: &'a Convergence,
    /// The limits in force while memory is copied, as the last answer left them.
    pub limits: Limits,
    /// Whether an operator requested a cancel.
    pub cancel_asked: bool,
    /// Since when the guest, which ran before, has been stopped, as far as it was observed.
    pub stopped_since: Option<Instant>,
    /// How it ended, once it has.
    pub outcome: Option<&'a Outcome>,
    /// The running digest of all states so far.
    pub state_digest: u64,
}

impl Migration {
    /// A migration that has not begun.
    ///
    /// # Errors
    /// When the spec is out of its bounds.
    pub fn new(spec: Spec) -> Result<Self, SpecError> {
        spec.check()?;
        Ok(Self {
            control: Control::new(spec.plan(), spec.control_options()),
            spec,
            convergence: Convergence::default(),
            downtime: Downtime::default(),
            in_flight: InFlight::default(),
            timers: Timers::default(),
            now: Instant::BEGIN,
            facts: None,
            originals: None,
            requested_setting: None,
            limits: LimitsInForce::default(),
            seen: (None, None),
            tries: 0,
            failure: None,
            call_made: false,
            has_arrived: false,
            has_progressed: false,
            recovered: Vec::new(),
            outcome: None,
            outputs: Vec::new(),
            state_digest: StateDigest::START,
        })
    }

    /// Takes one input; nothing else changes the machine. Bounded: constant time, plus one step for each timer that is
    /// due.
    ///
    /// # Errors
    /// [`Misuse`] when the driver broke the protocol; nothing was changed then.
    pub fn handle(&mut self, now: Instant, input: Input) -> Result<Outputs<'_>, Misuse> {
        if now < self.now {
            return Err(Misuse::TimeWentBack { from: self.now, to: now });
        }
        self.outputs.clear();
        self.has_progressed = false;
        let before = self.progress();
        match input {
            Input::Timer => {
                self.now = now;
                while let Some(timer) = self.timers.take_due(now) {
                    // Before the step, which may order the same query again: a late answer must not count for
                    // the new one.
                    self.in_flight.give_up_overdue(timer);
                    self.step(Signal::Elapsed(timer))?;
                }
            }
            Input::Operator(request) => {
                self.now = now;
                match request {
                    Request::Begin => self.step(Signal::Begin)?,
                    Request::Cancel => self.step(Signal::Cancel)?,
                    Request::React(adjustment) => self.adjust(adjustment)?,
                }
            }
            Input::Restarted => {
                // With the instant of the last input: nothing was observed between the two.
                self.downtime.driver_was_gone(self.now);
                self.now = now;
                self.in_flight.give_up_all();
                self.step(Signal::Restarted)?;
            }
            Input::TakenOver(takeover) => self.take_over(now, *takeover)?,
            Input::Hypervisor(observation) => {
                if let Some(signal) = self.translate(now, observation)? {
                    self.step(signal)?;
                }
            }
        }
        self.has_progressed = self.progress() != before;
        self.state_digest = self.state_digest.step(now, &self.control, self.outputs.len());
        Ok(Outputs { list: self.outputs.drain(..) })
    }

    /// When [`Input::Timer`] is due; `None` when no timer runs.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.timers.earliest()
    }

    /// The instant of the last input.
    #[must_use]
    pub const fn now(&self) -> Instant {
        self.now
    }

    /// The facts about the guest and both hosts, once they were collected.
    #[must_use]
    pub fn facts(&self) -> Option<&Facts> {
        self.facts.as_deref()
    }

    /// The migrate call, or the call that resumes a post-copy, whose answer is awaited. Once it is not awaited any
    /// more, a driver that has not made it yet must not make it.
    #[must_use]
    pub fn awaited_call(&self) -> Option<CommandId> {
        self.in_flight.call()
    }

    /// Its state, for display.
    #[must_use]
    pub fn view(&self) -> View<'_> {
        View {
            spec: &self.spec,
            phase: self.control.phase().name(),
            convergence: &self.convergence,
            limits: self.limits.known(),
            cancel_asked: self.control.ledger().has(Mark::CancelAsked),
            stopped_since: self.downtime.stopped_since(),
            outcome: self.outcome.as_ref(),
            state_digest: self.state_digest.value(),
        }
    }

    /// The control state, for explorers and tests.
    #[must_use]
    pub fn control(&self) -> &Control {
        &self.control
    }

    /// The timers that run, each with its deadline, for explorers and tests.
    pub fn timers(&self) -> impl Iterator<Item = (Timer, Instant)> + '_ {
        self.timers.running()
    }

    fn adjust(&mut self, adjustment: Adjustment) -> Result<(), Misuse> {
        if !adjustment.is_within_bounds() {
            self.report(Event::Reacted(adjustment.kind(), AdjustmentResult::OutOfBounds));
            return Ok(());
        }
        // Control has no numbers: the value is kept here until control orders the adjustment.
        self.requested_setting = adjustment.setting();
        self.step(Signal::React(adjustment.kind()))
    }

    fn step(&mut self, signal: Signal) -> Result<(), Misuse> {
        let before = self.control.phase();
        let (control, orders) = self.control.step(signal).map_err(Misuse::UnexpectedSignal)?;
        self.has_arrived |= signal == Signal::Call(CallSignal::Succeeded);
        self.enter(control, &orders, before, signal == Signal::Begin);
        Ok(())
    }

    /// Takes a new state of control, and executes its orders. The first phase is reported although it did not change.
    fn enter(&mut self, control: Control, orders: &Orders, before: Phase, is_first: bool) {
        self.control = control;
        let phase = control.phase();
        let is_new = phase.name() != before.name();
        // A failed attempt to join the halves of a guest returns here: each attempt waits longer than the one before.
        if is_new && !matches!(phase, Phase::Postcopy(_) | Phase::Recovering(_)) {
            self.tries = 0;
            self.seen = (None, None);
        }
        // Before the orders, which may arm a timer that the phase before had running.
        self.timers.keep_wanted(phase);
        self.carry_out(orders);
        if is_new || is_first {
            self.report(Event::Phase(phase.name()));
        }
        if let (Phase::Done(done), None) = (phase, &self.outcome) {
            self.end(done, before);
        }
    }

    fn carry_out(&mut self, orders: &Orders) {
        for order in orders.iter() {
            match order {
                Order::Arm(timer) => {
                    if let Some(after_ms) = self.delay_ms(timer) {
                        self.timers.arm(timer, self.now.plus_ms(after_ms));
                    }
                }
                Order::GiveUpCall => self.in_flight.give_up_call(),
                Order::ReportRecovery(recovery) => {
                    self.recovered.push(recovery);
                    self.report(Event::Recovered(recovery));
                }
                Order::ReportAdjustment(kind, result) => {
                    match result {
                        AdjustmentResult::Done => self.limits.done(),
                        AdjustmentResult::Refused => self.limits.refused(),
                        AdjustmentResult::NotKnown => self.limits.lost(),
                        // No such adjustment was made; another may be in progress.
                        AdjustmentResult::NotAllowed
                        | AdjustmentResult::OutOfBounds
                        | AdjustmentResult::Busy
                        | AdjustmentResult::TooEarly
                        | AdjustmentResult::TooLate => {}
                    }
                    self.report(Event::Reacted(kind, result));
                }
                Order::ReportCancelInDoubt => self.report(Event::CancelAnswered(CancelAnswer::InDoubt)),
                Order::ReportCancelRefused => self.report(Event::CancelAnswered(CancelAnswer::Refused)),
                Order::ReportCancelAnswer => self.answer_cancel(),
                Order::CollectFacts
                | Order::EvaluateRules
                | Order::ReadSettings
                | Order::Apply(_)
                | Order::Restore(_)
                | Order::Adjust(_)
                | Order::StartMigration
                | Order::ResumePostcopy
                | Order::PollJob
                | Order::AbortMigration
                | Order::Observe(_)
                | Order::Resume(_)
                | Order::Destroy(_)
                | Order::Undefine(_)
                | Order::RemoveDisks => self.command(order),
            }
        }
    }

    /// The duration of a timer that is armed now; `None` for a timeout that was not configured.
    fn delay_ms(&mut self, timer: Timer) -> Option<u64> {
        if timer == Timer::Patience {
            self.tries = 0;
        }
        let is_recovering = matches!(self.control.phase(), Phase::Recovering(_));
        match timer {
            Timer::Poll => Some(self.spec.poll_interval_ms),
            Timer::GiveUp => self.spec.timeout_ms,
            Timer::Reply | Timer::Reaction => Some(self.spec.reply_timeout_ms),
            Timer::AskAgain => Some(ASK_AGAIN_MS),
            Timer::Patience if is_recovering => Some(self.spec.postcopy_recovery_timeout_ms),
            Timer::Patience => Some(self.spec.resolve_timeout_ms),
            Timer::LookAgain => {
                let most_ms = if is_recovering { MOST_RECOVERY_BACK_OFF_MS } else { MOST_BACK_OFF_MS };
                let ms = (FIRST_BACK_OFF_MS << self.tries.min(16)).min(most_ms);
                self.tries = self.tries.saturating_add(1);
                Some(ms)
            }
        }
    }

    /// `before` is the phase that ended.
    fn end(&mut self, done: Done, before: Phase) {
        let ledger = self.control.ledger();
        let guest_was = ledger.guest_was;
        let ending = done.ending.with_guest(done.guest, guest_was, self.has_arrived);
        let cause = cause(ending, done, before, ledger.cause);
        // A hypervisor's message about a requested end, or about a migration that worked, explains nothing.
        let explains = matches!(ending, Ending::Failed | Ending::InDoubt);
        let failure = self.failure.clone().filter(|_| explains);
        let outcome = Outcome {
            ending,
            guest: done.guest,
            cause,
            advice: Advice::on(done.guest, guest_was, done.unsettled, cause, failure.as_ref()),
            failure,
            unsettled: done.unsettled,
            recovered: self.recovered.clone(),
            not_undone: ledger
                .not_undone
                .iter()
                .map(translate::leftover)
                .chain(done.definition_left.map(Leftover::Definition))
                .collect(),
            disks_left: match &self.facts {
                Some(facts) if ledger.not_undone.iter().any(|change| change == Change::Disks) => {
                    facts.disks_to_make.clone()
                }
                Some(_) | None => Vec::new(),
            },
            total_ms: self.now.as_ms(),
            // Where the guest runs is in doubt, so whether it was stopped is too.
            downtime_ms: self.downtime.total_ms().filter(|_| ending != Ending::InDoubt),
            hypervisor_downtime_ms: self.convergence.concluded().and_then(|numbers| numbers.downtime_ms),
        };
        let cancel_asked = ledger.has(Mark::CancelAsked);
        self.outcome = Some(outcome.clone());
        if cancel_asked {
            self.answer_cancel();
        }
        self.report(Event::Ended(Box::new(outcome)));
    }

    fn answer_cancel(&mut self) {
        let Some(outcome) = &self.outcome else { return };
        let answer = match outcome.guest.side() {
            Some(Side::Source) => CancelAnswer::Cancelled,
            Some(Side::Destination) => CancelAnswer::TooLate,
            None => CancelAnswer::Unresolved,
        };
        self.report(Event::CancelAnswered(answer));
    }

    fn report(&mut self, event: Event) {
        self.outputs.push(Output::Event(event));
    }

    fn command(&mut self, order: Order) {
        let (Some(slot), Some(action)) = (Slot::of(order), self.action(order)) else { return };
        let id = self.in_flight.give(slot);
        self.call_made |= slot == Slot::Call;
        match (order, &action) {
            (Order::Adjust(_), Action::ApplySetting(setting)) => self.limits.begin(Some(*setting)),
            (Order::Adjust(_), _) => self.limits.begin(None),
            (_, Action::ApplySetting(setting)) => self.limits.set(*setting),
            _ => {}
        }
        self.outputs.push(Output::Command(Command { id, action }));
    }
}

/// Why a migration ended so. A cancel or a timeout that came while the guest's location was unknown explains neither
/// the doubt nor a loss: both have an earlier cause.
fn cause(ending: Ending, done: Done, before: Phase, on_record: Option<Cause>) -> Option<Cause> {
    let is_asked = matches!(on_record, Some(Cause::OperatorCancelled | Cause::TimedOut));
    match before {
        _ if ending == Ending::ArrivedStopped => Some(Cause::GuestStopped),
        _ if !is_asked || ending != Ending::InDoubt && !done.guest.is_lost() => on_record,
        Phase::Resolving(phase) => Some(phase.what_failed()),
        Phase::Recovering(_) => Some(Cause::PostcopyLost),
        _ => on_record,
    }
}

/// An accepted abort that has not ended the job is repeated after this long.
const ASK_AGAIN_MS: u64 = 5_000;

/// Time until the next attempt, doubled with each.
const FIRST_BACK_OFF_MS: u64 = 250;
/// At most this long while the guest's location is unknown.
const MOST_BACK_OFF_MS: u64 = 4_000;
/// At most this long between two attempts to join the halves of a guest.
const MOST_RECOVERY_BACK_OFF_MS: u64 = 30_000;
