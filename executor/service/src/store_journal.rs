//! The journal of a migration in the store: its thread waits here until a record is committed, so that the commands
//! that an input causes are given after it is durable. As everything passes here, each command has its span here too: from
//! the moment it is given to its answer.
//!
//! A store that refuses or hangs must never stop a driver: the wait has a bound ([`COMMIT_WAIT`]), and the store's writer
//! keeps what is late.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;
use tracing::Span;
use whimbrel_core::journal::{Record, record_line};
use whimbrel_core::{Command, CommandId, Event, Input, Instant, Observation, Output, Spec, View};
use whimbrel_policy::follow::{Follower, Report};

use super::clock::now_ms;
use super::lessons::Lessons;
use super::metrics::Metrics;
use super::projection::{Account, ForecastEvent};
use super::store::{Append, Write};
use whimbrel_drive::acks::{Acks, COMMIT_WAIT};
use whimbrel_drive::{JournalSink, JournalSinkError, panics};

/// Keeps one migration's records, and its account up to date.
#[derive(Debug)]
pub(super) struct StoreJournal {
    pub(super) migration: i64,
    pub(super) writes: UnboundedSender<Write>,
    pub(super) account: Arc<Mutex<Account>>,
    pub(super) metrics: Arc<Metrics>,
    /// Commands without an answer yet. Unanswered ones end with the migration.
    pub(super) commands: HashMap<CommandId, Span>,
    pub(super) acks: Acks<String>,
    /// Makes the forecasts; none after it had a defect.
    pub(super) follower: Option<Follower>,
    /// Takes the evidence of the migration when it has completed.
    pub(super) lessons: Lessons,
}

impl StoreJournal {
    /// Documents of these events, each followed by the forecast that was made with it; and the last of those. A defect
    /// in a forecast must not stop a driver.
    fn documents(&mut self, at: Instant, events: &[&Event], view: View<'_>) -> (Vec<String>, Option<Report>) {
        let (mut documents, mut last) = (Vec::new(), None);
        for event in events {
            documents.push(document(event));
            let Some(follower) = &mut self.follower else { continue };
            match catch_unwind(AssertUnwindSafe(|| follower.take(at, event, view))) {
                Ok(None) => {}
                Ok(Some(report)) => {
                    documents.push(document(&ForecastEvent { forecast: report.clone() }));
                    last = Some(report);
                }
                Err(panic) => {
                    tracing::error!(
                        panic = panics::text(&*panic),
                        "the forecast has a defect: the migration goes on without it"
                    );
                    self.follower = None;
                }
            }
        }
        (documents, last)
    }
}

impl JournalSink for StoreJournal {
    /// The request is in the store before the migration is driven.
    fn begin(&mut self, _: &Spec) -> Result<(), JournalSinkError> {
        Ok(())
    }

    fn append(
        &mut self,
        record: &Record,
        outputs: &[Output],
        view: View<'_>,
    ) -> Result<(), JournalSinkError> {
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
        let (documents, forecast) = self.documents(record.at_ns, &events, view);
        let append = Append {
            migration: self.migration,
            line: record_line(record),
            at_ns: i64::try_from(record.at_ns.as_ns()).unwrap_or(i64::MAX),
            events: documents,
            end,
        };
        // A missing acknowledgement reveals that the writer has stopped.
        let send = |ack| drop(self.writes.send(Write::Append(append, ack)));
        let kept = self.acks.hand_over(COMMIT_WAIT, send);
        let mut account = self.account.lock().unwrap_or_else(PoisonError::into_inner);
        for event in events {
            account.take(event);
            self.metrics.on_event(event);
        }
        if forecast.is_some() {
            account.forecast = forecast;
        }
        drop(account);
        if let Some(lesson) = self.follower.as_ref().filter(|_| ended).and_then(Follower::lesson) {
            self.lessons.learn(&view.spec.source, &view.spec.destination, lesson);
        }
        for output in outputs {
            if let Output::Command(command) = output {
                self.commands.insert(command.id, span(command));
            }
        }
        kept.unwrap_or_else(|_| stopped()).map_err(JournalSinkError::Store)
    }

