//! The routing of a migration's outputs: commands to the port, records to the journal and to the watcher.
//!
//! Nothing here waits or decides.

use std::time::Duration;

use whimbrel_core::journal::Record;
use whimbrel_core::{
    Action, Answer, Command, CommandId, Failure, Fault, Input, Migration, Observation, Outcome, Output, Sink,
    View,
};

use super::watcher_thread::WatcherThread;
use super::{JournalSink, JournalSinkError, Port};

pub(super) struct Outlets<'p> {
    pub(super) port: &'p mut dyn Port,
    pub(super) journal: Box<dyn JournalSink>,
    pub(super) journal_error: Option<JournalSinkError>,
    pub(super) watcher_thread: Option<WatcherThread>,
    /// The port's remarks when the migration ended.
    pub(super) remarks: Option<Vec<String>>,
    /// The migrate call, which waits for its record.
    pub(super) withheld: Option<Command>,
    /// The command to evaluate the rules.
    pub(super) to_judge: Option<CommandId>,
}

impl Sink for Outlets<'_> {
    fn ended(&mut self, outcome: &Outcome) {
        self.remarks = Some(self.port.finish(outcome));
    }

    /// A full disk must not keep a stopped guest from being resumed: the driving continues with a gap, and the journal receives
    /// the later records too, because it may still record the end of the migration.
    fn record(&mut self, record: Record, outputs: &[Output], view: View<'_>) {
        if let Err(error) = self.journal.append(&record, outputs, view) {
            self.journal_error.get_or_insert(error);
        }
        if let Some(watcher_thread) = &self.watcher_thread {
            watcher_thread.tell(record);
        }
    }

    fn abandon_call(&mut self, call: CommandId) {
        self.port.abandon_call(call);
    }

    fn command(&mut self, command: Command) {
        match command {
            Command { id, action: Action::EvaluateRules(_) } => self.to_judge = Some(id),
            command if command.action == Action::StartMigration && !self.is_durable() => {
                self.withheld = Some(command);
            }
            command => self.port.execute(command),
        }
    }
}

impl Outlets<'_> {
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

    /// Makes the migrate call once its record is durable, or returns why it cannot be made. A later driver must know of the
    /// call, or it would report the guest as untouched; a migration that starts late or not at all harms no guest.
    pub(super) fn begin_withheld(&mut self, migration: &Migration) -> Option<Input> {
        let command = self.withheld.take()?;
        if migration.awaited_call() != Some(command.id) {
            return None;
        }
        if self.is_durable() {
            self.port.execute(command);
            return None;
        }
        let Some(error) = &self.journal_error else {
            self.withheld = Some(command);
            return None;
        };
        let message = format!("the copy was not started, because its record cannot be saved: {error}");
        let answer = Answer::CallReturned(Err(Failure::new(Fault::Refused, message)));
        Some(Input::Hypervisor(Observation::Answer { to: command.id, answer }))
    }
}
