//! The driver dies in any phase, and another continues from the journal: it finds the migration
//! running, ended, or gone, and starts nothing twice.

use crate::driver::{Driver, ORIGINALS, facts, spec};
use whimbrel_core::port::JobState;
use whimbrel_core::{
    Action, Adjustment, Advice, Answer, Cause, CopyState, Ending, Fault, GuestLocation, GuestRun, Hint,
    PhaseName, Side, Spec,
};

fn in_precopy() -> Driver {
    let mut driver = Driver::new(spec());
    driver.reach_precopy(GuestRun::Running);
    driver
}

/// A migration that has not begun is not begun by a restart: nothing is known of what happened since it was requested.
#[test]
fn a_restart_before_the_copy_ends_the_migration_and_puts_back_what_was_changed() {
    let reach: [fn(&mut Driver); 4] = [
        |_| {},
        |driver| {
            driver.answer_where(
                |action| *action == Action::CollectFacts,
                Answer::Facts(Ok(facts(GuestRun::Running))),
            );
        },
        |driver| driver.pass_validation(GuestRun::Running),
        |driver| driver.reach_first_change(GuestRun::Running),
    ];
    for reach in reach {
        let mut driver = Driver::new(spec());
        reach(&mut driver);
        driver.restart();
        if driver.migration.view().phase == PhaseName::RollingBack {
            driver.restores();
        }
        assert_eq!(driver.settings, ORIGINALS);
        assert!(!driver.did(&Action::StartMigration));
        let outcome = driver.outcome();
        assert_eq!((outcome.ending, outcome.guest), (Ending::Failed, GuestLocation::Untouched));
        assert_eq!((outcome.cause, outcome.advice), (Some(Cause::DriverRestarted), Advice::Retry));
    }
}

#[test]
fn a_copy_that_goes_on_is_followed_with_its_timeout_and_is_not_started_again() {
    let mut driver = in_precopy();
    driver.restart();
    driver.look_shows(CopyState::Migrating, CopyState::Incoming);
    assert_eq!(driver.migration.view().phase, PhaseName::Precopy);
    assert_eq!(driver.times(&Action::StartMigration), 1);
    while driver.now.as_ms() < 60_000 {
        if driver.out.values().any(|action| *action == Action::PollJob) {
            driver.job(JobState::Active, 1, 100);
        }
        driver.timer();
    }
    assert!(driver.did(&Action::AbortMigration), "the policy goes on where it was");
}

#[test]
fn a_copy_that_ended_meanwhile_is_found_where_it_is() {
    for (source, destination, ending, guest) in [
        (CopyState::Absent, CopyState::Running, Ending::Completed, GuestLocation::DestinationRunning),
        (CopyState::Running, CopyState::Absent, Ending::Failed, GuestLocation::SourceRunning),
        (CopyState::Absent, CopyState::Absent, Ending::Failed, GuestLocation::Nowhere),
    ] {
        let mut driver = in_precopy();
        driver.hint(Hint::SourceSuspended);
        driver.restart();
        while driver.migration.view().outcome.is_none() {
            if driver.migration.view().phase == PhaseName::RollingBack {
                driver.restores();
            } else {
                driver.next_look_shows(source, destination);
            }
        }
        assert_eq!((driver.outcome().ending, driver.outcome().guest), (ending, guest));
        assert_eq!(driver.times(&Action::StartMigration), 1);
    }
}

#[test]
fn a_cancel_that_was_asked_for_before_is_asked_for_again_after() {
    let mut driver = in_precopy();
    driver.cancel();
    driver.restart();
    driver.look_shows(CopyState::Migrating, CopyState::Incoming);
    assert_eq!(driver.times(&Action::AbortMigration), 2);
}

#[test]
fn in_postcopy_it_is_followed_or_resumed_and_nothing_else() {
    for (source, destination, resumes) in [
        (CopyState::Postcopy, CopyState::Postcopy, false),
        (CopyState::PostcopyFailed, CopyState::PostcopyFailed, true),
    ] {
        let mut driver = in_precopy();
        driver.react(Adjustment::Postcopy);
        driver.answer_where(|action| *action == Action::StartPostcopy, Answer::Postcopy(Ok(())));
        driver.hint(Hint::PostcopyBegan);
        driver.answer_where(
            |action| *action == Action::Observe(Side::Source),
            Answer::Copy(CopyState::Postcopy),
        );
        driver.restart();
        driver.look_shows(source, destination);
        assert_eq!(driver.migration.view().phase, PhaseName::Postcopy);
        assert_eq!(driver.did(&Action::ResumePostcopy), resumes);
    }
}

