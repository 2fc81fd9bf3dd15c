//! Post-copy: the switch, what may not be done after it, and how two halves that lost each other are joined again.

use crate::driver::{Driver, spec};
use whimbrel_core::convergence::Statistics;
use whimbrel_core::port::{JobReport, JobState};
use whimbrel_core::{
    Action, Adjustment, AdjustmentKind, AdjustmentResult, Advice, Answer, CancelAnswer, Cause, CopyState,
    Ending, Failure, Fault, GuestLocation, GuestRun, Hint, PhaseName, Recovery, Side,
};

fn in_precopy() -> Driver {
    let mut driver = Driver::new(spec());
    driver.reach_precopy(GuestRun::Running);
    driver
}

fn source_shows(driver: &mut Driver, state: CopyState) {
    driver.answer_where(|action| *action == Action::Observe(Side::Source), Answer::Copy(state));
}

fn in_postcopy() -> Driver {
    let mut driver = in_precopy();
    driver.react(Adjustment::Postcopy);
    driver.answer_where(|action| *action == Action::StartPostcopy, Answer::Postcopy(Ok(())));
    driver.hint(Hint::PostcopyBegan);
    source_shows(&mut driver, CopyState::Postcopy);
    assert_eq!(driver.migration.view().phase, PhaseName::Postcopy);
    driver
}

#[test]
fn postcopy_that_works_completes() {
    let mut driver = in_postcopy();
    assert_eq!(driver.reactions(), [(AdjustmentKind::Postcopy, AdjustmentResult::Done)]);
    driver.call_returns(Ok(()));
    driver.look_shows(CopyState::Absent, CopyState::Running);
    driver.job(JobState::Completed, 3, 0);
    assert_eq!(
        (driver.outcome().ending, driver.outcome().guest),
        (Ending::Completed, GuestLocation::DestinationRunning)
    );
}

#[test]
fn postcopy_is_not_believed_before_it_is_seen() {
    let mut driver = in_precopy();
    driver.react(Adjustment::Postcopy);
    driver.answer_where(|action| *action == Action::StartPostcopy, Answer::Postcopy(Ok(())));
    assert_eq!(driver.reactions(), [], "accepted is not switched");
    driver.hint(Hint::PostcopyBegan);
    assert_eq!(driver.migration.view().phase, PhaseName::Precopy, "a hint may be another's");
    source_shows(&mut driver, CopyState::Migrating);
    assert_eq!(driver.migration.view().phase, PhaseName::Precopy);
}

#[test]
fn without_hints_the_switch_is_found_by_looking() {
    let mut driver = in_precopy();
    driver.destination_receives();
    driver.react(Adjustment::Postcopy);
    driver.answer_where(|action| *action == Action::StartPostcopy, Answer::Postcopy(Ok(())));
    driver.job(JobState::Active, 1, 100);
    source_shows(&mut driver, CopyState::Postcopy);
    assert_eq!(driver.migration.view().phase, PhaseName::Postcopy);
}

#[test]
fn postcopy_that_was_not_allowed_at_the_start_is_not_asked_for() {
    let mut plain = spec();
    plain.transfer.postcopy = false;
    let mut driver = Driver::new(plain);
    driver.reach_precopy(GuestRun::Running);
    driver.react(Adjustment::Postcopy);
    assert!(!driver.did(&Action::StartPostcopy));
    assert_eq!(driver.reactions(), [(AdjustmentKind::Postcopy, AdjustmentResult::NotAllowed)]);
}

#[test]
fn a_cancel_in_postcopy_is_refused_and_the_migration_goes_on() {
    let mut driver = in_postcopy();
    driver.cancel();
    assert!(!driver.did(&Action::AbortMigration));
    driver.call_returns(Ok(()));
    driver.look_shows(CopyState::Absent, CopyState::Running);
    driver.job(JobState::Completed, 3, 0);
    assert_eq!(driver.cancel_answers(), [CancelAnswer::Refused, CancelAnswer::TooLate]);
}

#[test]
fn a_cancel_that_the_switch_overtook_is_refused() {
    let mut driver = in_precopy();
    driver.react(Adjustment::Postcopy);
    driver.answer_where(|action| *action == Action::StartPostcopy, Answer::Postcopy(Ok(())));
    driver.cancel();
    driver.hint(Hint::PostcopyBegan);
    source_shows(&mut driver, CopyState::Postcopy);
    assert_eq!(driver.cancel_answers(), [CancelAnswer::Refused]);
}

