//! The shell around control: it translates the port to [`Signal`]s and [`Order`]s back to commands, keeps the
//! numbers, the timers and the ids, and tells people what happens.
//!
//! Whatever is safety stands in [`crate::control`]. The shell must never decide anything: it has no branch on where
//! the guest is.

mod desk;
mod interface;
mod timers;
mod trail;
mod translate;

use alloc::boxed::Box;
use alloc::vec::Vec;

pub use interface::{Input, Misuse, Output, Outputs, Request};

use self::desk::{Claim, Desk, Place};
use self::timers::Timers;
use self::trail::Trail;
use crate::control::{Control, Done, Order, Orders, Phase, SettingKind, SettingSet, Signal, Timer};
use crate::convergence::Convergence;
use crate::event::{CancelAnswer, Event, PhaseName};
use crate::facts::Facts;
use crate::outcome::Recovery;
use crate::outcome::{Advice, Ending, Outcome, Whereabouts};
use crate::port::{Command, Failure, Settings};
use crate::spec::{Spec, SpecError};
use crate::time::Instant;

/// A live migration.
///
/// Methods are of three kinds. [`handle`](Self::handle) is the only one that changes anything. [`deadline`](Self::deadline)
/// tells when it must be called with [`Input::Timer`]. The others look. Time never goes back.
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
    desk: Desk,
    timers: Timers,
    now: Instant,
    facts: Option<Box<Facts>>,
    originals: Option<Settings>,
    failure: Option<Failure>,
    recovered: Vec<Recovery>,
    outcome: Option<Outcome>,
    outputs: Vec<Output>,
    trail: Trail,
}

/// What can be seen of a migration between two inputs.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// What was asked for.
    pub spec: &'a Spec,
    /// Where it stands.
    pub phase: PhaseName,
    /// The dirty curve.
    pub convergence: &'a Convergence,
    /// Whether an operator asked for the end.
    pub cancel_asked: bool,
    /// How it ended, once it has.
    pub outcome: Option<&'a Outcome>,
    /// The running digest of all states so far.
    pub trail: u64,
}

impl Migration {
    /// A migration that has not begun.
    ///
    /// # Errors
    /// When the spec is out of its bounds.
    pub fn new(spec: Spec) -> Result<Self, SpecError> {
        spec.check()?;
        let mut plan = SettingSet::EMPTY;
        if spec.downtime_limit_ms.is_some() {
            plan = plan.with(SettingKind::DowntimeLimit);
        }
        if spec.bandwidth_limit_bytes_per_second.is_some() {
            plan = plan.with(SettingKind::BandwidthLimit);
        }
        Ok(Self {
            spec,
            control: Control::new(plan),
            convergence: Convergence::default(),
            desk: Desk::default(),
            timers: Timers::default(),
            now: Instant::BEGIN,
            facts: None,
            originals: None,
            failure: None,
            recovered: Vec::new(),
            outcome: None,
            outputs: Vec::new(),
            trail: Trail::START,
        })
    }

