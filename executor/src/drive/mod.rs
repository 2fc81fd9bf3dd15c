//! Drives one migration in real time: inputs come in by a channel, commands go out to a [`Port`].
//!
//! The loop is the only owner of the state machine. An input is in the journal before the commands that it causes are
//! given. Nothing here decides: what is done when is the core's business, and how it is done the port's. And nothing
//! here waits for anybody: a terminal that stands still must not hold up a migration, so whoever watches has a thread.

mod audience;
mod journal;
mod reactions;

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant as Clock};

use whimbrel_core::journal::Record;
use whimbrel_core::{
    Action, Answer, Command, Facts, Input, Instant, Migration, Observation, Outcome, Output, Request, Spec,
    Verdict,
};

use self::audience::Audience;
pub use self::journal::{Journal, JournalFileError};
pub use self::reactions::Reactions;
use crate::watch::Watcher;

/// What stands for the two hosts. It answers each command once, through the sender that it was made with.
pub trait Port {
    /// Begins to carry out a command. Never blocks: what takes time is done on another thread.
    fn carry_out(&mut self, command: Command);
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
    /// Why the journal ends early, when it does: the migration is driven on without it.
    pub journal_error: Option<JournalFileError>,
}

/// Why a migration could not be driven on. The guest is then in the hands of the hypervisors.
#[derive(Debug, thiserror::Error)]
pub enum DriveError {
    /// The spec is out of its bounds.
    #[error(transparent)]
    Spec(#[from] whimbrel_core::SpecError),
    /// The journal could not be begun. One that breaks off later does not end the driving.
    #[error(transparent)]
    Journal(#[from] JournalFileError),
    /// The port broke the protocol.
    #[error("the driver broke the protocol")]
    Misuse(#[from] whimbrel_core::Misuse),
    /// The port went away without answering.
    #[error("the driver stopped without an answer")]
    PortGone,
}

/// Drives a migration until it ends or the operator leaves.
///
/// # Errors
/// See [`DriveError`]; none of them touches the guest.
pub fn drive(
    spec: Spec,
    port: &mut dyn Port,
    inbox: &Receiver<Message>,
    journal: Journal,
    rules: fn(&Facts) -> Verdict,
    watcher: Box<dyn Watcher + Send>,
) -> Result<Driven, DriveError> {
    let migration = Migration::new(spec)?;
    let mut driver = Driver {
        audience: Audience::new(migration.clone(), watcher),
        migration,
        started: Clock::now(),
        journal,
        journal_error: None,
        reactions: Reactions::default(),
        rules,
    };
    driver.journal.begin(driver.migration.view().spec)?;
    driver.take(Input::Operator(Request::Begin), port)?;
    while driver.migration.view().outcome.is_none() {
        match inbox.recv_timeout(driver.patience()) {
            Ok(Message::Observed { observation, since }) => {
                let is_hint = matches!(observation, Observation::Hint(_));
                let commands = driver.take(Input::Hypervisor(observation), port)?;
                if is_hint && commands > 0 {
                    driver.reactions.record(since.elapsed());
                }
            }
            Ok(Message::Asked(request)) => {
                driver.take(Input::Operator(request), port)?;
            }
            Ok(Message::Leave) => break,
            Err(RecvTimeoutError::Timeout) => {
                driver.take(Input::Timer, port)?;
            }
            Err(RecvTimeoutError::Disconnected) => return Err(DriveError::PortGone),
        }
    }
    let outcome = driver.migration.view().outcome.cloned();
    driver.audience.leave();
    Ok(Driven {
        outcome,
        migration: driver.migration,
        reactions: driver.reactions,
        journal_error: driver.journal_error,
    })
}

struct Driver {
    migration: Migration,
    started: Clock,
    journal: Journal,
    journal_error: Option<JournalFileError>,
    reactions: Reactions,
    audience: Audience,
    rules: fn(&Facts) -> Verdict,
}

impl Driver {
    /// Gives one input to the machine and its outputs to whom they concern; returns how many commands there were.
    fn take(&mut self, input: Input, port: &mut dyn Port) -> Result<usize, DriveError> {
        let mut inputs = VecDeque::from([input]);
        let mut commands = 0;
        while let Some(input) = inputs.pop_front() {
            let now = self.now();
            let result = self.migration.handle(now, input.clone()).map(Iterator::collect::<Vec<_>>);
            // An input that breaks the protocol is recorded too: it is the one that will be asked for.
            let record = Record { at_ns: now, input, trail: self.migration.view().trail };
            self.keep(&record);
            self.audience.tell(record);
            for output in result? {
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
                        port.carry_out(command);
                    }
                }
            }
        }
        Ok(commands)
    }

    /// Writes a record. A full disk must not keep a stopped guest from being resumed: the driving goes on without.
    fn keep(&mut self, record: &Record) {
        if let Err(error) = self.journal.append(record) {
            self.journal = Journal::none();
            self.journal_error = Some(error);
        }
    }

    fn now(&self) -> Instant {
        Instant::from_ns(u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }

    /// Time until the machine's deadline; long when it has none, because every input wakes the loop anyway.
    fn patience(&self) -> Duration {
        match self.migration.deadline() {
            Some(deadline) => Duration::from_nanos(deadline.as_ns().saturating_sub(self.now().as_ns())),
            None => Duration::from_mins(1),
        }
    }
}
