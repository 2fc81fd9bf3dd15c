//! What the loop says to its port beside commands: which call is not awaited any more, and that the migration has ended.

#![cfg(test)]

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use whimbrel_core::convergence::Statistics;
use whimbrel_core::port::{JobReport, JobState, Settings};
use whimbrel_core::{CopyState, Failure, Fault, GuestFacts, GuestRun, HostFacts, Side};

use std::time::Instant as Clock;
use whimbrel_core::journal::Record;
use whimbrel_core::{Action, Answer, Command, CommandId, Facts, Observation, Outcome, Output, Request, Spec};
use whimbrel_drive::{
    CallPermits, DriveSession, Driven, JournalSink, JournalSinkError, Judge, Message, Port, Withdrawn, drive,
};

/// A journal that is not read.
struct Nowhere;

impl JournalSink for Nowhere {
    fn begin(&mut self, _: &Spec) -> Result<(), JournalSinkError> {
        Ok(())
    }

    fn append(
        &mut self,
        _: &Record,
        _: &[Output],
        _: whimbrel_core::View<'_>,
    ) -> Result<(), JournalSinkError> {
        Ok(())
    }

    fn settle(&mut self, _: Duration) -> Result<bool, JournalSinkError> {
        Ok(true)
    }

    fn finish(&mut self) -> Result<(), JournalSinkError> {
        Ok(())
    }
}

fn kept_nowhere() -> Box<dyn JournalSink> {
    Box::new(Nowhere)
}

/// Far more than any of this takes; only a hang reaches it.
const LONG: Duration = Duration::from_mins(1);

/// A port whose migrate call takes until `release` is heard to be prepared, as one that waits for a connection. Everything
/// else is answered at once: the guest runs on the source, and no job works on it.
struct Slow {
    inbox: Sender<Message>,
    permits: CallPermits,
    /// Taken by the first call.
    release: Option<Receiver<()>>,
    /// Which calls came to the moment at which they are made, and whether they were.
    calls: Sender<(CommandId, bool)>,
    log: Sender<String>,
}

impl Slow {
    fn call(&mut self, id: CommandId) {
        let (permit, calls) = (self.permits.issue(id), self.calls.clone());
        let release = self.release.take();
        thread::spawn(move || {
            if let Some(release) = release {
                release.recv_timeout(LONG).unwrap();
            }
            // One that is made is not answered: it lasts.
            let _ = calls.send((id, permit.check().is_ok()));
        });
        let _ = self.log.send("call commanded".to_owned());
    }
}

impl Port for Slow {
    fn execute(&mut self, command: Command) {
        let refused = || Failure::new(Fault::Refused, "no migration works on the guest");
        let answer = match command.action {
            Action::StartMigration | Action::ResumePostcopy => return self.call(command.id),
            Action::CollectFacts => Answer::Facts(Ok(Box::new(facts()))),
            Action::ReadSettings => Answer::Settings(Ok(Settings {
                downtime_limit_ms: 300,
                bandwidth_limit_bytes_per_second: 1 << 30,
            })),
            Action::PollJob => {
                Answer::Job(Ok(JobReport { state: JobState::None, statistics: Statistics::default() }))
            }
            Action::AbortMigration => Answer::Abort(Err(refused())),
            Action::Observe(Side::Source) => Answer::Copy(CopyState::Running),
            Action::Observe(Side::Destination) => Answer::Copy(CopyState::Absent),
            _ => return,
        };
        let observation = Observation::Answer { to: command.id, answer };
        let _ = self.inbox.send(Message::Observed { observation, since: Clock::now() });
    }

    fn abandon_call(&mut self, call: CommandId) {
        self.permits.withdraw(call, Withdrawn::GivenUp);
        let _ = self.log.send("call abandoned".to_owned());
    }

    fn finish(&mut self, outcome: &Outcome) -> Vec<String> {
        let _ = self.log.send("finished".to_owned());
        vec![format!("ended {:?}", outcome.ending)]
    }
}

fn facts() -> Facts {
    let host = |name: &str| HostFacts {
        uri: format!("test://{name}"),
        hostname: name.to_owned(),
        host_uuid: String::new(),
        hypervisor: "TEST".to_owned(),
        architecture: "x86_64".to_owned(),
        library_version: 9_000_000,
        hypervisor_version: 7_002_000,
        free_memory_bytes: None,
        has_guest: None,
    };
    Facts {
        guest: GuestFacts {
            name: "web".to_owned(),
            uuid: "u".to_owned(),
            run: GuestRun::Running,
            persistent: true,
            memory_bytes: 1 << 30,
            job_active: false,
        },
        source: host("alpha"),
        destination: host("beta"),
        disks_to_make: Vec::new(),
    }
}

struct Run {
    inbox: Sender<Message>,
    release: Sender<()>,
    calls: Receiver<(CommandId, bool)>,
    log: Receiver<String>,
    driving: thread::JoinHandle<(Driven, Slow)>,
}

/// A migration that is driven until its call is being prepared.
fn begin() -> Run {
    let (inbox, messages) = channel();
    let (release, held) = channel();
    let (calls, made) = channel();
    let (said, log) = channel();
    let mut port =
        Slow { inbox: inbox.clone(), permits: CallPermits::default(), release: Some(held), calls, log: said };
    let judge = Judge::allow_all(inbox.clone());
    let mut spec = Spec::new("web", "test://alpha", "test://beta");
    spec.resolve_timeout_ms = 1_000;
    let driving = thread::spawn(move || {
        let session = DriveSession::begin(spec).unwrap();
        let driven = drive(session, &mut port, &messages, kept_nowhere(), judge, None).unwrap();
        (driven, port)
    });
    assert_eq!(log.recv_timeout(LONG).unwrap(), "call commanded");
    Run { inbox, release, calls: made, log, driving }
}

#[test]
fn a_call_that_was_given_up_is_not_made_when_its_connection_comes_at_last() {
    let run = begin();
    // The cancel finds no job, so the call is given up and both hosts are observed: it was never made.
    run.inbox.send(Message::Request(Request::Cancel)).unwrap();
    let (driven, port) = run.driving.join().unwrap();
    assert!(driven.outcome.is_some());
    // The port is still there: what keeps the call from being made is that it was given up.
    run.release.send(()).unwrap();
    let (_, is_made) = run.calls.recv_timeout(LONG).unwrap();
    assert!(!is_made, "the migrate call was made after it was given up");
    drop(port);
    let said: Vec<_> = run.log.iter().collect();
    assert_eq!(said, ["call abandoned", "finished"]);
    assert_eq!(driven.remarks, [format!("ended {:?}", driven.outcome.unwrap().ending)]);
}

#[test]
fn an_operator_who_leaves_before_the_call_was_made_starts_no_migration() {
    let run = begin();
    run.inbox.send(Message::Leave).unwrap();
    let (driven, port) = run.driving.join().unwrap();
    assert!(driven.outcome.is_none());
    run.release.send(()).unwrap();
    let (_, is_made) = run.calls.recv_timeout(LONG).unwrap();
    assert!(!is_made, "leaving started a migration");
    drop(port);
    // It has not ended: whatever marks the guest as being migrated stays, for the driver that adopts the migration.
    assert_eq!(run.log.iter().collect::<Vec<_>>(), ["call abandoned"]);
}

#[test]
fn a_call_that_is_awaited_is_made() {
    let run = begin();
    run.release.send(()).unwrap();
    let (_, is_made) = run.calls.recv_timeout(LONG).unwrap();
    assert!(is_made);
    run.inbox.send(Message::Leave).unwrap();
    run.driving.join().unwrap();
}
