//! The port of a migration whose definition for the destination is on record without its secrets.
//!
//! It is driven after a restart as any other: its copy is followed, and both hosts are observed. It must never start the
//! copy, which would give the guest a different password than the operator's, or none.

use std::sync::mpsc::Sender;
use std::time::Instant as Clock;

use whimbrel_core::{Action, Answer, Command, CommandId, Failure, Fault, Observation, Outcome};

use crate::session::{Message, Port};

/// The answer to the command that starts the copy.
const WHY: &str = "the copy was not started: its definition for the destination contains secrets, which are not on record; \
                   start the migration again with the definition";

/// Passes on every command except the one that starts the copy.
pub(crate) struct Redacted {
    pub(crate) port: Box<dyn Port + Send>,
    pub(crate) inbox: Sender<Message>,
}

impl Port for Redacted {
    fn execute(&mut self, command: Command) {
        if !matches!(command.action, Action::StartMigration) {
            return self.port.execute(command);
        }
        let answer = Answer::CallReturned(Err(Failure::new(Fault::Refused, WHY)));
        let observation = Observation::Answer { to: command.id, answer };
        // Without a receiver the migration has ended.
        let _ = self.inbox.send(Message::Observed { observation, since: Clock::now() });
    }

    fn finish(&mut self, outcome: &Outcome) -> Vec<String> {
        self.port.finish(outcome)
    }

    fn panics(&self) -> Vec<String> {
        self.port.panics()
    }

    fn abandon_call(&mut self, call: CommandId) {
        self.port.abandon_call(call);
    }
}
