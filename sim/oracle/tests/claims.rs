//! Claims about where a guest is, against histories in which they are true or not.

#![cfg(test)]

use whimbrel_oracle::{
    Actor, Claim, CopyId, End, Event, History, HostId, Part, Reason, Seen, SettingId, StorageId, Writes,
    check_claim,
};

const HERE: HostId = HostId(0);
const THERE: HostId = HostId(1);
const OLD: CopyId = CopyId(0);
const NEW: CopyId = CopyId(1);
const LIMIT: SettingId = SettingId(0);

/// A guest that has moved.
fn moved() -> History {
    let mut history = History::new(Writes::WhileRunning);
    let storage = StorageId(0);
    let events = [
        Event::Created { copy: OLD, host: HERE, storage, is_incoming: false },
        Event::Set { copy: OLD, setting: LIMIT, value: 300 },
        Event::Defined { host: HERE },
        Event::Started { copy: OLD, by: Actor::Other },
        Event::Set { copy: OLD, setting: LIMIT, value: 500 },
        Event::Created { copy: NEW, host: THERE, storage, is_incoming: true },
        Event::Stopped { copy: OLD, by: Actor::Hypervisor },
        Event::MemoryReceived { copy: NEW, from: OLD, part: Part::Whole },
        Event::Started { copy: NEW, by: Actor::Hypervisor },
    ];
    for (ms, event) in (0..).zip(events) {
        history.record(ms, event);
    }
    history
}

fn ended(copy: CopyId) -> Event {
    Event::Ended { copy, how: End::Destroyed, by: Actor::Hypervisor }
}

#[test]
fn places_are_compared_with_what_is_there() {
    let mut history = moved();
    let true_of = |history: &History, claim| check_claim(history, claim).is_ok();
    assert!(true_of(&history, Claim::RunsOn(THERE)));
    assert!(!true_of(&history, Claim::StandsOn(THERE)));
    assert!(true_of(&history, Claim::CopyRunsOn(THERE)) && !true_of(&history, Claim::CopyRunsOn(HERE)));
    history.record(20, Event::Stopped { copy: NEW, by: Actor::Guest });
    assert!(true_of(&history, Claim::StandsOn(THERE)));
    assert!(!true_of(&history, Claim::StandsOn(HERE)), "what is left there is older than the storage");
    assert!(!true_of(&history, Claim::NoCopyOn(HERE)));
    history.record(30, ended(OLD));
    assert!(true_of(&history, Claim::NoCopyOn(HERE)));
    assert!(!true_of(&history, Claim::NotDefinedOn(HERE)));
    assert!(!true_of(&history, Claim::Lost));
    history.record(40, ended(NEW));
    for claim in [Claim::Lost, Claim::Nowhere, Claim::OffOn(HERE)] {
        assert!(true_of(&history, claim), "{claim:?}");
    }
    assert!(!true_of(&history, Claim::OffOn(THERE)));
}

#[test]
fn a_copy_that_is_stale_is_not_the_guest() {
    let mut history = moved();
    history.record(20, ended(NEW));
    history.record(30, Event::Started { copy: OLD, by: Actor::Migration });
    assert!(check_claim(&history, Claim::RunsOn(HERE)).is_ok(), "it runs, which the rules forbid");
    history.record(40, Event::Stopped { copy: OLD, by: Actor::Migration });
    assert!(check_claim(&history, Claim::StandsOn(HERE)).is_err());
    assert!(check_claim(&history, Claim::Lost).is_ok());
}

#[test]
fn a_claim_may_be_as_old_as_the_observation_it_rests_on() {
    let mut history = moved();
    history.record(20, ended(OLD));
    history.record(30, Event::Observed { host: HERE, since_ns: 29, seen: Seen::Absent });
    history.record(31, Event::Observed { host: THERE, since_ns: 30, seen: Seen::Running });
    history.record(40, ended(NEW));
    assert!(check_claim(&history, Claim::RunsOn(THERE)).is_ok(), "no observation says otherwise");
    history.record(50, Event::Observed { host: THERE, since_ns: 49, seen: Seen::NoAnswer });
    assert!(check_claim(&history, Claim::RunsOn(THERE)).is_ok(), "a missing answer says nothing");
    history.record(60, Event::Observed { host: THERE, since_ns: 59, seen: Seen::Absent });
    history.record(61, Event::Observed { host: HERE, since_ns: 60, seen: Seen::Absent });
    let violation = check_claim(&history, Claim::RunsOn(THERE)).unwrap_err();
    assert_eq!(violation.reason, Reason::NotTrueSince { since_ns: 59 });
}

#[test]
fn settings_are_compared_with_the_first_ones() {
    let mut history = moved();
    history.record(20, Event::Set { copy: NEW, setting: LIMIT, value: 500 });
    assert!(check_claim(&history, Claim::Restored(LIMIT)).is_err());
    history.record(30, Event::Set { copy: NEW, setting: LIMIT, value: 300 });
    assert!(check_claim(&history, Claim::Restored(LIMIT)).is_ok());
}

#[test]
fn a_doubt_is_justified_unless_the_observations_determined_the_answer() {
    let mut history = moved();
    history.record(20, ended(OLD));
    let observe = |history: &mut History, ms: u64, seen: [Seen; 2]| {
        for (host, seen) in [HERE, THERE].into_iter().zip(seen) {
            history.record(ms, Event::Observed { host, since_ns: ms - 1, seen });
        }
    };
    for ms in [30, 40, 50] {
        assert!(check_claim(&history, Claim::InDoubt).is_ok(), "seen less than three times");
        observe(&mut history, ms, [Seen::Absent, Seen::Running]);
    }
    let violation = check_claim(&history, Claim::InDoubt).unwrap_err();
    assert_eq!(violation.reason, Reason::WasDetermined { host: THERE, since_ns: 29 });
    observe(&mut history, 60, [Seen::NoAnswer, Seen::Running]);
    assert!(check_claim(&history, Claim::InDoubt).is_ok());
}

#[test]
fn what_changed_while_it_was_observed_may_be_in_doubt() {
    let mut history = moved();
    for ms in [30, 40, 50] {
        for (host, seen) in [(HERE, Seen::Absent), (THERE, Seen::Running)] {
            history.record(ms, Event::Observed { host, since_ns: ms - 1, seen });
        }
    }
    // The source's copy was reported absent, and is still there.
    assert!(check_claim(&history, Claim::InDoubt).is_ok());
}
