//! Drives one migration in real time: inputs come in by a channel, commands go out to a [`Port`].
//!
//! The loop is the only owner of the state machine. An input is in the journal before the commands that it causes are
//! given. Nothing here decides: what is done when is the core's business, and how it is done the port's.

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
}

/// Why a migration could not be driven on. The guest is then in the hands of the hypervisors.
#[derive(Debug, thiserror::Error)]
pub enum DriveError {
    /// The spec is out of its bounds.
    #[error(transparent)]
    Spec(#[from] whimbrel_core::SpecError),
    /// The journal could not be written.
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
    watcher: &mut dyn Watcher,
) -> Result<Driven, DriveError> {
    let mut driver = Driver {
        migration: Migration::new(spec)?,
        started: Clock::now(),
        journal,
        reactions: Reactions::default(),
    };
    driver.journal.begin(driver.migration.view().spec)?;
    driver.take(Input::Operator(Request::Begin), port, rules, watcher)?;
    while driver.migration.view().outcome.is_none() {
        match inbox.recv_timeout(driver.patience()) {
            Ok(Message::Observed { observation, since }) => {
                let is_hint = matches!(observation, Observation::Hint(_));
                let commands = driver.take(Input::Hypervisor(observation), port, rules, watcher)?;
                if is_hint && commands > 0 {
                    driver.reactions.record(since.elapsed());
                }
            }
            Ok(Message::Asked(request)) => {
                driver.take(Input::Operator(request), port, rules, watcher)?;
            }
            Ok(Message::Leave) => break,
            Err(RecvTimeoutError::Timeout) => {
                driver.take(Input::Timer, port, rules, watcher)?;
            }
            Err(RecvTimeoutError::Disconnected) => return Err(DriveError::PortGone),
        }
    }
    let outcome = driver.migration.view().outcome.cloned();
    Ok(Driven { outcome, migration: driver.migration, reactions: driver.reactions })
}

struct Driver {
    migration: Migration,
    started: Clock,
    journal: Journal,
    reactions: Reactions,
}

impl Driver {
    /// Gives one input to the machine and its outputs to whom they concern; returns how many commands there were.
    fn take(
        &mut self,
        input: Input,
        port: &mut dyn Port,
        rules: fn(&Facts) -> Verdict,
        watcher: &mut dyn Watcher,
    ) -> Result<usize, DriveError> {
        let mut inputs = VecDeque::from([input]);
        let mut commands = 0;
        while let Some(input) = inputs.pop_front() {
            let now = self.now();
            let outputs: Vec<Output> = self.migration.handle(now, input.clone())?.collect();
            let view = self.migration.view();
            self.journal.append(&Record { at_ns: now, input, trail: view.trail })?;
            for output in outputs {
                match output {
                    Output::Event(event) => watcher.saw(now, &event, view),
                    // The rules are pure: they are asked here and now.
                    Output::Command(Command { id, action: Action::EvaluateRules(facts) }) => {
                        let answer = Answer::Verdict(rules(&facts));
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
