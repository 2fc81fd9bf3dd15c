//! The port against libvirt's built-in test driver, which keeps metadata and cannot migrate.

use std::sync::mpsc::{Receiver, channel};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use whimbrel_core::{Ending, Failure};

use std::time::Duration;

use super::*;
use crate::link::Reached;
use crate::{Description, Installed, Library as _};
use whimbrel_drive::uri::{HostUri, Origin};

const DEFAULT: &str = "test:///default";
const LONG: Duration = Duration::from_mins(1);
const NAMESPACE: &str = "https://whimbrel.dev/xmlns/owner/1";

/// The test driver's host is one for the whole process.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether [`slow`] may open, and who waits for it.
static GATE: (Mutex<bool>, Condvar) = (Mutex::new(true), Condvar::new());

/// A host that accepts connections when the gate is open.
fn slow(_: &Access, _: &HostUri) -> Result<Reached, LibvirtError> {
    let mut open = GATE.0.lock().unwrap();
    while !*open {
        open = GATE.1.wait(open).unwrap();
    }
    Ok(Reached { connection: Installed.open(DEFAULT)?, host: None })
}

fn set_gate(open: bool) {
    *GATE.0.lock().unwrap() = open;
    GATE.1.notify_all();
}

fn test_guest() -> Domain {
    Installed.open(DEFAULT).unwrap().lookup("test").unwrap()
}

fn owner(name: &str) -> Owner {
    Owner::of_journal(name.as_ref(), 5)
}

fn port(owner: Owner, replace_owner: Option<String>) -> (LibvirtPort, Receiver<Message>) {
    let (inbox, answers) = channel();
    let uri = || HostUri::parse(DEFAULT, Origin::Operator).unwrap();
    let route = Route {
        no_probe: true,
        uuid: Some(test_guest().uuid().unwrap()),
        replace_owner,
        ..Route::of(&whimbrel_core::Spec::new("test", DEFAULT, DEFAULT))
    };
    let access = Access::default();
    let link = |side| Link::new(access.clone(), uri(), side, "test").opened_by(slow);
    let assignment = Assignment { route, known: None, owner };
    let links = [link(Side::Source), link(Side::Destination)];
    (LibvirtPort::over(&access, assignment, links, inbox), answers)
}

fn call_answer(answers: &Receiver<Message>) -> Failure {
    match answers.recv_timeout(LONG).unwrap() {
        Message::Observed {
            observation: Observation::Answer { answer: Answer::CallReturned(Err(failure)), .. },
            ..
        } => failure,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_call_that_was_abandoned_while_it_connected_is_not_made_and_a_later_one_is() {
    let _alone = alone();
    set_gate(false);
    let (mut port, answers) = port(owner("a"), None);
    let resume = |id| Command { id: CommandId(id), action: Action::ResumePostcopy };
    port.execute(resume(1));
    port.abandon_call(CommandId(1));
    set_gate(true);
    let failure = call_answer(&answers);
    assert!(failure.message.contains("was not made"), "{failure:?}");
    // The test driver refuses to migrate, in its own words: the call was made.
    port.execute(resume(2));
    let failure = call_answer(&answers);
    assert!(!failure.message.contains("was not made"), "{failure:?}");
    // A port that is gone makes no call either: it is refused, or not begun at all.
    set_gate(false);
    port.execute(resume(3));
    drop(port);
    set_gate(true);
    while let Ok(message) = answers.recv_timeout(LONG) {
        assert!(format!("{message:?}").contains("was not made"), "{message:?}");
    }
}

#[test]
fn one_driver_claims_a_guest_and_the_other_is_refused_with_its_name() {
    let _alone = alone();
    let guest = test_guest();
    let tag = || guest.metadata(NAMESPACE, Description::Live).unwrap();
    let ports = [owner("first"), owner("second")].map(|owner| port(owner, None).0);
    let [first, second] = &ports;
    assert_eq!(tag(), None);
    first.hosts.claim_guest(&guest).unwrap();
    // The same migration again, as after a restart.
    port(owner("first"), None).0.hosts.claim_guest(&guest).unwrap();
    let written = tag();
    for refused in [second.hosts.claim_guest(&guest), second.hosts.refuse_if_owned(Side::Source, &guest)] {
        let failure = refused.unwrap_err();
        assert!(failure.message.contains("first@5"), "{failure:?}");
    }
    let act = second.hosts.unless_owned(Side::Source, || -> Result<(), Failure> { panic!("it acted") });
    assert!(act.is_err());
    assert_eq!(tag(), written, "nothing was changed");

    // Only the one that is named is replaced.
    assert!(port(owner("third"), Some("other@5".to_owned())).0.hosts.claim_guest(&guest).is_err());
    let (third, _) = port(owner("third"), Some("first@5".to_owned()));
    third.hosts.claim_guest(&guest).unwrap();
    assert!(first.hosts.refuse_if_owned(Side::Source, &guest).is_err(), "its driver notices");
    // A driver removes its own tag alone.
    let outcome = outcome(Ending::Failed);
    assert_eq!(first.hosts.release_guest(&outcome), Vec::<String>::new());
    assert!(tag().is_some());
    let doubt = outcome_in_doubt();
    // A host that is connected would be reached.
    assert!(third.hosts.link(Side::Source).connection().is_ok());
    assert_eq!(third.hosts.release_guest(&doubt), Vec::<String>::new());
    assert!(tag().is_some(), "it stays where the outcome is in doubt");
    assert_eq!(third.hosts.release_guest(&outcome), Vec::<String>::new());
    assert_eq!(tag(), None);
}

fn outcome_in_doubt() -> Outcome {
    Outcome {
        ending: Ending::InDoubt,
        guest: whimbrel_core::GuestLocation::Unknown,
        ..outcome(Ending::Failed)
    }
}

fn outcome(ending: Ending) -> Outcome {
    Outcome {
        ending,
        guest: whimbrel_core::GuestLocation::SourceRunning,
        cause: None,
        advice: whimbrel_core::Advice::Nothing,
        failure: None,
        unsettled: None,
        recovered: Vec::new(),
        not_undone: Vec::new(),
        disks_left: Vec::new(),
        total_ms: 0,
        downtime_ms: None,
        hypervisor_downtime_ms: None,
    }
}