#[test]
fn halves_that_lost_each_other_are_joined_again() {
    let mut driver = in_postcopy();
    driver.call_returns(Err(Fault::Other));
    assert_eq!(driver.migration.view().phase, PhaseName::Recovering);
    driver.look_shows(CopyState::PostcopyFailed, CopyState::PostcopyFailed);
    assert_eq!(driver.times(&Action::ResumePostcopy), 1, "tried at once");
    for tries in 2..=4 {
        driver.resume_returns(Err(Fault::DestinationUnreachable));
        driver.next_look_shows(CopyState::PostcopyFailed, CopyState::PostcopyFailed);
        assert_eq!(driver.times(&Action::ResumePostcopy), tries);
    }
    driver.resume_returns(Ok(()));
    driver.look_shows(CopyState::Absent, CopyState::Running);
    driver.job(JobState::None, 0, 0);
    assert_eq!(driver.outcome().ending, Ending::Completed);
}

#[test]
fn tries_to_join_the_halves_are_made_less_and_less_often_and_not_for_ever() {
    let mut driver = in_postcopy();
    driver.call_returns(Err(Fault::Other));
    while driver.migration.view().outcome.is_none() {
        if driver.out.values().any(|action| *action == Action::ResumePostcopy) {
            driver.resume_returns(Err(Fault::DestinationUnreachable));
        }
        driver.next_look_shows(CopyState::PostcopyFailed, CopyState::PostcopyFailed);
    }
    let outcome = driver.outcome();
    assert_eq!((outcome.ending, outcome.guest), (Ending::InDoubt, GuestLocation::DestinationPostcopy));
    assert_eq!((outcome.cause, outcome.advice), (Some(Cause::PostcopyLost), Advice::ResumePostcopy));
    let tries = driver.times(&Action::ResumePostcopy);
    assert!((100..150).contains(&tries), "an hour, each 30 s in the end: {tries}");
    assert!(driver.now.as_ms() >= 3_600_000);
    assert!(!driver.actions.iter().any(|action| matches!(action, Action::Destroy(_) | Action::Resume(_))));
}

/// libvirt's destination goes on saying "post-copy" when the source has given it up.
#[test]
fn a_destination_that_noticed_nothing_does_not_let_patience_begin_anew() {
    let mut driver = in_postcopy();
    driver.call_returns(Err(Fault::Other));
    let is_out = |driver: &Driver, wanted: &Action| driver.out.values().any(|action| action == wanted);
    while driver.migration.view().outcome.is_none() {
        if is_out(&driver, &Action::ResumePostcopy) {
            while !is_out(&driver, &Action::PollJob) && driver.timer() {}
            driver.job(JobState::Active, 3, 100);
            let destination = |action: &Action| *action == Action::Observe(Side::Destination);
            driver.answer_where(destination, Answer::Copy(CopyState::Postcopy));
            source_shows(&mut driver, CopyState::PostcopyFailed);
            driver.resume_returns(Err(Fault::DestinationUnreachable));
        }
        driver.next_look_shows(CopyState::PostcopyFailed, CopyState::Postcopy);
        assert!(driver.now.as_ms() < 7_200_000, "an hour of patience does not last for two");
    }
    assert_eq!(driver.outcome().guest, GuestLocation::DestinationPostcopy);
}

#[test]
fn a_postcopy_that_goes_on_without_its_caller_is_followed() {
    let mut driver = in_postcopy();
    driver.call_returns(Err(Fault::ReplyLost));
    driver.look_shows(CopyState::Postcopy, CopyState::Postcopy);
    assert_eq!(driver.migration.view().phase, PhaseName::Postcopy);
    assert!(!driver.did(&Action::ResumePostcopy), "nothing is lost");
    driver.timer();
    driver.answer_where(
        |action| *action == Action::PollJob,
        Answer::Job(Ok(JobReport { state: JobState::None, statistics: Statistics::default() })),
    );
    driver.next_look_shows(CopyState::Stopped, CopyState::Running);
    driver.next_look_shows(CopyState::Stopped, CopyState::Running);
    assert!(driver.did(&Action::Destroy(Side::Source)), "the source holds nothing that the guest misses");
    driver.answer_where(|action| *action == Action::Destroy(Side::Source), Answer::Acted(Ok(())));
    driver.look_shows(CopyState::Absent, CopyState::Running);
    assert_eq!(driver.outcome().recovered, [Recovery::Destroyed(Side::Source)]);
}

#[test]
fn the_source_is_never_resumed_after_postcopy() {
    for destination in [CopyState::Absent, CopyState::Defined] {
        let mut driver = in_postcopy();
        driver.call_returns(Err(Fault::Other));
        // A restarted daemon may not know any more why the guest is stopped.
        driver.ends_with(CopyState::Stopped, destination, |_| None);
        assert!(!driver.did(&Action::Resume(Side::Source)));
        assert_eq!(driver.outcome().guest, GuestLocation::LeftBehind);
        assert_eq!(driver.outcome().advice, Advice::StartAnew);
    }
}

