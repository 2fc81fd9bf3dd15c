//! Drives one migration in real time: inputs come in by a channel, commands go out to a [`Port`].
//!
//! The loop is the only owner of the state machine. An input is in the journal before the commands that it causes are
//! sent. The core decides what is done and when, and the port how it is done. The loop never waits for a client: a terminal
//! that blocks must not delay a migration, so a watcher has a thread of its own.

pub mod acks;
mod journal;
mod judge;
mod latency;
mod outlets;
mod permit;
mod resuming;
mod watcher_thread;

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant as Clock};

use whimbrel_core::{
    Answer, Command, CommandId, Facts, Input, Instant, Migration, Observation, Outcome, Pump, Request, Spec,
    SpecError, Takeover,
};
use whimbrel_facts::Facts as Collected;

pub use self::journal::{EarlierLines, Journal, JournalFileError, JournalSink, JournalSinkError};
pub use self::judge::Judge;
pub use self::latency::HintLatency;
use self::outlets::Outlets;
pub use self::permit::{CallPermit, CallPermits, Withdrawn};
pub use self::resuming::{Resumption, ResumptionError, examine_again, resume};
use self::watcher_thread::WatcherThread;
use whimbrel_observe::Watcher;

/// Interval at which the loop checks whether the record of a withheld call is durable.
const RECORD_INTERVAL: Duration = Duration::from_millis(100);

/// The interface to the two hosts. It answers each command once, through the sender that it was created with.
pub trait Port {
    /// Starts to execute a command. Never blocks: anything slow is done on another thread.
    fn execute(&mut self, command: Command);

    /// The answer of this migrate call, or call to resume a post-copy, is no longer awaited: if the call has not been made yet,
    /// it must not be made. A call that was made continues, and later calls are not affected. Never blocks.
    fn abandon_call(&mut self, call: CommandId);

    /// The migration has ended, and no command follows. The tag that marks the guest as being migrated is removed before the
    /// end is on record, because it would make the next migration be refused. Returns remarks for the operator. Blocks for a
    /// few seconds at most.
    fn finish(&mut self, outcome: &Outcome) -> Vec<String> {
        let _ = outcome;
        Vec::new()
    }

    /// Calls to hosts that panicked, which no answer reports: the machine counts them as lost replies.
    fn panics(&self) -> Vec<String> {
        Vec::new()
    }
}

/// A message to the driving loop.
#[derive(Debug)]
pub enum Message {
    /// A port reports something.
    Observed {
        /// The observation.
        observation: Observation,
        /// When the port learned of it.
        since: Clock,
    },
    /// A port has collected the facts: the answer to the command that requests them.
    Collected {
        /// The command.
        to: CommandId,
        /// The machine's facts, derived from the others.
        known: Box<Facts>,
        /// The facts that the rules evaluate.
        collected: Box<Collected>,
    },
    /// A request of an operator.
    Request(Request),
    /// The operator detaches; the migration continues without a driver.
    Leave,
}

/// How the driving ended.
#[derive(Debug)]
pub struct Driven {
    /// The outcome; `None` when the operator detached before the end.
    pub outcome: Option<Outcome>,
    /// The migration as it was left.
    pub migration: Migration,
    /// The latency from hints to commands.
    pub latency: HintLatency,
    /// The port's remarks at the end, for the operator.
    pub remarks: Vec<String>,
    /// The result of [`Port::panics`] at the end.
    pub panics: Vec<String>,
    /// Why the journal is incomplete, if it is: the migration was driven to its end without it.
    pub journal_error: Option<JournalSinkError>,
}

