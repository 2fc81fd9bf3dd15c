//! Drives one migration in real time: inputs come in by a channel, commands go out to a [`Port`].
//!
//! The loop is the only owner of the state machine. An input is in the journal before the commands that it causes are
//! given. Nothing here decides: what is done when is the core's business, and how it is done the port's. And nothing
//! here waits for anybody: a terminal that stands still must not hold up a migration, so whoever watches has a thread.

pub mod acks;
mod audience;
mod journal;
mod permit;
mod reactions;
mod resuming;

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant as Clock};

use whimbrel_core::journal::Record;
use whimbrel_core::{
    Action, Answer, Command, CommandId, Facts, Failure, Fault, Input, Instant, Migration, Observation,
    Outcome, Output, Request, Spec, SpecError, Takeover, Verdict,
};

use self::audience::Audience;
pub use self::journal::{Journal, JournalFileError, Keep, KeepError};
pub use self::permit::{CallPermit, CallPermits, Withdrawn};
pub use self::reactions::Reactions;
pub use self::resuming::{Resumption, ResumptionError, examine_again, resume};
use crate::watcher::Watcher;

/// Time between two looks whether the record of a call that waits for it is durable.
const RECORD_INTERVAL: Duration = Duration::from_millis(100);

/// What stands for the two hosts. It answers each command once, through the sender that it was made with.
pub trait Port {
    /// Begins to carry out a command. Never blocks: what takes time is done on another thread.
    fn carry_out(&mut self, command: Command);

    /// The answer of this migrate call, or call to resume a post-copy, is not awaited any more: if it has not been made yet,
    /// it must not be made. One that was made goes on, and later calls are not concerned. Never blocks.
    fn abandon_call(&mut self, call: CommandId);

    /// The migration has ended, and nothing else is commanded. What marks the guest as being migrated is removed before the
    /// end is on record, so that the next migration is not refused for it. Returns what the operator has to know. Blocks for
    /// a few seconds at most.
    fn finish(&mut self, outcome: &Outcome) -> Vec<String> {
        let _ = outcome;
        Vec::new()
    }

    /// Calls to hosts that panicked, which no answer reports: the machine counts them as replies that are lost.
    fn panics(&self) -> Vec<String> {
        Vec::new()
    }
}

/// What comes in while a migration is driven.
#[derive(Debug)]
pub enum Message {
    /// A port tells something.
    Observed {
        /// What it tells.
        observation: Observation,
        /// When it came to know.
        since: Clock,
    },
    /// An operator asks for something.
    Asked(Request),
    /// An operator wants to leave; the migration goes on without us.
    Leave,
}

/// How the driving ended.
#[derive(Debug)]
pub struct Driven {
    /// The outcome; `None` when the operator left before the end.
    pub outcome: Option<Outcome>,
    /// The migration as it was left.
    pub migration: Migration,
    /// How fast hints were followed by commands.
    pub reactions: Reactions,
    /// What the port reported at the end, for the operator.
    pub remarks: Vec<String>,
    /// What [`Port::panics`] reported at the end.
    pub panics: Vec<String>,
    /// Why the journal ends early, when it does: the migration was driven on without.
    pub journal_error: Option<KeepError>,
}

