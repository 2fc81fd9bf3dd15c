//! The one loop around a [`Migration`]: an input is handled and recorded, and then its outputs are routed.
//!
//! Simulations and executors drive with it, so the order of effects is defined in one place. A driver
//! waits for the next input, passes it to [`Pump::feed`], and executes what reaches its [`Sink`]:
//!
//! ```text
//!  input ─▶ handle ─▶ end reported, once ─▶ record ─▶ call abandoned ─▶ events and commands, in order
//! ```
//!
//! The rules are no exception: [`Action::EvaluateRules`](crate::port::Action::EvaluateRules) is a command like any
//! other, and the owner of the rules answers it by its id, at once or later. An answer that is known at once must be
//! kept until
//! `feed` has returned: the sink is lent to the pump, and cannot feed it.
//!
//! The pump must never wait, read a clock, perform IO, or answer a command itself. It decides nothing: what is done is
//! the machine's business, and how it is done the sink's.

use alloc::vec::Vec;

use crate::event::Event;
use crate::journal::Record;
use crate::migration::{Input, Migration, Misuse, Output, View};
use crate::outcome::Outcome;
use crate::port::{Command, CommandId};
use crate::time::Instant;

/// The receiver of a migration's outputs. Nothing here can be refused: a sink that cannot do something
/// answers the command with the failure, or keeps the error for its owner.
pub trait Sink {
    /// Whether [`record`](Self::record) is to be called. A record costs a copy of its input: one that is not kept need
    /// not be made.
    fn keeps_records(&self) -> bool {
        true
    }

    /// The migration has ended: called once, with the input that ended it, and before the record of that input. What
    /// marks the guest as being migrated can be removed before its end is on record.
    fn ended(&mut self, outcome: &Outcome) {
        let _ = outcome;
    }

    /// An input was taken, with these outputs. Called before the commands are given, so a journal is ahead of what is
    /// done; and also for an input that is a [`Misuse`], without outputs, because it is the one that a report of the
    /// bug needs.
    fn record(&mut self, record: Record, outputs: &[Output], view: View<'_>);

    /// The answer of this call is not awaited any more: if it has not been made yet, it must not be made. One that was
    /// made goes on. Called before new commands are given, since one of them may be a later call; for a call that was
    /// answered as well.
    fn abandon_call(&mut self, call: CommandId);

    /// An event to show. A sink that takes the events from the records need not implement this.
    fn event(&mut self, now: Instant, event: Event, view: View<'_>) {
        let _ = (now, event, view);
    }

    /// A command to execute, and to answer by its id: [`Answer`](crate::port::Answer).
    fn command(&mut self, command: Command);
}

/// A migration that is being driven.
#[derive(Clone, Debug)]
pub struct Pump {
    migration: Migration,
    has_reported_end: bool,
    /// Empty between two inputs; kept for its room.
    outputs: Vec<Output>,
}

impl Pump {
    /// Drives a migration from its present state. If it has ended already, the end is reported with the next input.
    #[must_use]
    pub const fn new(migration: Migration) -> Self {
        Self { migration, has_reported_end: false, outputs: Vec::new() }
    }

    /// The machine.
    #[must_use]
    pub const fn migration(&self) -> &Migration {
        &self.migration
    }

    /// The machine, as it was left.
    #[must_use]
    pub fn into_migration(self) -> Migration {
        self.migration
    }

    /// Gives one input to the machine and its outputs to the sink; returns how many commands there were.
    ///
    /// # Errors
    /// [`Misuse`] when the driver broke the protocol. The input was recorded then, and nothing else was done.
    pub fn feed(&mut self, now: Instant, input: Input, sink: &mut impl Sink) -> Result<usize, Misuse> {
        let call = self.migration.awaited_call();
        let recorded = sink.keeps_records().then(|| input.clone());
        let taken = self.migration.handle(now, input).map(|outputs| self.outputs.extend(outputs));
        if !self.has_reported_end
            && let Some(outcome) = self.migration.view().outcome
        {
            self.has_reported_end = true;
            sink.ended(outcome);
        }
        if let Some(input) = recorded {
            let record = Record::of(&self.migration, now, input);
            sink.record(record, &self.outputs, self.migration.view());
        }
        taken?;
        let awaited = self.migration.awaited_call();
        if let Some(call) = call.filter(|call| awaited != Some(*call)) {
            sink.abandon_call(call);
        }
        let mut commands = 0;
        for output in self.outputs.drain(..) {
            match output {
                Output::Event(event) => sink.event(now, event, self.migration.view()),
                Output::Command(command) => {
                    commands += 1;
                    sink.command(command);
                }
            }
        }
        Ok(commands)
    }

    /// The driver leaves, and feeds nothing more. A call that has not been made yet is not made: no migration may
    /// start because its driver leaves.
    pub fn leave(&self, sink: &mut impl Sink) {
        if let Some(call) = self.migration.awaited_call() {
            sink.abandon_call(call);
        }
    }
}
