//! The port of a migration whose definition for the destination is on record without its secrets.
//!
//! It is driven on after a restart as any other: its copy is watched, and both hosts are observed. What it must never
//! do is begin the copy, which would give the guest another password than the operator said, or none.

use std::sync::mpsc::Sender;
use std::time::Instant as Clock;

use whimbrel_core::{Action, Answer, Command, CommandId, Failure, Fault, Observation, Outcome};

use crate::session::{Message, Port};

/// What is answered to the command that begins the copy.
const WHY: &str = "the copy was not begun: its definition for the destination holds secrets, which are not on record; \
                   begin the migration again with the definition";

/// Passes every command on but the one that begins the copy.
pub(crate) struct Redacted {
    pub(crate) port: Box<dyn Port + Send>,
    pub(crate) inbox: Sender<Message>,
}

impl Port for Redacted {
    fn carry_out(&mut self, command: Command) {
        if !matches!(command.action, Action::StartMigration) {
            return self.port.carry_out(command);
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
