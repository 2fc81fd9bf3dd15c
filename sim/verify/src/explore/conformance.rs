//! A path of the exploration, run by a migration: the shipped [`Migration`] takes the same steps with ids, numbers and
//! a clock, and its journal is recorded.
//!
//! Exploration lets timers elapse in any order; a clock has an order of its own. Timers that are due earlier elapse on
//! the path, in the explored state too, so both take the same path; the result says whether it led to the same
//! violation. The two must never differ silently: control is compared after every step.

use std::fmt::Write as _;

use whimbrel_core::control::{AdjustmentKind, Control, Timer};
use whimbrel_core::convergence::Statistics;
use whimbrel_core::journal::{Record, header_line, record_line};
use whimbrel_core::port::{JobReport, JobState, Setting, Settings};
use whimbrel_core::{
    Action, Adjustment, Answer, CommandId, Facts, Failure, Fault, Finding, GuestFacts, GuestRun, HostFacts,
    Input, Instant, Migration, Observation, Output, Request, Severity, Side, Spec, TransferOptions, Verdict,
};

use super::in_flight::{CallOut, Exchange, JobSeen, Reacted};
use super::model::Returned;
use super::moves::{Move, Slot};
use super::scope::Scope;
use super::state::{State, Transition};
use super::violation::Violation;

/// A path as the shipped machine ran it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConformanceRun {
    /// The journal, as `whimbrel replay` reads it.
    pub journal: String,
    /// The violation at its end, if there was one.
    pub violation: Option<Violation>,
}

/// Why the shipped machine could not run a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Divergence {
    /// A move that could not be made there any more, since timers ran out before it.
    Impossible(Move),
    /// The machine and the explored state differ after a move.
    Differs(Move),
    /// The machine refused an input.
    Refused(Move, String),
}

/// Runs a path from the beginning.
///
/// # Errors
/// When the shipped machine cannot run it, or differs from the explored state.
pub fn follow(scope: &Scope, way: &[Move]) -> Result<ConformanceRun, Divergence> {
    let mut walk = Walk::new(scope)?;
    let mut violation = None;
    for what in way {
        violation = walk.make(*what)?;
        if violation.is_some() {
            break;
        }
    }
    Ok(ConformanceRun { journal: walk.journal, violation })
}

/// The same timeouts for every path, short enough that a journal stays short.
fn spec(scope: &Scope) -> Spec {
    Spec {
        downtime_limit_ms: scope.limits.then_some(500),
        bandwidth_limit_bytes_per_second: scope.limits.then_some(1 << 30),
        timeout_ms: scope.timeout.then_some(5_003),
        transfer: TransferOptions {
            postcopy: scope.postcopy,
            copy_disks: scope.disks,
            offline: scope.guest == GuestRun::NotRunning,
            ..TransferOptions::default()
        },
        poll_interval_ms: 701,
        reply_timeout_ms: 1_103,
        resolve_timeout_ms: 3_001,
        postcopy_recovery_timeout_ms: 7_001,
        ..Spec::new("guest", "sim://source", "sim://destination")
    }
}

/// More timers in a row than any timeout lasts.
const MOST_TIMERS: u32 = 1_000;
const NS_PER_MOVE: u64 = 1_000;

/// The shipped machine on its path, with the explored state beside it.
#[derive(Clone, Debug)]
pub struct Walk {
    scope: Scope,
    state: State,
    migration: Migration,
    now: Instant,
    /// The last command of each kind.
    ids: Vec<(Kind, CommandId)>,
    journal: String,
}

/// Places, and the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Rules,
    At(Slot),
}

impl Walk {
    /// At the beginning.
    ///
    /// # Errors
    /// When the machine rejects the scope's spec.
    pub fn new(scope: &Scope) -> Result<Self, Divergence> {
        let spec = spec(scope);
        let journal = header_line(&spec, None) + "\n";
        let migration =
            Migration::new(spec).map_err(|error| Divergence::Refused(Move::Begin, error.to_string()))?;
        let state = State::new(scope);
        Ok(Self { scope: *scope, state, migration, now: Instant::BEGIN, ids: Vec::new(), journal })
    }

