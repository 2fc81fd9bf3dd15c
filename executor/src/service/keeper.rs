//! The journal of a migration in the store: its thread waits here until a record is committed, so that the commands
//! that an input causes are given after it is durable. As everything passes here, each command has its span here too: from
//! the moment it is given to its answer.

use std::collections::HashMap;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc::UnboundedSender;
use tracing::Span;
use whimbrel_core::journal::{Record, record_line};
use whimbrel_core::{Command, CommandId, Event, Input, Observation, Output, Spec, View};

use super::account::Account;
use super::clock::now_ms;
use super::metrics::Metrics;
use super::store::{Append, Write};
use crate::drive::{Keep, KeepError};

/// Keeps one migration's records, and its account up to date.
#[derive(Debug)]
pub(super) struct Keeper {
    pub(super) migration: i64,
    pub(super) writes: UnboundedSender<Write>,
    pub(super) account: Arc<Mutex<Account>>,
    pub(super) metrics: Arc<Metrics>,
    /// Commands that were not answered yet. What never is ends with the migration.
    pub(super) commands: HashMap<CommandId, Span>,
}

impl Keep for Keeper {
    /// What was asked for is in the store before a migration is driven.
    fn begin(&mut self, _: &Spec) -> Result<(), KeepError> {
        Ok(())
    }

    fn append(&mut self, record: &Record, outputs: &[Output], view: View<'_>) -> Result<(), KeepError> {
        let events: Vec<&Event> = outputs
            .iter()
            .filter_map(|output| match output {
                Output::Event(event) => Some(event),
                Output::Command(_) => None,
            })
            .collect();
        if let Input::Hypervisor(Observation::Answer { to, .. }) = &record.input {
            self.commands.remove(to);
        }
        let ended = events.iter().any(|event| matches!(event, Event::Ended(_)));
        let end = view.outcome.filter(|_| ended).map(|outcome| (now_ms(), document(outcome)));
        let append = Append {
            migration: self.migration,
            line: record_line(record),
            at_ns: i64::try_from(record.at_ns.as_ns()).unwrap_or(i64::MAX),
            events: events.iter().map(document).collect(),
            end,
        };
        let (reply, written) = sync_channel(1);
        let stopped = || KeepError::Store("the writer has stopped".to_owned());
        self.writes.send(Write::Append(append, reply)).map_err(|_| stopped())?;
        written.recv().map_err(|_| stopped())?.map_err(KeepError::Store)?;
        let mut account = self.account.lock().unwrap_or_else(PoisonError::into_inner);
        for event in events {
            account.take(event);
            self.metrics.saw(event);
        }
        for output in outputs {
            if let Output::Command(command) = output {
                self.commands.insert(command.id, span(command));
            }
        }
        Ok(())
    }

    /// Each record was waited for.
    fn finish(&mut self) -> Result<(), KeepError> {
        Ok(())
    }
}

/// The span of a command, inside that of its migration. What a command holds may be long: its name tells it.
fn span(command: &Command) -> Span {
    let whole = format!("{:?}", command.action);
    let name = whole.split(['(', ' ']).next().unwrap_or_default();
    tracing::debug_span!("command", id = command.id.0, action = name)
}

/// What the core's types hold are numbers, strings, lists and maps with string keys: writing them cannot fail.
fn document(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}
