//! The journal of a migration in the store: its thread waits here until a record is committed, so that the commands
//! that an input causes are given after it is durable. As everything passes here, each command has its span here too: from
//! the moment it is given to its answer.
//!
//! A store that refuses or hangs must never stop a driver: the wait has a bound ([`COMMIT_WAIT`]), and the store's writer
//! keeps what is late.

use std::collections::HashMap;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;
use tracing::Span;
use whimbrel_core::journal::{Record, record_line};
use whimbrel_core::{Command, CommandId, Event, Input, Observation, Output, PhaseName, Spec, View};
use whimbrel_policy::follow::Report;

use super::clock::now_ms;
use super::metrics::Metrics;
use super::projection::{Account, ForecastEvent};
use super::store::{Append, Write};
use whimbrel_drive::acks::{Acks, COMMIT_WAIT};
use whimbrel_drive::{JournalSink, JournalSinkError};

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
    /// Forecasts as they are ready; stored as events with the next record.
    pub(super) forecasts: Receiver<Report>,
}

impl StoreJournal {
    /// The forecasts that are ready: never waited for. One that is ready only after the copy says nothing any more.
    fn ready(&self) -> Vec<Report> {
        let ready: Vec<Report> = self.forecasts.try_iter().collect();
        let account = self.account.lock().unwrap_or_else(PoisonError::into_inner);
        if account.phase == Some(PhaseName::Precopy) { ready } else { Vec::new() }
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
        let forecasts = self.ready();
        let forecast_events =
            forecasts.iter().map(|report| document(&ForecastEvent { forecast: report.clone() }));
        // They were made of earlier events.
        let documents = forecast_events.chain(events.iter().map(|event| document(*event))).collect();
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
        if let Some(last) = forecasts.into_iter().next_back() {
            account.forecast = Some(last);
        }
        for event in events {
            account.take(event);
            self.metrics.on_event(event);
        }
        drop(account);
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
    use whimbrel_core::journal::Record;
    use whimbrel_core::{Event, GuestLocation, Input, Migration, Output, PhaseName};
    use whimbrel_policy::follow::Report;

    use super::super::projection::Account;
    use super::super::store::Write;
    use super::StoreJournal;
    use whimbrel_drive::acks::Acks;
    use whimbrel_drive::{DriveSession, JournalSink, Judge, drive};
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
            // No forecast is ever ready, and nothing waits for one.
            forecasts: channel().1,
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

    /// Appends a record of the copy to a store that commits at once, and returns the documents of its events.
    fn appended(keeper: &mut StoreJournal, events: &[Event]) -> Vec<String> {
        let (writes, mut store) = unbounded_channel();
        keeper.writes = writes;
        let committed = thread::spawn(move || {
            let Some(Write::Append(append, ack)) = store.blocking_recv() else { panic!("no record") };
            ack.send(Ok(())).unwrap();
            append.events
        });
        let migration = Migration::new(quiet().unwrap().1).unwrap();
        let record = Record {
            at_ns: whimbrel_core::Instant::BEGIN,
            input: Input::Timer,
            state_digest: 0,
            snapshot: None,
        };
        let outputs: Vec<Output> = events.iter().cloned().map(Output::Event).collect();
        keeper.append(&record, &outputs, migration.view()).unwrap();
        committed.join().unwrap()
    }

    #[test]
    fn a_record_takes_the_forecasts_that_are_ready_and_waits_for_none() {
        let (ready, forecasts) = channel();
        let account: Arc<Mutex<Account>> = Arc::default();
        let mut keeper = StoreJournal {
            migration: 1,
            writes: unbounded_channel().0,
            account: Arc::clone(&account),
            metrics: Arc::default(),
            commands: HashMap::new(),
            acks: Acks::new(),
            forecasts,
        };
        let copying = Event::Phase(PhaseName::Precopy);
        // One is being made, as its thread lives, and none is ready.
        assert_eq!(appended(&mut keeper, std::slice::from_ref(&copying)).len(), 1);
        ready.send(report()).unwrap();
        let documents = appended(&mut keeper, &[copying]);
        assert_eq!(documents.len(), 2);
        assert!(documents[0].starts_with("{\"forecast\":"), "{documents:?}");
        assert_eq!(account.lock().unwrap().forecast, Some(report()));
        // One that is ready with the end of the copy is stored, and says nothing after it.
        ready.send(report()).unwrap();
        assert_eq!(appended(&mut keeper, &[Event::Phase(PhaseName::SwitchingOver)]).len(), 2);
        assert_eq!(account.lock().unwrap().forecast, None);
        ready.send(report()).unwrap();
        assert_eq!(
            appended(&mut keeper, &[Event::Phase(PhaseName::Completing)]).len(),
            1,
            "it came too late"
        );
        assert_eq!(account.lock().unwrap().forecast, None);
    }

    fn report() -> Report {
        let numbers = serde_json::json!({
            "dirty_rate_bytes_per_second": null, "bandwidth_bytes_per_second": 1, "downtime_limit_ms": 300,
            "left_bytes": null, "remaining_bytes": 7, "passes": 0, "syncs": 0, "is_paused": false,
            "until_deadline_ms": null, "max_downtime_ms": 1000,
        });
        serde_json::from_value(serde_json::json!({
            "at": 1, "verdict": {"kind": "open"}, "why": "", "conclusion": "", "missing": "first_pass",
            "numbers": numbers, "horizon_ms": 1, "as_is": null, "actions": [],
        }))
        .unwrap()
    }
}
