//! Driving when its journal fails, and when it panics.

#![cfg(test)]

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use whimbrel_core::journal::{self, Record, header_line, record_line};
use whimbrel_core::{
    Action, Cause, Command, CommandId, Ending, GuestLocation, Outcome, Output, Request, Spec, Verdict, View,
};

use whimbrel_drive::{DriveSession, Driven, JournalSink, JournalSinkError, Judge, Message, Port, drive};
use whimbrel_simulated::fixtures::{NoJournal, assigned, quiet};

/// Keeps every record but one, in memory.
struct Failing {
    fails_at: Option<usize>,
    lines: Arc<Mutex<Vec<String>>>,
    finished: Arc<Mutex<usize>>,
}

impl JournalSink for Failing {
    fn begin(&mut self, _: &Spec) -> Result<(), JournalSinkError> {
        Ok(())
    }

    fn append(&mut self, record: &Record, _: &[Output], _: View<'_>) -> Result<(), JournalSinkError> {
        let mut lines = self.lines.lock().unwrap();
        lines.push(record_line(record));
        if self.fails_at == Some(lines.len()) {
            return Err(JournalSinkError::Store("full".to_owned()));
        }
        Ok(())
    }

    fn settle(&mut self, _: Duration) -> Result<bool, JournalSinkError> {
        Ok(true)
    }

    fn finish(&mut self) -> Result<(), JournalSinkError> {
        *self.finished.lock().unwrap() += 1;
        Ok(())
    }
}

fn driven(keep: Failing) -> Driven {
    let (hosts, spec, route) = quiet().unwrap();
    let (inbox, messages) = channel();
    let judge = Judge::allow_all(inbox.clone());
    let mut port = hosts.port(assigned(route), inbox).unwrap();
    let session = DriveSession::begin(spec).unwrap();
    drive(session, &mut *port, &messages, Box::new(keep), judge, None).unwrap()
}

#[test]
fn a_journal_that_fails_at_any_record_is_given_every_record_and_the_migration_reaches_its_end() {
    let mut fails_at = 1;
    let mut ended_well = 0;
    loop {
        let (lines, finished) = (Arc::default(), Arc::default());
        let keep =
            Failing { fails_at: Some(fails_at), lines: Arc::clone(&lines), finished: Arc::clone(&finished) };
        let driven = driven(keep);
        let outcome = driven.outcome.unwrap();
        // A copy whose beginning would not be on record is not begun.
        let stays = (outcome.ending, outcome.guest) == (Ending::Failed, GuestLocation::SourceRunning);
        assert!(!stays || ended_well == 0, "record {fails_at} comes after the beginning of the copy");
        if !stays {
            assert_eq!(
                (outcome.ending, outcome.guest),
                (Ending::Completed, GuestLocation::DestinationRunning)
            );
            ended_well += 1;
        }
        assert_eq!(*finished.lock().unwrap(), 1);
        let lines = lines.lock().unwrap();
        assert_eq!(driven.journal_error.is_some(), lines.len() >= fails_at, "record {fails_at}");
        let text = header_line(driven.migration.view().spec, None) + "\n" + &lines.join("\n") + "\n";
        let replayed = journal::replay(&text, |_, _, _| ()).unwrap();
        assert_eq!(replayed.migration.view().outcome, Some(&outcome), "no record was held back");
        if lines.len() < fails_at {
            break;
        }
        fails_at += 1;
    }
    assert!(fails_at - ended_well > 2, "there are records before the copy begins");
    assert!(ended_well > 5, "and more after it");
}

/// Keeps records that become durable when the test says so, or never.
struct Slow {
    kept: Receiver<Result<(), ()>>,
    state: Result<bool, ()>,
    asked: Sender<()>,
}

impl JournalSink for Slow {
    fn begin(&mut self, _: &Spec) -> Result<(), JournalSinkError> {
        Ok(())
    }

    fn append(&mut self, _: &Record, _: &[Output], _: View<'_>) -> Result<(), JournalSinkError> {
        Ok(())
    }