#[test]
fn postcopy_that_was_asked_for_and_not_refused_forbids_the_resume_too() {
    for (answer, may) in [
        (None, false),
        (Some(Ok(())), false),
        (Some(Err(Failure::new(Fault::Other, "lost on the way"))), false),
        (Some(Err(Failure::new(Fault::Refused, "not in this state"))), true),
    ] {
        let mut driver = in_precopy();
        driver.destination_receives();
        driver.react(Adjustment::Postcopy);
        if let Some(result) = answer {
            driver.answer_where(|action| *action == Action::StartPostcopy, Answer::Postcopy(result));
        }
        driver.call_returns(Err(Fault::Other));
        for _ in 0..3 {
            if !driver.did(&Action::Resume(Side::Source)) {
                driver.next_look_shows(CopyState::Stopped, CopyState::Absent);
            }
        }
        assert_eq!(driver.did(&Action::Resume(Side::Source)), may);
    }
}

#[test]
fn a_half_that_is_gone_for_good_is_said_to_be_lost() {
    for (source, destination, guest) in [
        (CopyState::PostcopyFailed, CopyState::Absent, GuestLocation::LeftBehind),
        (CopyState::Absent, CopyState::PostcopyFailed, GuestLocation::DestinationIncomplete),
        (CopyState::Absent, CopyState::Absent, GuestLocation::Nowhere),
    ] {
        let mut driver = in_postcopy();
        driver.call_returns(Err(Fault::Other));
        while driver.migration.view().outcome.is_none() {
            driver.next_look_shows(source, destination);
        }
        assert_eq!((driver.outcome().ending, driver.outcome().guest), (Ending::Failed, guest));
        assert!(
            !driver.actions.iter().any(|action| matches!(action, Action::Destroy(_) | Action::Resume(_)))
        );
    }
}

#[test]
fn postcopy_can_be_what_happens_at_the_timeout() {
    let mut wanted = spec();
    wanted.at_timeout = whimbrel_core::AtTimeout::Postcopy;
    let mut driver = Driver::new(wanted);
    driver.reach_precopy(GuestRun::Running);
    while driver.now.as_ms() < 60_000 {
        driver.timer();
    }
    assert!(driver.did(&Action::StartPostcopy));
    assert!(!driver.did(&Action::AbortMigration));
    // It did not help: as long again, and then it is left.
    while driver.now.as_ms() < 120_000 {
        driver.timer();
    }
    assert!(driver.did(&Action::AbortMigration));
}

/// libvirt reports a guest that wakes up in post-copy as plainly running: the source's half still holds its memory.
#[test]
fn a_half_is_never_destroyed_because_the_destination_is_said_to_run() {
    for half in [CopyState::Postcopy, CopyState::PostcopyFailed] {
        let mut driver = in_postcopy();
        driver.call_returns(Err(Fault::ReplyLost));
        driver.ends_with(half, CopyState::Running, |action| {
            let failed = || Failure::new(Fault::Other, "as the test says");
            matches!(action, Action::ResumePostcopy).then(|| Answer::CallReturned(Err(failed())))
        });
        assert!(!driver.did(&Action::Destroy(Side::Source)), "the guest misses what the half holds");
        assert_eq!(driver.outcome().ending, Ending::InDoubt);
    }
}

/// The first request was never answered and is carried out late; the second is refused. The mark of the first stays, so
/// that the source is still observed, and a switch is found although no call is out and no hint comes.
#[test]
fn a_refused_postcopy_does_not_withdraw_an_earlier_request() {
    let mut driver = in_precopy();
    driver.destination_receives();
    for answered in [false, true] {
        driver.react(Adjustment::Postcopy);
        let reacted = driver.reactions().len();
        while !answered && driver.reactions().len() == reacted {
            driver.timer();
        }
    }
    let refused = Failure::new(Fault::Refused, "post-copy has begun already");
    driver.answer_where(|action| *action == Action::StartPostcopy, Answer::Postcopy(Err(refused)));
    driver.hint(Hint::IterationBegan);
    driver.job(JobState::Active, 1, 1000);
    source_shows(&mut driver, CopyState::Postcopy);
    assert_eq!(driver.migration.view().phase, PhaseName::Postcopy);
}

/// A destination that runs plainly does not show that its source gave the other half up: with a call that never returns
/// and a job that stays active, only the source does.
#[test]
fn a_source_that_gave_up_is_seen_although_the_destination_runs_and_the_call_never_returns() {
    for (source, follows) in [(CopyState::Postcopy, true), (CopyState::PostcopyFailed, false)] {
        let mut driver = in_postcopy();
        while driver.migration.view().phase == PhaseName::Postcopy && driver.now.as_ms() < 3_600_000 {
            if driver.out.values().any(|action| *action == Action::PollJob) {
                driver.job(JobState::Active, 3, 100);
                let there = |action: &Action| *action == Action::Observe(Side::Destination);
                driver.answer_where(there, Answer::Copy(CopyState::Running));
                source_shows(&mut driver, source);
            } else {
                driver.timer();
            }
        }
        assert_eq!(driver.migration.view().phase == PhaseName::Postcopy, follows, "{source:?}");
    }
}
