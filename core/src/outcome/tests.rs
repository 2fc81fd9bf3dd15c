//! What belongs to an outcome of which kind.

use super::*;

fn moved() -> serde_json::Value {
    serde_json::json!({
        "ending": "completed", "guest": "destination_running", "cause": null, "failure": null,
        "unsettled": null, "recovered": [], "not_undone": [], "total_ms": 41_000, "downtime_ms": 52,
        "advice": "nothing",
    })
}

#[test]
fn a_downtime_that_was_stored_before_any_was_observed_is_the_hypervisors() {
    let older: Outcome = serde_json::from_value(moved()).unwrap();
    assert_eq!((older.downtime_ms, older.hypervisor_downtime_ms), (None, Some(52)));
    let again: Outcome = serde_json::from_value(serde_json::to_value(&older).unwrap()).unwrap();
    assert_eq!(again, older);
    let mut both = moved();
    both["downtime_ms"] = 37_200.into();
    both["hypervisor_downtime_ms"] = serde_json::Value::Null;
    let both: Outcome = serde_json::from_value(both).unwrap();
    assert_eq!((both.downtime_ms, both.hypervisor_downtime_ms), (Some(37_200), None));
}

#[test]
fn only_a_guest_that_was_moved_and_does_not_run_although_it_did_has_an_ending_of_its_own() {
    for ending in Ending::ALL {
        for guest in GuestLocation::ALL {
            for guest_was in [GuestRun::Running, GuestRun::Paused, GuestRun::NotRunning] {
                for has_arrived in [false, true] {
                    let found = ending.with_guest(guest, guest_was, has_arrived);
                    let expected = match (ending, guest, guest_was) {
                        (Ending::Completed, GuestLocation::DestinationPaused, GuestRun::Running) => {
                            Ending::ArrivedStopped
                        }
                        (Ending::Failed, GuestLocation::Nowhere, GuestRun::Running | GuestRun::Paused)
                            if has_arrived =>
                        {
                            Ending::ArrivedStopped
                        }
                        _ => ending,
                    };
                    assert_eq!(found, expected, "{ending} {guest} {guest_was:?} {has_arrived}");
                }
            }
        }
    }
}

#[test]
fn a_guest_that_ran_and_is_paused_is_never_said_to_need_nothing() {
    for cause in Cause::ALL.into_iter().map(Some).chain([None]) {
        for guest in [GuestLocation::SourcePaused, GuestLocation::DestinationPaused] {
            assert_eq!(Advice::on(guest, GuestRun::Running, None, cause, None), Advice::ResumeGuest);
            assert_ne!(Advice::on(guest, GuestRun::Paused, None, cause, None), Advice::ResumeGuest);
        }
    }
}