    fn settle(&mut self, _: Duration) -> Result<bool, JournalSinkError> {
        let _ = self.asked.send(());
        if let Ok(said) = self.kept.try_recv() {
            self.state = said.map(|()| true);
        }
        self.state.map_err(|()| JournalSinkError::Store("full".to_owned()))
    }

    fn finish(&mut self) -> Result<(), JournalSinkError> {
        Ok(())
    }
}

/// Counts the migrate calls that reach a port.
struct Counted {
    port: Box<dyn Port>,
    calls: Arc<Mutex<usize>>,
}

impl Port for Counted {
    fn execute(&mut self, command: Command) {
        if command.action == Action::StartMigration {
            *self.calls.lock().unwrap() += 1;
        }
        self.port.execute(command);
    }

    fn abandon_call(&mut self, call: CommandId) {
        self.port.abandon_call(call);
    }

    fn finish(&mut self, outcome: &Outcome) -> Vec<String> {
        self.port.finish(outcome)
    }
}

/// A driver that is started later must know of the call: no migration begins before its record is durable.
#[test]
fn a_migration_begins_when_its_record_is_durable_and_not_before() {
    for said in [Ok(()), Err(())] {
        let (hosts, spec, route) = quiet().unwrap();
        let (inbox, messages) = channel();
        let calls = Arc::default();
        let counted = Arc::clone(&calls);
        let (say, kept) = channel();
        let (asked, is_asked) = channel();
        let driving = thread::spawn(move || {
            let judge = Judge::allow_all(inbox.clone());
            let port = hosts.port(assigned(route), inbox).unwrap();
            let mut port = Counted { port, calls: counted };
            let keep = Box::new(Slow { kept, state: Ok(false), asked });
            let session = DriveSession::begin(spec).unwrap();
            drive(session, &mut port, &messages, keep, judge, None).unwrap()
        });
        // More than once: it waits for the record again and again.
        for _ in 0..3 {
            is_asked.recv().unwrap();
        }
        assert_eq!(*calls.lock().unwrap(), 0);
        say.send(said).unwrap();
        let outcome = driving.join().unwrap().outcome.unwrap();
        let began = usize::from(said.is_ok());
        assert_eq!(*calls.lock().unwrap(), began);
        if said.is_ok() {
            assert_eq!(outcome.ending, Ending::Completed);
        } else {
            assert_eq!((outcome.ending, outcome.guest), (Ending::Failed, GuestLocation::SourceRunning));
            assert!(outcome.failure.unwrap().message.contains("was not started"));
        }
    }
}

/// Neither the queries of the hosts nor the rules keep the loop from a cancel.
#[test]
fn a_cancel_is_answered_while_the_rules_are_evaluated() {
    let (hosts, spec, route) = quiet().unwrap();
    let (inbox, messages) = channel();
    let operator = inbox.clone();
    let (release, held) = channel::<()>();
    // The rules ask for nothing, and the operator cancels as soon as they have begun. Their verdict comes after the end.
    let judge = Judge::new(inbox.clone(), move |_| {
        operator.send(Message::Request(Request::Cancel)).unwrap();
        held.recv().unwrap_err();
        Verdict::default()
    });
    let mut port = hosts.port(assigned(route), inbox).unwrap();
    let session = DriveSession::begin(spec).unwrap();
    let driven = drive(session, &mut *port, &messages, Box::new(NoJournal), judge, None).unwrap();
    let outcome = driven.outcome.unwrap();
    assert_eq!((outcome.ending, outcome.guest), (Ending::Cancelled, GuestLocation::Untouched));
    drop(release);
}

#[test]
fn rules_that_panic_refuse_the_migration() {
    let (hosts, spec, route) = quiet().unwrap();
    let (inbox, messages) = channel();
    let judge = Judge::new(inbox.clone(), |_| panic!("planted in a rule"));
    let mut port = hosts.port(assigned(route), inbox).unwrap();
    let session = DriveSession::begin(spec).unwrap();
    let driven = drive(session, &mut *port, &messages, Box::new(NoJournal), judge, None).unwrap();
    let outcome = driven.outcome.unwrap();
    assert_eq!((outcome.cause, outcome.guest), (Some(Cause::RulesRefused), GuestLocation::Untouched));
}
