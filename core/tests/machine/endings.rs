//! What an outcome says of the guest: whether it runs, for how long it was stopped, and why there is a doubt.

use crate::driver::{Driver, spec};
use whimbrel_core::port::JobState;
use whimbrel_core::{
    Action, Adjustment, Advice, Answer, CancelAnswer, Cause, CopyState, Ending, Fault, GuestLocation,
    GuestRun, Hint, Side,
};

fn in_precopy(run: GuestRun) -> Driver {
    let mut driver = Driver::new(spec());
    driver.reach_precopy(run);
    driver.destination_receives();
    driver
}

/// Up to the query that follows a switchover which the hypervisor reported.
fn handed_over(run: GuestRun) -> Driver {
    let mut driver = in_precopy(run);
    driver.hint(Hint::SourceSuspended);
    driver.now = driver.now.plus_ms(31);
    driver.call_returns(Ok(()));
    driver
}

fn paused(driver: &mut Driver) {
    driver.react(Adjustment::Pause);
    driver.answer_where(|action| *action == Action::Suspend, Answer::Acted(Ok(())));
}

#[test]
fn a_guest_that_arrives_and_does_not_run_is_not_completed() {
    let mut driver = handed_over(GuestRun::Running);
    driver.look_shows(CopyState::Absent, CopyState::Paused);
    driver.job(JobState::Completed, 3, 0);
    assert!(driver.migration.view().outcome.is_none(), "one look does not decide");
    driver.next_look_shows(CopyState::Absent, CopyState::Paused);
    assert!(driver.migration.view().outcome.is_none(), "two could both fall into a snapshot");
    driver.next_look_shows(CopyState::Absent, CopyState::Paused);
    let outcome = driver.outcome();
    assert_eq!((outcome.ending, outcome.guest), (Ending::ArrivedStopped, GuestLocation::DestinationPaused));
    assert_eq!((outcome.cause, outcome.advice), (Some(Cause::GuestStopped), Advice::ResumeGuest));
    assert_eq!(outcome.downtime_ms, None, "it is still stopped");
    assert_eq!(outcome.hypervisor_downtime_ms, Some(42));
    assert!(!driver.did(&Action::Resume(Side::Destination)), "an I/O error is the operator's to look at");
}

#[test]
fn a_guest_that_is_paused_for_a_moment_on_arrival_is_completed() {
    let mut driver = handed_over(GuestRun::Running);
    driver.look_shows(CopyState::Absent, CopyState::Paused);
    driver.job(JobState::Completed, 3, 0);
    driver.cancel();
    driver.next_look_shows(CopyState::Absent, CopyState::Running);
    let outcome = driver.outcome();
    assert_eq!((outcome.ending, outcome.guest), (Ending::Completed, GuestLocation::DestinationRunning));
    assert_eq!((outcome.cause, outcome.advice), (None, Advice::Nothing));
    assert_eq!(driver.cancel_answers(), [CancelAnswer::InDoubt, CancelAnswer::TooLate]);
}

#[test]
fn a_guest_that_was_paused_before_is_completed_when_it_arrives_paused() {
    let mut driver = in_precopy(GuestRun::Paused);
    driver.call_returns(Ok(()));
    driver.look_shows(CopyState::Absent, CopyState::Paused);
    driver.job(JobState::Completed, 3, 0);
    let outcome = driver.outcome();
    assert_eq!((outcome.ending, outcome.guest), (Ending::Completed, GuestLocation::DestinationPaused));
    assert_eq!((outcome.cause, outcome.advice, outcome.downtime_ms), (None, Advice::Nothing, None));
}

#[test]
fn a_guest_that_ends_right_after_it_arrived_is_neither_completed_nor_a_failed_copy() {
    for there in [CopyState::Absent, CopyState::Defined] {
        let mut driver = handed_over(GuestRun::Running);
        driver.look_shows(CopyState::Absent, there);
        driver.job(JobState::Completed, 3, 0);
        driver.keeps_showing(CopyState::Absent, there);
        let outcome = driver.outcome();
        assert_eq!((outcome.ending, outcome.guest), (Ending::ArrivedStopped, GuestLocation::Nowhere));
        assert_eq!((outcome.cause, outcome.advice), (Some(Cause::GuestStopped), Advice::FindOut));
        assert_eq!((outcome.downtime_ms, &outcome.failure), (None, &None));
    }
}