/// Why a migration could not be driven on. The guest is then in the hands of the hypervisors.
#[derive(Debug, thiserror::Error)]
pub enum DriveError {
    /// The spec is out of its bounds.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// The journal could not be begun. One that has a gap later does not end the driving.
    #[error(transparent)]
    Journal(#[from] KeepError),
    /// The port broke the protocol.
    #[error("the driver broke the protocol")]
    Misuse(#[from] whimbrel_core::Misuse),
    /// The port went away without answering.
    #[error("the driver stopped without an answer")]
    PortGone,
}

/// A migration that is to be driven, from its beginning or from where somebody left it.
#[derive(Debug)]
pub struct Course {
    migration: Migration,
    /// When it stood so, in its own time.
    now: Instant,
    first: Input,
}

impl Course {
    /// From the beginning.
    ///
    /// # Errors
    /// When the spec is out of its bounds.
    pub fn begin(spec: Spec) -> Result<Self, SpecError> {
        Ok(Self {
            migration: Migration::new(spec)?,
            now: Instant::BEGIN,
            first: Input::Operator(Request::Begin),
        })
    }

    /// From where whoever drove it left it: what was commanded is not answered any more. `now` is the present in the
    /// migration's own time.
    #[must_use]
    pub fn adopt(migration: Migration, now: Instant) -> Self {
        Self { migration, now, first: Input::Restarted }
    }

    /// From what is known of a migration whose journal this release cannot replay, or that ended in doubt.
    ///
    /// # Errors
    /// When the spec is out of its bounds.
    pub fn take_over(spec: Spec, takeover: Takeover, now: Instant) -> Result<Self, SpecError> {
        Ok(Self { migration: Migration::new(spec)?, now, first: Input::TakenOver(Box::new(takeover)) })
    }

    /// What was asked for.
    #[must_use]
    pub fn spec(&self) -> &Spec {
        self.migration.view().spec
    }

    /// The facts, where they were collected already: the port must accept this guest and these hosts only.
    #[must_use]
    pub fn known_facts(&self) -> Option<Facts> {
        let facts = match &self.first {
            Input::TakenOver(takeover) => takeover.facts.as_deref(),
            _ => self.migration.facts(),
        };
        facts.cloned()
    }
}

/// Drives a migration until it ends or the operator leaves.
///
/// # Errors
/// See [`DriveError`]; none of them touches the guest.
pub fn drive(
    course: Course,
    port: &mut dyn Port,
    inbox: &Receiver<Message>,
    mut journal: Box<dyn Keep>,
    rules: &dyn Fn(&Facts) -> Verdict,
    watcher: Option<Box<dyn Watcher + Send>>,
) -> Result<Driven, DriveError> {
    let Course { migration, now, first } = course;
    if matches!(first, Input::Operator(Request::Begin)) {
        journal.begin(migration.view().spec)?;
    }
    let mut driver = Driver {
        audience: watcher.map(|watcher| Audience::new(migration.clone(), watcher)),
        migration,
        started: Clock::now(),
        started_at: now,
        journal,
        journal_error: None,
        reactions: Reactions::default(),
        remarks: None,
        withheld: None,
        rules,
    };
    let followed = driver.take(first, port).and_then(|_| driver.follow(port, inbox));
    // An operator who leaves before the call was made must not start a migration by leaving.
    abandon_unless(None, driver.migration.awaited_call(), port);
    let outcome = driver.migration.view().outcome.cloned();
    if let Some(mut audience) = driver.audience {
        audience.leave();
    }
    // After an error too: the record that shows it is the last one.
    let last = driver.journal.finish().err();
    followed?;
    Ok(Driven {
        outcome,
        migration: driver.migration,
        reactions: driver.reactions,
        remarks: driver.remarks.unwrap_or_default(),
        panics: port.panics(),
        journal_error: driver.journal_error.or(last),
    })
}

struct Driver<'r> {
    migration: Migration,
    started: Clock,
    /// The instant at which that was.
    started_at: Instant,
    journal: Box<dyn Keep>,
    journal_error: Option<KeepError>,
    reactions: Reactions,
    /// What the port reported when the migration ended.
    remarks: Option<Vec<String>>,
    audience: Option<Audience>,
    /// The migrate call, which waits for its record.
    withheld: Option<Command>,
    rules: &'r dyn Fn(&Facts) -> Verdict,
}

impl Driver<'_> {
    fn follow(&mut self, port: &mut dyn Port, inbox: &Receiver<Message>) -> Result<(), DriveError> {
        while self.migration.view().outcome.is_none() {
            self.begin_withheld(port)?;
            match inbox.recv_timeout(self.patience()) {
                Ok(Message::Observed { observation, since }) => {
                    let is_hint = matches!(observation, Observation::Hint(_));
                    let commands = self.take(Input::Hypervisor(observation), port)?;
                    if is_hint && commands > 0 {
                        self.reactions.record(since.elapsed());
                    }
                }
                Ok(Message::Asked(request)) => {
                    self.take(Input::Operator(request), port)?;
                }
                Ok(Message::Leave) => break,
                Err(RecvTimeoutError::Timeout) => {
                    self.take(Input::Timer, port)?;
                }
                Err(RecvTimeoutError::Disconnected) => return Err(DriveError::PortGone),
            }
        }
        Ok(())
    }