    /// Takes one input: every change goes through here. Bounded: constant time, plus one step for each timer that is
    /// due.
    ///
    /// # Errors
    /// [`Misuse`] when the driver broke the protocol; nothing was changed then.
    pub fn handle(&mut self, now: Instant, input: Input) -> Result<Outputs<'_>, Misuse> {
        if now < self.now {
            return Err(Misuse::TimeWentBack { from: self.now, to: now });
        }
        self.outputs.clear();
        match input {
            Input::Timer => {
                self.now = now;
                while let Some(timer) = self.timers.take_due(now) {
                    if timer == Timer::Reply {
                        self.desk.give_up_overdue();
                    }
                    self.step(Signal::Elapsed(timer))?;
                }
            }
            Input::Operator(request) => {
                self.now = now;
                self.step(match request {
                    Request::Begin => Signal::Begin,
                    Request::Cancel => Signal::Cancel,
                })?;
            }
            Input::Hypervisor(observation) => {
                if let Some(signal) = self.translate(now, observation)? {
                    self.step(signal)?;
                }
            }
        }
        self.trail = self.trail.step(now, &self.control, self.outputs.len());
        Ok(Outputs { list: self.outputs.drain(..) })
    }

    /// When [`Input::Timer`] is to come; `None` when nothing is waited for.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.timers.earliest()
    }

    /// What can be seen of it.
    #[must_use]
    pub fn view(&self) -> View<'_> {
        View {
            spec: &self.spec,
            phase: self.control.phase().name(),
            convergence: &self.convergence,
            cancel_asked: self.control.ledger().cancel_asked,
            outcome: self.outcome.as_ref(),
            trail: self.trail.digest(),
        }
    }

    /// The control state, for explorers and tests.
    #[must_use]
    pub fn control(&self) -> &Control {
        &self.control
    }

    fn step(&mut self, signal: Signal) -> Result<(), Misuse> {
        let before = self.control.phase();
        let (control, orders) = self.control.step(signal).map_err(Misuse::Unasked)?;
        self.control = control;
        let phase = control.phase();
        self.timers.keep_wanted(phase);
        self.carry_out(&orders);
        if phase.name() != before.name() || signal == Signal::Begin {
            self.tell(Event::Phase(phase.name()));
        }
        if let (Phase::Done(done), None) = (phase, &self.outcome) {
            self.end(done);
        }
        Ok(())
    }

    fn carry_out(&mut self, orders: &Orders) {
        for order in orders.iter() {
            match order {
                Order::Arm(timer) => {
                    if let Some(after_ms) = self.patience_ms(timer) {
                        self.timers.arm(timer, self.now.plus_ms(after_ms));
                    }
                }
                Order::ArmLookAgain(attempt) => {
                    self.timers.arm(Timer::LookAgain, self.now.plus_ms(back_off_ms(attempt)));
                }
                Order::Tell(recovery) => {
                    self.recovered.push(recovery);
                    self.tell(Event::Recovered(recovery));
                }
                Order::TellCancelInDoubt => self.tell(Event::CancelAnswered(CancelAnswer::InDoubt)),
                Order::TellCancelAnswer => self.answer_cancel(),
                Order::CollectFacts
                | Order::EvaluateRules
                | Order::ReadSettings
                | Order::Apply(_)
                | Order::Restore(_)
                | Order::StartMigration
                | Order::PollJob
                | Order::AbortMigration
                | Order::Observe(_)
                | Order::Resume(_)
                | Order::Destroy(_) => self.command(order),
            }
        }
    }

    fn patience_ms(&self, timer: Timer) -> Option<u64> {
        match timer {
            Timer::Poll => Some(self.spec.poll_interval_ms),
            Timer::GiveUp => self.spec.timeout_ms,
            Timer::Reply => Some(self.spec.reply_timeout_ms),
            Timer::LookAgain => Some(back_off_ms(0)),
        }
    }

    fn end(&mut self, done: Done) {
        let ledger = self.control.ledger();
        let completed = done.ending == Ending::Completed;
        // The hypervisor's words about an end that was asked for, or about a migration that worked, explain nothing.
        let failure = self.failure.clone().filter(|_| !completed && done.ending != Ending::Cancelled);
        let outcome = Outcome {
            ending: done.ending,
            guest: done.guest,
            cause: ledger.cause,
            advice: Advice::on(done.guest, done.unsettled, ledger.cause, failure.as_ref()),
            failure,
            unsettled: done.unsettled,
            recovered: self.recovered.clone(),
            not_undone: ledger.not_undone.iter().map(translate::leftover).collect(),
            total_ms: self.now.as_ms(),
            downtime_ms: self.convergence.concluded().and_then(|statistics| statistics.downtime_ms),
        };
        let cancel_asked = ledger.cancel_asked;
        self.outcome = Some(outcome.clone());
        if cancel_asked {
            self.answer_cancel();
        }
        self.tell(Event::Ended(Box::new(outcome)));
    }

    fn answer_cancel(&mut self) {
        let Some(outcome) = &self.outcome else { return };
        let answer = match outcome.guest {
            Whereabouts::Untouched | Whereabouts::SourceRunning | Whereabouts::SourcePaused => {
                CancelAnswer::Cancelled
            }
            Whereabouts::DestinationRunning | Whereabouts::DestinationPaused => CancelAnswer::TooLate,
            Whereabouts::BothRunning | Whereabouts::Nowhere | Whereabouts::Unknown => {
                CancelAnswer::Unresolved
            }
        };
        self.tell(Event::CancelAnswered(answer));
    }

    fn tell(&mut self, event: Event) {
        self.outputs.push(Output::Event(event));
    }

    fn command(&mut self, order: Order) {
        let (Some(place), Some(action)) = (Place::of(order), self.action(order)) else { return };
        let id = self.desk.give(place);
        self.outputs.push(Output::Command(Command { id, action }));
    }
}

/// Time until the next try: 250 ms, doubled with each attempt, at most 4 s.
const fn back_off_ms(attempt: u8) -> u64 {
    let doublings = if attempt > 4 { 4 } else { attempt };
    250 << doublings
}
