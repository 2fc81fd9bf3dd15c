//! Drives one migration in real time: inputs come in by a channel, commands go out to a [`Port`].
//!
//! The loop is the only owner of the state machine. An input is in the journal before the commands that it causes are
//! given. Nothing here decides: what is done when is the core's business, and how it is done the port's. And nothing
//! here waits for anybody: a terminal that stands still must not hold up a migration, so whoever watches has a thread.

pub mod acks;
mod audience;
mod journal;
mod judge;
mod outlets;
mod permit;
mod reactions;
mod resuming;

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant as Clock};

use whimbrel_core::{
    Answer, Command, CommandId, Facts, Input, Instant, Migration, Observation, Outcome, Pump, Request, Spec,
    SpecError, Takeover,
};
use whimbrel_facts::Facts as Collected;

use self::audience::Audience;
pub use self::journal::{Journal, JournalFileError, Keep, KeepError};
pub use self::judge::Judge;
use self::outlets::Outlets;
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
    /// A port reports something.
    Observed {
        /// What it reports.
        observation: Observation,
        /// When it came to know.
        since: Clock,
    },
    /// A port has collected the facts: an answer to the command that asks for them.
    Collected {
        /// The command.
        to: CommandId,
        /// The facts of the machine, taken from the others.
        known: Box<Facts>,
        /// The facts that rules judge.
        collected: Box<Collected>,
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
    /// No thread could be started for the rules. Nothing has been changed.
    #[error("no thread could be started to evaluate the rules")]
    Rules(#[source] io::Error),
    /// The machine requested a second verdict, or for one of a migration that was begun before: a bug.
    #[error("the rules were to be evaluated a second time")]
    JudgedTwice,
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
    judge: Judge,
    watcher: Option<Box<dyn Watcher + Send>>,
) -> Result<Driven, DriveError> {
    let Course { migration, now, first } = course;
    let begins = matches!(first, Input::Operator(Request::Begin));
    if begins {
        journal.begin(migration.view().spec)?;
    }
    let mut driver = Driver {
        outlets: Outlets {
            port,
            journal,
            journal_error: None,
            audience: watcher.map(|watcher| Audience::new(migration.clone(), watcher)),
            remarks: None,
            withheld: None,
            to_judge: None,
        },
        pump: Pump::new(migration),
        started: Clock::now(),
        started_at: now,
        reactions: Reactions::default(),
        collected: None,
        // A migration that was begun before has been judged already.
        judge: Some(judge).filter(|_| begins),
    };
    let followed = driver.take(first).and_then(|_| driver.follow(inbox));
    // An operator who leaves before the call was made must not start a migration by leaving.
    driver.pump.leave(&mut driver.outlets);
    let Driver { outlets, pump, reactions, .. } = driver;
    let Outlets { port, mut journal, journal_error, audience, remarks, .. } = outlets;
    if let Some(mut audience) = audience {
        audience.leave();
    }
    // After an error too: the record that shows it is the last one.
    let last = journal.finish().err();
    followed?;
    let migration = pump.into_migration();
    Ok(Driven {
        outcome: migration.view().outcome.cloned(),
        migration,
        reactions,
        remarks: remarks.unwrap_or_default(),
        panics: port.panics(),
        journal_error: journal_error.or(last),
    })
}

struct Driver<'p> {
    pump: Pump,
    outlets: Outlets<'p>,
    started: Clock,
    /// The instant at which that was.
    started_at: Instant,
    reactions: Reactions,
    /// What the port collected for the rules.
    collected: Option<Box<Collected>>,
    /// Evaluates the rules, until it does.
    judge: Option<Judge>,
}

impl Driver<'_> {
    fn follow(&mut self, inbox: &Receiver<Message>) -> Result<(), DriveError> {
        while self.pump.migration().view().outcome.is_none() {
            if let Some(input) = self.outlets.begin_withheld(self.pump.migration()) {
                self.take(input)?;
                continue;
            }
            match inbox.recv_timeout(self.patience()) {
                Ok(Message::Observed { observation, since }) => {
                    let is_hint = matches!(observation, Observation::Hint(_));
                    let commands = self.take(Input::Hypervisor(observation))?;
                    if is_hint && commands > 0 {
                        self.reactions.record(since.elapsed());
                    }
                }
                Ok(Message::Collected { to, known, collected }) => {
                    self.collected = Some(collected);
                    let answer = Answer::Facts(Ok(known));
                    self.take(Input::Hypervisor(Observation::Answer { to, answer }))?;
                }
                Ok(Message::Asked(request)) => {
                    self.take(Input::Operator(request))?;
                }
                Ok(Message::Leave) => break,
                Err(RecvTimeoutError::Timeout) => {
                    self.take(Input::Timer)?;
                }
                Err(RecvTimeoutError::Disconnected) => return Err(DriveError::PortGone),
            }
        }
        Ok(())
    }

    /// Gives one input to the machine; returns how many commands there were.
    fn take(&mut self, input: Input) -> Result<usize, DriveError> {
        let commands = self.pump.feed(self.now(), input, &mut self.outlets)?;
        if let Some(id) = self.outlets.to_judge.take() {
            let judge = self.judge.take().ok_or(DriveError::JudgedTwice)?;
            judge.start(id, self.collected.take()).map_err(DriveError::Rules)?;
        }
        Ok(commands)
    }

    fn now(&self) -> Instant {
        let elapsed_ns = u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        Instant::from_ns(self.started_at.as_ns().saturating_add(elapsed_ns))
    }

    /// Time until the machine's deadline; long when it has none, because every input wakes the loop anyway.
    fn patience(&self) -> Duration {
        let patience = match self.pump.migration().deadline() {
            Some(deadline) => Duration::from_nanos(deadline.as_ns().saturating_sub(self.now().as_ns())),
            None => Duration::from_mins(1),
        };
        if self.outlets.withheld.is_some() { patience.min(RECORD_INTERVAL) } else { patience }
    }
}