    /// The journal so far, as `whimbrel replay` reads it.
    #[must_use]
    pub fn journal(&self) -> &str {
        &self.journal
    }

    /// The control state of the shipped machine.
    #[must_use]
    pub fn control(&self) -> &Control {
        self.migration.control()
    }

    /// The moves that a clock leaves now; none at the end.
    #[must_use]
    pub fn moves(&self) -> Vec<Move> {
        let mut moves = Vec::new();
        self.state.for_each_move(&self.scope, |what| {
            if !matches!(self.clone().make(what), Err(Divergence::Impossible(_))) {
                moves.push(what);
            }
        });
        moves
    }

    /// Makes a move with both; gives what it broke.
    ///
    /// # Errors
    /// When the clock leaves no such move, or the two differ after it.
    pub fn make(&mut self, what: Move) -> Result<Option<Violation>, Divergence> {
        if let Move::Timer(timer) = what {
            return self.let_elapse(timer, what);
        }
        self.now = Instant::from_ns(self.now.as_ns() + NS_PER_MOVE);
        // No timers run while there is no driver.
        if self.state.is_driven
            && let Some(violation) = self.catch_up(what)?
        {
            return Ok(Some(violation));
        }
        let input = self.input(what);
        let mirrored = self.mirror(what)?;
        match input {
            Some(input) => self.give(input, what, mirrored),
            None => Ok(mirrored),
        }
    }

    /// Lets time pass until a timer runs out, and all that are due before.
    fn let_elapse(&mut self, timer: Timer, what: Move) -> Result<Option<Violation>, Divergence> {
        for _ in 0..MOST_TIMERS {
            let Some(at) = self.migration.deadline() else { return Err(Divergence::Impossible(what)) };
            self.now = self.now.max(at);
            let due = self.due();
            let violation = self.elapse(&due, what)?;
            if due.contains(&timer) || violation.is_some() {
                return Ok(violation);
            }
        }
        Err(Divergence::Impossible(what))
    }

    /// What has become due meanwhile.
    fn catch_up(&mut self, what: Move) -> Result<Option<Violation>, Divergence> {
        let due = self.due();
        if due.is_empty() { Ok(None) } else { self.elapse(&due, what) }
    }

    fn due(&self) -> Vec<Timer> {
        self.migration.timers().filter(|(_, at)| *at <= self.now).map(|(timer, _)| timer).collect()
    }

    /// All that are due run out with one input, each unless the one before it made it needless.
    fn elapse(&mut self, due: &[Timer], what: Move) -> Result<Option<Violation>, Divergence> {
        let mut violation = None;
        for timer in due {
            if violation.is_none() && self.state.in_flight.is_armed(*timer) {
                violation = self.mirror(Move::Timer(*timer))?;
            }
        }
        self.give(Input::Timer, what, violation)
    }

    fn mirror(&mut self, what: Move) -> Result<Option<Violation>, Divergence> {
        let mut can_be = false;
        self.state.for_each_move(&self.scope, |other| can_be |= other == what);
        if !can_be {
            return Err(Divergence::Impossible(what));
        }
        match self.state.after(what, &self.scope) {
            Transition::Impossible => Err(Divergence::Impossible(what)),
            Transition::Violates(violation) => Ok(Some(violation)),
            Transition::To(state) => {
                self.state = state;
                Ok(None)
            }
        }
    }