#[test]
fn while_completing_both_ends_are_looked_at_again() {
    let mut driver = in_precopy();
    driver.call_returns(Ok(()));
    driver.restart();
    driver.look_shows(CopyState::Absent, CopyState::Running);
    driver.job(JobState::None, 0, 0);
    assert_eq!(driver.outcome().ending, Ending::Completed);
}

#[test]
fn while_rolling_back_what_is_on_record_is_put_back() {
    let mut driver = in_precopy();
    driver.call_returns(Err(Fault::Other));
    driver.restart();
    driver.look_shows(CopyState::Running, CopyState::Absent);
    driver.restart();
    driver.restores();
    assert_eq!(driver.settings, ORIGINALS);
    assert_eq!(driver.outcome().not_undone, []);
}

#[test]
fn a_resume_that_may_have_been_done_is_looked_for_before_it_is_done_again() {
    let mut driver = in_precopy();
    driver.destination_receives();
    driver.call_returns(Err(Fault::Other));
    driver.look_shows(CopyState::Stopped, CopyState::Absent);
    driver.next_look_shows(CopyState::Stopped, CopyState::Absent);
    assert_eq!(driver.times(&Action::Resume(Side::Source)), 1);
    driver.restart();
    driver.look_shows(CopyState::Running, CopyState::Absent);
    driver.restores();
    assert_eq!(driver.times(&Action::Resume(Side::Source)), 1);
    assert_eq!(driver.outcome().guest, GuestLocation::SourceRunning);
}

#[test]
fn after_the_end_nothing_happens() {
    let mut driver = in_precopy();
    driver.call_returns(Ok(()));
    driver.look_shows(CopyState::Absent, CopyState::Running);
    driver.job(JobState::Completed, 3, 0);
    let actions = driver.actions.len();
    driver.restart();
    assert_eq!(driver.actions.len(), actions);
}

fn offline() -> Driver {
    let mut wanted = Spec::new("web", "alpha", "beta");
    wanted.transfer.offline = true;
    let mut driver = Driver::new(wanted);
    driver.pass_validation(GuestRun::NotRunning);
    assert!(driver.did(&Action::StartMigration) && !driver.did(&Action::ReadSettings));
    driver
}

#[test]
fn a_guest_that_is_off_moves_by_its_definition() {
    let mut driver = offline();
    driver.call_returns(Ok(()));
    driver.look_shows(CopyState::Absent, CopyState::Defined);
    driver.job(JobState::None, 0, 0);
    assert_eq!(
        (driver.outcome().ending, driver.outcome().guest),
        (Ending::Completed, GuestLocation::DestinationOff)
    );
}

#[test]
fn a_definition_in_two_places_is_taken_back_or_moved_on() {
    for (result, drops) in [(Ok(()), Side::Source), (Err(Fault::Other), Side::Destination)] {
        let mut driver = offline();
        driver.call_returns(result);
        driver.next_look_shows(CopyState::Defined, CopyState::Defined);
        if result.is_ok() {
            driver.job(JobState::None, 0, 0);
        }
        driver.next_look_shows(CopyState::Defined, CopyState::Defined);
        driver.answer_where(|action| *action == Action::Undefine(drops), Answer::Acted(Ok(())));
        let gone = |side| if side == drops { CopyState::Absent } else { CopyState::Defined };
        driver.look_shows(gone(Side::Source), gone(Side::Destination));
        let guest = if result.is_ok() { GuestLocation::DestinationOff } else { GuestLocation::SourceOff };
        assert_eq!(driver.outcome().guest, guest);
    }
}

#[test]
fn a_guest_that_is_off_is_not_moved_live_nor_a_running_one_offline() {
    let mut live = Driver::new(spec());
    live.pass_validation(GuestRun::NotRunning);
    assert_eq!(live.outcome().guest, GuestLocation::Untouched);
    let mut wanted = Spec::new("web", "alpha", "beta");
    wanted.transfer.offline = true;
    let mut off = Driver::new(wanted);
    off.pass_validation(GuestRun::Running);
    assert_eq!(off.outcome().guest, GuestLocation::Untouched);
}