    /// Gives one input to the machine and its outputs to whom they concern; returns how many commands there were.
    fn take(&mut self, input: Input, port: &mut dyn Port) -> Result<usize, DriveError> {
        let mut inputs = VecDeque::from([input]);
        let mut commands = 0;
        while let Some(input) = inputs.pop_front() {
            let now = self.now();
            let call = self.migration.awaited_call();
            let result = self.migration.handle(now, input.clone()).map(Iterator::collect::<Vec<_>>);
            if self.remarks.is_none()
                && let Some(outcome) = self.migration.view().outcome
            {
                self.remarks = Some(port.finish(outcome));
            }
            // An input that breaks the protocol is recorded too: it is the one that will be asked for.
            let record = Record::of(&self.migration, now, input);
            self.keep(&record, result.as_deref().unwrap_or_default());
            if let Some(audience) = &self.audience {
                audience.tell(record);
            }
            let outputs = result?;
            // Before new commands are given: one of them may be a later call.
            abandon_unless(self.migration.awaited_call(), call, port);
            for output in outputs {
                match output {
                    // Whoever watches finds the events in the record.
                    Output::Event(_) => {}
                    // The rules are pure: they are asked here and now.
                    Output::Command(Command { id, action: Action::EvaluateRules(facts) }) => {
                        let answer = Answer::Verdict((self.rules)(&facts));
                        inputs.push_back(Input::Hypervisor(Observation::Answer { to: id, answer }));
                    }
                    Output::Command(command) => {
                        commands += 1;
                        if command.action == Action::StartMigration && !self.is_durable() {
                            self.withheld = Some(command);
                        } else {
                            port.carry_out(command);
                        }
                    }
                }
            }
        }
        Ok(commands)
    }

    /// Keeps a record. A full disk must not keep a stopped guest from being resumed: the driving goes on with a gap, and
    /// the journal is given the later records too, so that it can record the end of the migration.
    fn keep(&mut self, record: &Record, outputs: &[Output]) {
        if let Err(error) = self.journal.append(record, outputs, self.migration.view()) {
            self.journal_error.get_or_insert(error);
        }
    }

    /// Whether every record so far is durable. A journal that has lost one never is again.
    fn is_durable(&mut self) -> bool {
        if self.journal_error.is_some() {
            return false;
        }
        self.journal.settle(Duration::ZERO).unwrap_or_else(|error| {
            self.journal_error = Some(error);
            false
        })
    }

    /// Makes the migrate call once its record is durable. A driver that is started later must know of it, or it would report
    /// the guest as untouched; no guest is harmed by a migration that begins later or not at all.
    fn begin_withheld(&mut self, port: &mut dyn Port) -> Result<(), DriveError> {
        let Some(command) = self.withheld.take() else { return Ok(()) };
        if self.migration.awaited_call() != Some(command.id) {
            return Ok(());
        }
        if self.is_durable() {
            port.carry_out(command);
        } else if let Some(error) = &self.journal_error {
            let message = format!("the copy was not begun, because its record cannot be kept: {error}");
            let failure = Failure::new(Fault::Refused, message);
            let answer = Answer::CallReturned(Err(failure));
            self.take(Input::Hypervisor(Observation::Answer { to: command.id, answer }), port)?;
        } else {
            self.withheld = Some(command);
        }
        Ok(())
    }

    fn now(&self) -> Instant {
        let elapsed_ns = u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        Instant::from_ns(self.started_at.as_ns().saturating_add(elapsed_ns))
    }

    /// Time until the machine's deadline; long when it has none, because every input wakes the loop anyway.
    fn patience(&self) -> Duration {
        let patience = match self.migration.deadline() {
            Some(deadline) => Duration::from_nanos(deadline.as_ns().saturating_sub(self.now().as_ns())),
            None => Duration::from_mins(1),
        };
        if self.withheld.is_some() { patience.min(RECORD_INTERVAL) } else { patience }
    }
}

/// Abandons a call unless it is the one that is awaited. One that was answered is abandoned too: it was made.
fn abandon_unless(awaited: Option<CommandId>, call: Option<CommandId>, port: &mut dyn Port) {
    if let Some(call) = call.filter(|call| awaited != Some(*call)) {
        port.abandon_call(call);
    }
}