    fn give(
        &mut self,
        input: Input,
        what: Move,
        mirrored: Option<Violation>,
    ) -> Result<Option<Violation>, Divergence> {
        let refused = |misuse: whimbrel_core::Misuse| Divergence::Refused(what, misuse.to_string());
        let given = match self.migration.handle(self.now, input.clone()) {
            // What control does not take is what was found.
            Err(_) if mirrored.is_some() => return Ok(mirrored),
            given => given.map_err(refused)?,
        };
        for output in given {
            if let Output::Command(command) = output {
                let kind = kind(&command.action);
                self.ids.retain(|(other, _)| *other != kind);
                self.ids.push((kind, command.id));
            }
        }
        let record = Record::of(&self.migration, self.now, input);
        // Writing into a string does not fail.
        let _ = writeln!(self.journal, "{}", record_line(&record));
        if mirrored.is_none() && *self.migration.control() != self.state.control {
            return Err(Divergence::Differs(what));
        }
        Ok(mirrored)
    }

    /// What a move is to the shipped machine; none when it happens far away.
    fn input(&self, what: Move) -> Option<Input> {
        match what {
            Move::Begin => Some(Input::Operator(Request::Begin)),
            Move::Cancel => Some(Input::Operator(Request::Cancel)),
            Move::React(reaction) => Some(Input::Operator(Request::React(adjustment(reaction)))),
            Move::Hint(hint) => Some(Input::Hypervisor(Observation::Hint(hint))),
            Move::Judge(allows) => self.answer(Kind::Rules, Answer::Verdict(verdict(allows))),
            Move::Deliver(place) => self.answer(Kind::At(place), self.reply(place)?),
            Move::Restart => Some(Input::Restarted),
            Move::Timer(_)
            | Move::CarryOut(_)
            | Move::Lose(_)
            | Move::CarryOutLate(_)
            | Move::Step(_)
            | Move::Break(_)
            | Move::Repair(_)
            | Move::Die(_) => None,
        }
    }
    fn answer(&self, kind: Kind, answer: Answer) -> Option<Input> {
        let (_, to) = *self.ids.iter().find(|(other, _)| *other == kind)?;
        Some(Input::Hypervisor(Observation::Answer { to, answer }))
    }

    /// The answer in flight, with numbers.
    fn reply(&self, place: Slot) -> Option<Answer> {
        let in_flight = &self.state.in_flight;
        let answer = match place {
            Slot::Facts => {
                Answer::Facts(done(answered(in_flight.facts)?).map(|()| Box::new(facts(&self.scope))))
            }
            Slot::Settings => Answer::Settings(done(answered(in_flight.settings)?).map(|()| ORIGINALS)),
            Slot::Setting => Answer::Applied(done(answered(in_flight.setting?.1)?)),
            Slot::Call => Answer::CallReturned(match in_flight.call {
                CallOut::Returned(Returned::Well) => Ok(()),
                CallOut::Returned(Returned::Failed) => Err(failure(Fault::Other)),
                CallOut::Returned(Returned::Lost) => Err(failure(Fault::ReplyLost)),
                CallOut::Idle | CallOut::Start | CallOut::Resume | CallOut::Taken => return None,
            }),
            Slot::Job => Answer::Job(match answered(in_flight.job)? {
                JobSeen::Active => Ok(report(JobState::Active)),
                JobSeen::Gone => Ok(report(JobState::None)),
                JobSeen::Unknown => Err(failure(Fault::SourceUnreachable)),
            }),
            Slot::Abort => Answer::Abort(done(answered(in_flight.abort)?)),
            Slot::Look(Side::Source) => Answer::Copy(answered(in_flight.source)?),
            Slot::Look(Side::Destination) => Answer::Copy(answered(in_flight.destination)?),
            Slot::Act => Answer::Acted(done(answered(in_flight.act?.1)?)),
            Slot::Reaction => {
                let (reaction, asked) = in_flight.reaction?;
                let result = match answered(asked)? {
                    Reacted::Done => Ok(()),
                    Reacted::Refused => Err(failure(Fault::Refused)),
                    Reacted::Unknown => Err(failure(Fault::SourceUnreachable)),
                };
                match reaction {
                    AdjustmentKind::DowntimeLimit | AdjustmentKind::BandwidthLimit => Answer::Applied(result),
                    AdjustmentKind::Pause => Answer::Acted(result),
                    AdjustmentKind::Postcopy => Answer::Postcopy(result),
                }
            }
        };
        Some(answer)
    }
}