    fn settle(&mut self, bound: Duration) -> Result<bool, JournalSinkError> {
        let settled = self.acks.finish(Some(bound));
        let (are_durable, said) = settled.unwrap_or_else(|_| (false, stopped()));
        said.map_err(JournalSinkError::Store)?;
        Ok(are_durable)
    }

    /// Waits for as long as the store takes: the migration has ended, and only the store's writer knows its end.
    fn finish(&mut self) -> Result<(), JournalSinkError> {
        let finished = self.acks.finish(None).map(|(_, result)| result);
        finished.unwrap_or_else(|_| stopped()).map_err(JournalSinkError::Store)
    }
}

fn stopped() -> Result<(), String> {
    Err("its writer has stopped".to_owned())
}

/// The span of a command, inside that of its migration. Only its name is logged: its content may be long.
fn span(command: &Command) -> Span {
    let whole = format!("{:?}", command.action);
    let name = whole.split(['(', ' ']).next().unwrap_or_default();
    tracing::debug_span!("command", id = command.id.0, action = name)
}

/// What the core's types hold are numbers, strings, lists and maps with string keys: writing them cannot fail.
fn document(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::mpsc::channel;
    use std::sync::{Arc, Mutex};
    use std::thread;
    use std::time::{Duration, Instant};

    use tokio::sync::mpsc::unbounded_channel;
    use whimbrel_core::GuestLocation;
    use whimbrel_policy::follow::Follower;

    use super::super::lessons::Lessons;
    use super::super::projection::Account;
    use super::super::store::Write;
    use super::StoreJournal;
    use whimbrel_drive::acks::Acks;
    use whimbrel_drive::{DriveSession, Judge, drive};
    use whimbrel_simulated::fixtures::{assigned, quiet};

    #[test]
    fn a_store_that_hangs_does_not_keep_a_migration_from_its_end() {
        let (writes, mut hung) = unbounded_channel();
        let account: Arc<Mutex<Account>> = Arc::default();
        let keeper = StoreJournal {
            migration: 1,
            writes,
            account: Arc::clone(&account),
            metrics: Arc::default(),
            commands: HashMap::new(),
            acks: Acks::new(),
            follower: Some(Follower::default()),
            lessons: Lessons::default(),
        };
        let thread = thread::spawn(|| {
            let (hosts, spec, route) = quiet().unwrap();
            let (inbox, messages) = channel();
            let judge = Judge::allow_all(inbox.clone());
            let mut port = hosts.port(assigned(route), inbox).unwrap();
            let session = DriveSession::begin(spec).unwrap();
            drive(session, &mut *port, &messages, Box::new(keeper), judge, None).unwrap()
        });
        // No copy begins before its record is durable.
        loop {
            let Some(Write::Append(append, ack)) = hung.blocking_recv() else { panic!("the driver goes on") };
            ack.send(Ok(())).unwrap();
            if append.line.contains("\"call_made\":true") {
                break;
            }
        }
        // From here on nothing is taken out of this channel, as by a writer whose disk does not return.
        let patience = Instant::now() + Duration::from_mins(2);
        let outcome = loop {
            if let Some(outcome) = account.lock().unwrap().outcome.clone() {
                break outcome;
            }
            assert!(Instant::now() < patience, "the driver waits for the store");
            thread::sleep(Duration::from_millis(5));
        };
        assert_eq!(outcome.guest, GuestLocation::DestinationRunning);
        assert!(!thread.is_finished(), "its end is not in the store yet");
        let mut records = 0;
        while let Ok(write) = hung.try_recv() {
            let Write::Append(append, ack) = write else { continue };
            records += 1;
            assert_eq!(append.end.is_some(), hung.is_empty(), "the end is the last");
            ack.send(Ok(())).unwrap();
        }
        let driven = thread.join().unwrap();
        assert!(records > 5 && driven.journal_error.is_none());
    }
}