/// Why a migration could not be driven further. The hypervisors then control the guest.
#[derive(Debug, thiserror::Error)]
pub enum DriveError {
    /// The spec is out of its bounds.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// The journal could not be started. A gap that occurs later does not end the driving.
    #[error(transparent)]
    Journal(#[from] JournalSinkError),
    /// The port broke the protocol.
    #[error("the driver broke the protocol")]
    Misuse(#[from] whimbrel_core::Misuse),
    /// No thread could be started for the rules. Nothing has been changed.
    #[error("no thread could be started to evaluate the rules")]
    Rules(#[source] io::Error),
    /// The machine requested a second verdict, or one for a migration that was started before: a bug.
    #[error("a second evaluation of the rules was requested")]
    JudgedTwice,
    /// The port was dropped without an answer.
    #[error("the driver stopped without an answer")]
    PortGone,
}

/// A migration to be driven, from its start or from where an earlier driver stopped.
#[derive(Debug)]
pub struct DriveSession {
    migration: Migration,
    /// The instant of this state, in the migration's own time.
    now: Instant,
    first: Input,
}

impl DriveSession {
    /// From the start.
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

    /// From where its last driver stopped: earlier commands will not be answered. `now` is the present in the migration's own
    /// time.
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

    /// The requested migration.
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

/// Drives a migration until it ends or the operator detaches.
///
/// # Errors
/// See [`DriveError`]; none of them touches the guest.
pub fn drive(
    session: DriveSession,
    port: &mut dyn Port,
    inbox: &Receiver<Message>,
    mut journal: Box<dyn JournalSink>,
    judge: Judge,
    watcher: Option<Box<dyn Watcher + Send>>,
) -> Result<Driven, DriveError> {
    let DriveSession { migration, now, first } = session;
    let begins = matches!(first, Input::Operator(Request::Begin));
    // Before any command: a migration that has no journal could not be adopted.
    if begins {
        journal.begin(migration.view().spec)?;
    }
    let watcher_thread = watcher.map(|watcher| WatcherThread::new(migration.clone(), watcher)).transpose();
    let unwatched = watcher_thread.as_ref().err().map(|error| {
        format!("the migration was driven without its output: no thread could be started for it ({error})")
    });
    let mut driver = Driver {
        outlets: Outlets {
            port,
            journal,
            journal_error: None,
            watcher_thread: watcher_thread.ok().flatten(),
            remarks: None,
            withheld: None,
            to_judge: None,
        },
        pump: Pump::new(migration),
        started: Clock::now(),
        started_at: now,
        latency: HintLatency::default(),
        collected: None,
        // A migration that was started before has been validated already.
        judge: Some(judge).filter(|_| begins),
    };
    let followed = driver.take(first).and_then(|_| driver.follow(inbox));
    // Detaching before the call was made must not start a migration.
    driver.pump.leave(&mut driver.outlets);
    let Driver { outlets, pump, latency, .. } = driver;
    let Outlets { port, mut journal, journal_error, watcher_thread, remarks, .. } = outlets;
    if let Some(mut watcher_thread) = watcher_thread {
        watcher_thread.leave();
    }
    // After an error too: its record is the last one.
    let last = journal.finish().err();
    followed?;
    let migration = pump.into_migration();
    Ok(Driven {
        outcome: migration.view().outcome.cloned(),
        migration,
        latency,
        remarks: remarks.unwrap_or_default().into_iter().chain(unwatched).collect(),
        panics: port.panics(),
        journal_error: journal_error.or(last),
    })
}

struct Driver<'p> {
    pump: Pump,
    outlets: Outlets<'p>,
    started: Clock,
    /// The migration's own time at that moment.
    started_at: Instant,
    latency: HintLatency,
    /// The facts that the port collected for the rules.
    collected: Option<Box<Collected>>,
    /// Evaluates the rules; taken when it does.
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
                    // A hint that causes no command has no latency.
                    if is_hint && commands > 0 {
                        self.latency.record(since.elapsed());
                    }
                }
                Ok(Message::Collected { to, known, collected }) => {
                    // Before the machine's part is handled, which may cause the command to evaluate the rules at once.
                    self.collected = Some(collected);
                    let answer = Answer::Facts(Ok(known));
                    self.take(Input::Hypervisor(Observation::Answer { to, answer }))?;
                }
                Ok(Message::Request(request)) => {
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

    /// Time until the machine's deadline; long when it has none, because every input wakes the loop.
    fn patience(&self) -> Duration {
        let patience = match self.pump.migration().deadline() {
            Some(deadline) => Duration::from_nanos(deadline.as_ns().saturating_sub(self.now().as_ns())),
            None => Duration::from_mins(1),
        };
        if self.outlets.withheld.is_some() { patience.min(RECORD_INTERVAL) } else { patience }
    }
}