#[test]
fn the_downtime_is_from_the_pause_until_the_guest_runs() {
    let mut driver = in_precopy(GuestRun::Running);
    paused(&mut driver);
    let since = driver.now;
    assert_eq!(driver.migration.view().stopped_since, Some(since));
    driver.now = driver.now.plus_ms(37_000);
    driver.call_returns(Ok(()));
    driver.job(JobState::Completed, 3, 0);
    driver.look_shows(CopyState::Absent, CopyState::Paused);
    driver.next_look_shows(CopyState::Absent, CopyState::Paused);
    driver.answer_where(|action| *action == Action::Resume(Side::Destination), Answer::Acted(Ok(())));
    driver.look_shows(CopyState::Absent, CopyState::Running);
    let outcome = driver.outcome();
    assert_eq!(outcome.downtime_ms, Some(driver.now.since_ms(since)));
    assert!(outcome.downtime_ms >= Some(37_000));
    assert_eq!(outcome.hypervisor_downtime_ms, Some(42), "the hypervisor counts from its own stop");
    assert_eq!(driver.migration.view().stopped_since, None);
}

#[test]
fn a_migration_that_is_cancelled_after_a_pause_had_downtime_too() {
    let mut driver = in_precopy(GuestRun::Running);
    paused(&mut driver);
    let since = driver.now;
    driver.now = driver.now.plus_ms(5_000);
    driver.cancel();
    driver.call_returns(Err(Fault::Aborted));
    driver.look_shows(CopyState::Paused, CopyState::Absent);
    driver.next_look_shows(CopyState::Paused, CopyState::Absent);
    driver.answer_where(|action| *action == Action::Resume(Side::Source), Answer::Acted(Ok(())));
    driver.look_shows(CopyState::Running, CopyState::Absent);
    let until = driver.now;
    driver.restores();
    let outcome = driver.outcome();
    assert_eq!((outcome.ending, outcome.guest), (Ending::Cancelled, GuestLocation::SourceRunning));
    assert_eq!(outcome.downtime_ms, Some(until.since_ms(since)));
    assert_eq!(outcome.hypervisor_downtime_ms, None, "an expected downtime is no measured one");
}

#[test]
fn the_downtime_outlives_a_restart_of_the_driver() {
    let mut driver = in_precopy(GuestRun::Running);
    paused(&mut driver);
    let since = driver.now;
    driver.now = driver.now.plus_ms(2_000);
    driver.restart();
    driver.look_shows(CopyState::Migrating, CopyState::Incoming);
    driver.now = driver.now.plus_ms(8_000);
    driver.timer();
    driver.job(JobState::None, 0, 0);
    driver.next_look_shows(CopyState::Absent, CopyState::Running);
    assert_eq!(driver.outcome().ending, Ending::Completed);
    assert_eq!(driver.outcome().downtime_ms, Some(driver.now.since_ms(since)));
}

#[test]
fn a_downtime_of_which_the_end_was_missed_is_absent() {
    let mut driver = in_precopy(GuestRun::Running);
    driver.hint(Hint::SourceSuspended);
    driver.now = driver.now.plus_ms(60_000);
    driver.restart();
    driver.look_shows(CopyState::Absent, CopyState::Running);
    assert_eq!((driver.outcome().ending, driver.outcome().downtime_ms), (Ending::Completed, None));
}

#[test]
fn what_an_operator_asks_for_during_a_doubt_is_not_its_cause() {
    let mut driver = in_precopy(GuestRun::Running);
    driver.call_returns(Err(Fault::ReplyLost));
    driver.look_shows(CopyState::Running, CopyState::Running);
    driver.cancel();
    driver.keeps_showing(CopyState::Running, CopyState::Running);
    let outcome = driver.outcome();
    assert_eq!((outcome.ending, outcome.guest), (Ending::InDoubt, GuestLocation::BothRunning));
    assert_eq!(outcome.cause, Some(Cause::ReplyLost));
}

#[test]
fn a_cancel_before_the_reply_was_lost_is_not_the_cause_of_the_doubt_either() {
    let mut driver = in_precopy(GuestRun::Running);
    driver.cancel();
    driver.call_returns(Err(Fault::ReplyLost));
    driver.look_shows(CopyState::Absent, CopyState::Absent);
    driver.keeps_showing(CopyState::Absent, CopyState::Absent);
    let outcome = driver.outcome();
    assert_eq!((outcome.ending, outcome.guest), (Ending::Failed, GuestLocation::Nowhere));
    assert_eq!(outcome.cause, Some(Cause::ReplyLost));
}