fn kind(action: &Action) -> Kind {
    let place = match action {
        Action::EvaluateRules(_) => return Kind::Rules,
        Action::CollectFacts => Slot::Facts,
        Action::ReadSettings => Slot::Settings,
        Action::ApplySetting(Setting::DowntimeLimitMs(WISHED_DOWNTIME_MS))
        | Action::ApplySetting(Setting::BandwidthLimitBytesPerSecond(WISHED_BANDWIDTH))
        | Action::Suspend
        | Action::StartPostcopy => Slot::Reaction,
        Action::ApplySetting(_) => Slot::Setting,
        Action::StartMigration | Action::ResumePostcopy => Slot::Call,
        Action::PollJob => Slot::Job,
        Action::AbortMigration => Slot::Abort,
        Action::Observe(side) => Slot::Look(*side),
        Action::Resume(_) | Action::Destroy(_) | Action::Undefine(_) | Action::RemoveDisks(_) => Slot::Act,
    };
    Kind::At(place)
}

/// An operator's adjustment; no plan and no original has the same values.
const fn adjustment(kind: AdjustmentKind) -> Adjustment {
    match kind {
        AdjustmentKind::DowntimeLimit => Adjustment::DowntimeLimitMs(WISHED_DOWNTIME_MS),
        AdjustmentKind::BandwidthLimit => Adjustment::BandwidthLimitBytesPerSecond(WISHED_BANDWIDTH),
        AdjustmentKind::Pause => Adjustment::Pause,
        AdjustmentKind::Postcopy => Adjustment::Postcopy,
    }
}

const WISHED_DOWNTIME_MS: u64 = 777;
const WISHED_BANDWIDTH: u64 = 7 << 30;
const ORIGINALS: Settings = Settings { downtime_limit_ms: 300, bandwidth_limit_bytes_per_second: 1 << 27 };

fn answered<A: Copy>(asked: Exchange<A>) -> Option<A> {
    match asked {
        Exchange::Answered(answer) => Some(answer),
        Exchange::Idle | Exchange::Sent => None,
    }
}

fn done(well: bool) -> Result<(), Failure> {
    if well { Ok(()) } else { Err(failure(Fault::Other)) }
}

fn failure(fault: Fault) -> Failure {
    Failure::new(fault, "as explored")
}

fn report(state: JobState) -> JobReport {
    JobReport { state, statistics: Statistics::default() }
}

fn verdict(allows: bool) -> Verdict {
    let finding = Finding {
        code: "explored.refused".into(),
        severity: Severity::Error,
        message: "the rules refuse, as explored".into(),
        remediation: "none".into(),
    };
    Verdict { findings: if allows { Vec::new() } else { vec![finding] }, basis: None }
}

fn facts(scope: &Scope) -> Facts {
    let host = |name: &str| HostFacts {
        uri: format!("sim://{name}"),
        hostname: name.into(),
        host_uuid: name.into(),
        hypervisor: "QEMU".into(),
        architecture: "x86_64".into(),
        library_version: 0,
        hypervisor_version: 0,
        free_memory_bytes: None,
        has_guest: None,
    };
    Facts {
        guest: GuestFacts {
            name: "guest".into(),
            uuid: "guest".into(),
            run: scope.guest,
            persistent: scope.persistent,
            memory_bytes: 1 << 30,
            job_active: false,
        },
        source: host("source"),
        destination: host("destination"),
        disks_to_make: if scope.disks { vec!["/disk".into()] } else { Vec::new() },
    }
}
