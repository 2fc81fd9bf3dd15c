//! The ways through a migration, one by one.

use crate::driver::{Driver, ORIGINALS, facts, spec};
use whimbrel_core::port::JobState;
use whimbrel_core::{
    Action, Advice, Answer, CancelAnswer, Cause, CopyState, Ending, Event, Failure, Fault, Finding,
    GuestLocation, GuestRun, Hint, Leftover, PhaseName, Recovery, Severity, Side, Verdict, journal,
};

fn phases(driver: &Driver) -> Vec<PhaseName> {
    driver
        .events
        .iter()
        .filter_map(|event| if let Event::Phase(name) = event { Some(*name) } else { None })
        .collect()
}

fn in_precopy() -> Driver {
    let mut driver = Driver::new(spec());
    driver.reach_precopy(GuestRun::Running);
    driver
}

#[test]
fn a_migration_that_works() {
    let mut driver = in_precopy();
    driver.timer();
    driver.job(JobState::Active, 1, 1000);
    driver.hint(Hint::IterationBegan);
    driver.job(JobState::Active, 2, 1200);
    driver.hint(Hint::SourceSuspended);
    driver.now = driver.now.plus_ms(31);
    driver.call_returns(Ok(()));
    driver.look_shows(CopyState::Absent, CopyState::Running);
    driver.job(JobState::Completed, 3, 0);

    let outcome = driver.outcome();
    assert_eq!((outcome.ending, outcome.guest), (Ending::Completed, GuestLocation::DestinationRunning));
    assert_eq!((outcome.cause, outcome.advice), (None, Advice::Nothing));
    assert_eq!((outcome.downtime_ms, outcome.hypervisor_downtime_ms), (Some(31), Some(42)));
    assert_eq!(
        phases(&driver),
        [
            PhaseName::Validating,
            PhaseName::Preparing,
            PhaseName::Precopy,
            PhaseName::SwitchingOver,
            PhaseName::Completing,
            PhaseName::Done
        ]
    );
    assert_eq!(driver.migration.view().convergence.totals().non_converging_syncs, 1);
    assert_eq!(driver.migration.deadline(), None, "nothing is waited for after the end");
}

#[test]
fn a_hint_during_a_poll_makes_one_more_poll_not_two() {
    let mut driver = in_precopy();
    driver.timer();
    let polls = |driver: &Driver| driver.actions.iter().filter(|action| **action == Action::PollJob).count();
    driver.hint(Hint::IterationBegan);
    driver.hint(Hint::IterationBegan);
    assert_eq!(polls(&driver), 1);
    driver.job(JobState::Active, 1, 10);
    assert_eq!(polls(&driver), 2);
    driver.job(JobState::Active, 2, 10);
    assert_eq!(polls(&driver), 2);
}

#[test]
fn facts_that_are_missing_leave_the_guest_untouched() {
    let mut driver = Driver::new(spec());
    let failure = Failure::new(Fault::DestinationUnreachable, "connection refused");
    driver.answer_where(|action| *action == Action::CollectFacts, Answer::Facts(Err(failure.clone())));
    let outcome = driver.outcome();
    assert_eq!((outcome.ending, outcome.guest), (Ending::Failed, GuestLocation::Untouched));
    assert_eq!((outcome.cause, &outcome.failure), (Some(Cause::FactsMissing), &Some(failure)));
    assert_eq!(outcome.advice, Advice::MendThenRetry);
}

#[test]
fn facts_that_never_come_end_the_migration() {
    let mut driver = Driver::new(spec());
    assert!(driver.timer());
    assert_eq!(driver.outcome().cause, Some(Cause::FactsMissing));
}

#[test]
fn a_rule_that_refuses_ends_the_migration_before_any_change() {
    let mut driver = Driver::new(spec());
    driver
        .answer_where(|action| *action == Action::CollectFacts, Answer::Facts(Ok(facts(GuestRun::Running))));
    let finding = Finding {
        code: "test".to_owned(),
        severity: Severity::Error,
        message: String::new(),
        remediation: String::new(),
    };
    driver.answer_where(
        |action| matches!(action, Action::EvaluateRules(_)),
        Answer::Verdict(Verdict { findings: vec![finding], basis: None }),
    );
    assert_eq!(driver.outcome().cause, Some(Cause::RulesRefused));
    assert!(
        !driver
            .actions
            .iter()
            .any(|action| matches!(action, Action::ApplySetting(_) | Action::StartMigration))
    );
}

#[test]
fn rules_cannot_let_through_a_guest_that_is_not_in_memory() {
    let mut driver = Driver::new(spec());
    driver.pass_validation(GuestRun::NotRunning);
    assert_eq!(driver.outcome().cause, Some(Cause::RulesRefused));
}

#[test]
fn a_setting_that_fails_is_undone_because_it_may_have_been_made() {
    let mut driver = Driver::new(spec());
    driver.reach_first_change(GuestRun::Running);
    let failure = Failure::new(Fault::Refused, "no");
    driver.answer_where(|action| matches!(action, Action::ApplySetting(_)), Answer::Applied(Err(failure)));
    driver.restores();
    let outcome = driver.outcome();
    assert_eq!(outcome.cause, Some(Cause::SettingRefused));
    assert_eq!(outcome.recovered, [Recovery::DowntimeLimitRestored]);
    assert_eq!(driver.settings, ORIGINALS);
}

#[test]
fn a_setting_that_cannot_be_put_back_is_named() {
    let mut driver = in_precopy();
    driver.call_returns(Err(Fault::Other));
    driver.look_shows(CopyState::Running, CopyState::Absent);
    driver.ends_with(CopyState::Running, CopyState::Absent, |action| match action {
        Action::ApplySetting(_) => Some(Answer::Applied(Err(Failure::new(Fault::Refused, "no")))),
        Action::RemoveDisks(_) => Some(Answer::Acted(Ok(()))),
        _ => None,
    });
    assert_eq!(driver.outcome().not_undone, [Leftover::DowntimeLimit, Leftover::BandwidthLimit]);
    assert_eq!(driver.outcome().guest, GuestLocation::SourceRunning);
}

#[test]
fn cancel_in_precopy_is_answered_by_what_was_seen() {
    let mut driver = in_precopy();
    driver.cancel();
    driver.cancel();
    assert_eq!(driver.actions.iter().filter(|action| **action == Action::AbortMigration).count(), 1);
    driver.answer_where(|action| *action == Action::AbortMigration, Answer::Abort(Ok(())));
    assert_eq!(driver.cancel_answers(), [], "accepted is not cancelled");
    driver.call_returns(Err(Fault::Aborted));
    driver.look_shows(CopyState::Running, CopyState::Absent);
    driver.restores();
    assert_eq!(driver.cancel_answers(), [CancelAnswer::Cancelled]);
    assert_eq!(driver.outcome().ending, Ending::Cancelled);
    assert_eq!(driver.settings, ORIGINALS);
}

#[test]
fn cancel_that_comes_too_late_says_so() {
    let mut driver = in_precopy();
    driver.cancel();
    driver.call_returns(Ok(()));
    driver.look_shows(CopyState::Absent, CopyState::Running);
    driver.job(JobState::Completed, 3, 0);
    assert_eq!(driver.cancel_answers(), [CancelAnswer::TooLate]);
    assert_eq!(driver.outcome().ending, Ending::Completed);
    driver.cancel();
    assert_eq!(
        driver.cancel_answers(),
        [CancelAnswer::TooLate; 2],
        "asked after the end, the answer is the same"
    );
}

#[test]
fn cancel_while_switching_over_is_in_doubt_until_it_is_known() {
    let mut driver = in_precopy();
    driver.hint(Hint::SourceSuspended);
    driver.cancel();
    assert_eq!(driver.cancel_answers(), [CancelAnswer::InDoubt]);
    driver.call_returns(Err(Fault::Aborted));
    driver.look_shows(CopyState::Running, CopyState::Absent);
    driver.restores();
    assert_eq!(driver.cancel_answers(), [CancelAnswer::InDoubt, CancelAnswer::Cancelled]);
}

#[test]
fn an_abort_that_came_before_the_job_is_asked_for_again() {
    let mut driver = in_precopy();
    driver.cancel();
    let failure = Failure::new(Fault::Refused, "no job is active");
    driver.answer_where(|action| *action == Action::AbortMigration, Answer::Abort(Err(failure)));
    driver.timer();
    driver.job(JobState::Active, 1, 10);
    assert_eq!(driver.actions.iter().filter(|action| **action == Action::AbortMigration).count(), 2);
}

#[test]
fn cancel_before_the_copy_waits_for_the_change_that_is_under_way() {
    let mut driver = Driver::new(spec());
    driver.reach_first_change(GuestRun::Running);
    driver.cancel();
    assert!(driver.migration.view().outcome.is_none());
    driver.restores();
    assert_eq!(driver.cancel_answers(), [CancelAnswer::Cancelled]);
    assert_eq!(driver.settings, ORIGINALS);
    assert!(!driver.did(&Action::StartMigration));
}

#[test]
fn a_timeout_aborts_and_says_what_to_do() {
    let mut driver = in_precopy();
    while driver.now.as_ms() < 60_000 {
        driver.timer();
    }
    assert!(driver.did(&Action::AbortMigration));
    driver.call_returns(Err(Fault::Aborted));
    driver.look_shows(CopyState::Running, CopyState::Absent);
    driver.restores();
    let outcome = driver.outcome();
    assert_eq!((outcome.ending, outcome.cause), (Ending::Failed, Some(Cause::TimedOut)));
    assert_eq!(outcome.advice, Advice::AllowMore);
}

#[test]
fn a_lost_reply_resumes_nothing_while_the_destination_may_run() {
    let mut driver = in_precopy();
    driver.hint(Hint::SourceSuspended);
    driver.call_returns(Err(Fault::ReplyLost));
    for _ in 0..4 {
        driver.look_shows(CopyState::Stopped, CopyState::Unknown);
        driver.timer();
    }
    assert!(!driver.did(&Action::Resume(Side::Source)));
    driver.look_shows(CopyState::Stopped, CopyState::Running);
    driver.timer();
    driver.look_shows(CopyState::Stopped, CopyState::Running);
    assert!(driver.did(&Action::Destroy(Side::Source)), "the destination was seen running twice");
    driver.answer_where(|action| *action == Action::Destroy(Side::Source), Answer::Acted(Ok(())));
    driver.look_shows(CopyState::Absent, CopyState::Running);
    assert_eq!(driver.outcome().guest, GuestLocation::DestinationRunning);
    assert_eq!(driver.outcome().recovered, [Recovery::Destroyed(Side::Source)]);
}

#[test]
fn a_guest_left_standing_is_resumed_when_the_other_host_is_seen_without_it() {
    let mut driver = in_precopy();
    driver.destination_receives();
    driver.call_returns(Err(Fault::Other));
    driver.look_shows(CopyState::Stopped, CopyState::Absent);
    driver.timer();
    driver.look_shows(CopyState::Stopped, CopyState::Absent);
    driver.answer_where(|action| *action == Action::Resume(Side::Source), Answer::Acted(Ok(())));
    driver.look_shows(CopyState::Running, CopyState::Absent);
    driver.restores();
    assert_eq!(driver.outcome().guest, GuestLocation::SourceRunning);
    assert_eq!(driver.outcome().recovered.first(), Some(&Recovery::Resumed(Side::Source)));
}

/// The source's memory is older than the disks once the guest has run on the destination: whatever ends it there, the
/// source is not resumed, and the migration is reported as in doubt.
fn assert_never_resumed(driver: &mut Driver, there: CopyState) {
    driver.ends_with(CopyState::Stopped, there, |_| None);
    assert!(!driver.did(&Action::Resume(Side::Source)), "the source is stale");
    let outcome = driver.outcome();
    assert_eq!((outcome.ending, outcome.guest), (Ending::InDoubt, GuestLocation::SourcePaused));
    assert_eq!(outcome.unsettled, Some(Side::Destination));
}

#[test]
fn a_source_is_not_resumed_after_the_destination_was_seen_running() {
    for state in [CopyState::Running, CopyState::Paused, CopyState::Migrating] {
        let mut driver = in_precopy();
        driver.destination_receives();
        driver.hint(Hint::SourceSuspended);
        driver.call_returns(Err(Fault::ReplyLost));
        driver.look_shows(CopyState::Unknown, state);
        assert_never_resumed(&mut driver, CopyState::Absent);
    }
}

#[test]
fn a_source_is_not_resumed_when_the_destination_has_stored_the_definition() {
    let mut driver = in_precopy();
    driver.destination_receives();
    driver.hint(Hint::SourceSuspended);
    driver.call_returns(Err(Fault::ReplyLost));
    driver.next_look_shows(CopyState::Unknown, CopyState::Defined);
    // Another client removed the definition since: it was there nevertheless.
    assert_never_resumed(&mut driver, CopyState::Absent);
}

#[test]
fn a_source_is_not_resumed_where_no_definition_would_show_that_the_destination_ran() {
    let mut transient = facts(GuestRun::Running);
    transient.guest.persistent = false;
    let mut defined_there = facts(GuestRun::Running);
    defined_there.destination.has_guest = Some(GuestRun::NotRunning);
    for (found, there) in [(transient, CopyState::Absent), (defined_there, CopyState::Defined)] {
        let mut driver = Driver::new(spec());
        driver.reach_precopy_with(found);
        driver.destination_receives();
        driver.call_returns(Err(Fault::ReplyLost));
        assert_never_resumed(&mut driver, there);
    }
}

#[test]
fn nothing_is_resumed_when_the_host_across_was_never_seen_to_receive_the_guest() {
    let mut driver = in_precopy();
    driver.call_returns(Err(Fault::Other));
    driver.look_shows(CopyState::Stopped, CopyState::Absent);
    driver.keeps_showing(CopyState::Stopped, CopyState::Absent);
    assert!(!driver.did(&Action::Resume(Side::Source)), "the name may lead us to another host");
    let outcome = driver.outcome();
    assert_eq!(outcome.ending, Ending::InDoubt);
    assert_eq!((outcome.guest, outcome.unsettled), (GuestLocation::SourcePaused, Some(Side::Destination)));
    assert_eq!(outcome.advice, Advice::LookAtBothHosts);
}

#[test]
fn a_resume_that_is_refused_leaves_the_guest_said_to_be_paused() {
    let mut driver = in_precopy();
    driver.destination_receives();
    driver.call_returns(Err(Fault::Other));
    driver.look_shows(CopyState::Stopped, CopyState::Absent);
    while driver.migration.view().phase == PhaseName::Resolving {
        if driver.out.values().any(|action| *action == Action::Resume(Side::Source)) {
            let failure = Failure::new(Fault::Refused, "no lock");
            driver
                .answer_where(|action| *action == Action::Resume(Side::Source), Answer::Acted(Err(failure)));
        } else if driver.out.values().any(|action| *action == Action::Observe(Side::Source)) {
            driver.look_shows(CopyState::Stopped, CopyState::Absent);
        } else {
            driver.timer();
        }
    }
    driver.restores();
    assert_eq!(driver.outcome().guest, GuestLocation::SourcePaused);
    assert_eq!(driver.outcome().unsettled, None);
    assert_eq!(driver.settings, ORIGINALS);
}

#[test]
fn looks_that_take_longer_than_the_interval_still_count() {
    let mut driver = in_precopy();
    for iteration in 1..=5 {
        // Four intervals pass before the answer comes.
        for _ in 0..4 {
            driver.timer();
        }
        driver.job(JobState::Active, iteration, 100);
    }
    assert_eq!(driver.migration.view().convergence.syncs().len(), 5);
}

#[test]
fn a_look_that_is_never_answered_is_given_up_and_made_again() {
    let mut driver = in_precopy();
    let polls = |driver: &Driver| driver.actions.iter().filter(|action| **action == Action::PollJob).count();
    while driver.now.as_ms() < 40_000 {
        driver.timer();
    }
    assert_eq!(polls(&driver), 3, "every 15 s");
}

#[test]
fn an_accepted_end_that_does_not_come_is_asked_for_again() {
    let mut driver = in_precopy();
    driver.cancel();
    driver.answer_where(|action| *action == Action::AbortMigration, Answer::Abort(Ok(())));
    for iteration in 1..=30 {
        driver.timer();
        driver.job(JobState::Active, iteration, 100);
    }
    assert_eq!(driver.actions.iter().filter(|action| **action == Action::AbortMigration).count(), 2);
}

#[test]
fn a_copy_that_is_followed_after_a_lost_reply_keeps_its_timeout() {
    let mut driver = in_precopy();
    driver.call_returns(Err(Fault::ReplyLost));
    driver.look_shows(CopyState::Migrating, CopyState::Incoming);
    while driver.now.as_ms() < 60_000 {
        if driver.out.values().any(|action| *action == Action::PollJob) {
            driver.job(JobState::Active, 1, 100);
        }
        driver.timer();
    }
    assert!(driver.did(&Action::AbortMigration));
}

#[test]
fn the_timeout_holds_while_switching_over_too() {
    let mut driver = in_precopy();
    driver.hint(Hint::SourceSuspended);
    while driver.now.as_ms() < 60_000 {
        driver.timer();
    }
    assert!(driver.did(&Action::AbortMigration), "the guest may have been suspended by somebody else");
}

#[test]
fn after_a_lost_reply_one_look_is_not_enough() {
    let mut driver = in_precopy();
    driver.call_returns(Err(Fault::ReplyLost));
    driver.look_shows(CopyState::Running, CopyState::Absent);
    assert_eq!(
        driver.migration.view().phase,
        PhaseName::Resolving,
        "the request may still wait in the daemon"
    );
    driver.timer();
    driver.look_shows(CopyState::Running, CopyState::Absent);
    driver.restores();
    assert_eq!(driver.outcome().cause, Some(Cause::ReplyLost));
}

#[test]
fn a_destination_that_is_silent_after_the_hand_over_began_leaves_doubt() {
    let mut driver = in_precopy();
    driver.hint(Hint::SourceSuspended);
    driver.call_returns(Err(Fault::Other));
    driver.look_shows(CopyState::Running, CopyState::Unknown);
    driver.keeps_showing(CopyState::Running, CopyState::Unknown);
    let outcome = driver.outcome();
    assert_eq!((outcome.ending, outcome.guest), (Ending::InDoubt, GuestLocation::SourceRunning));
    assert_eq!(outcome.unsettled, Some(Side::Destination));
}

#[test]
fn an_expected_downtime_is_never_told_as_measured() {
    let mut driver = in_precopy();
    driver.timer();
    driver.job(JobState::Active, 1, 100);
    driver.call_returns(Ok(()));
    driver.look_shows(CopyState::Absent, CopyState::Running);
    driver.job(JobState::None, 0, 0);
    assert_eq!(driver.outcome().ending, Ending::Completed);
    assert_eq!((driver.outcome().downtime_ms, driver.outcome().hypervisor_downtime_ms), (None, None));
}

#[test]
fn a_guest_that_is_nowhere_is_not_advised_to_be_started_blindly() {
    let mut driver = in_precopy();
    driver.call_returns(Err(Fault::Other));
    driver.look_shows(CopyState::Absent, CopyState::Absent);
    driver.keeps_showing(CopyState::Absent, CopyState::Absent);
    assert_eq!((driver.outcome().guest, driver.outcome().advice), (GuestLocation::Nowhere, Advice::FindOut));
    assert_eq!(
        driver.outcome().not_undone.len(),
        3,
        "what its definition may remember is named, and the disks"
    );
}

#[test]
fn a_guest_that_was_paused_before_stays_paused() {
    let mut driver = Driver::new(spec());
    driver.reach_precopy(GuestRun::Paused);
    driver.call_returns(Err(Fault::Other));
    driver.look_shows(CopyState::Paused, CopyState::Absent);
    driver.restores();
    assert_eq!(driver.outcome().guest, GuestLocation::SourcePaused);
    assert!(!driver.did(&Action::Resume(Side::Source)));
}

#[test]
fn a_copy_that_goes_on_without_its_caller_is_followed_to_its_end() {
    let mut driver = in_precopy();
    driver.call_returns(Err(Fault::ReplyLost));
    driver.look_shows(CopyState::Migrating, CopyState::Incoming);
    assert_eq!(driver.migration.view().phase, PhaseName::Precopy);
    driver.timer();
    driver.job(JobState::None, 0, 0);
    driver.look_shows(CopyState::Absent, CopyState::Running);
    assert_eq!(driver.outcome().ending, Ending::Completed);
}

#[test]
fn cancel_reaches_a_copy_that_goes_on_without_its_caller() {
    let mut driver = in_precopy();
    driver.call_returns(Err(Fault::ReplyLost));
    driver.cancel();
    driver.look_shows(CopyState::Migrating, CopyState::Incoming);
    assert!(driver.did(&Action::AbortMigration));
}

#[test]
fn a_destination_that_stays_silent_is_named() {
    let mut driver = in_precopy();
    driver.call_returns(Err(Fault::Other));
    driver.look_shows(CopyState::Running, CopyState::Unknown);
    driver.keeps_showing(CopyState::Running, CopyState::Unknown);
    driver.restores();
    let outcome = driver.outcome();
    assert_eq!((outcome.guest, outcome.unsettled), (GuestLocation::SourceRunning, Some(Side::Destination)));
    assert_eq!(driver.settings, ORIGINALS);
}

#[test]
fn two_running_copies_are_told_and_left_alone() {
    let mut driver = in_precopy();
    driver.call_returns(Err(Fault::ReplyLost));
    driver.look_shows(CopyState::Running, CopyState::Running);
    driver.keeps_showing(CopyState::Running, CopyState::Running);
    let outcome = driver.outcome();
    assert_eq!((outcome.ending, outcome.guest), (Ending::InDoubt, GuestLocation::BothRunning));
    assert_eq!(outcome.advice, Advice::LookAtBothHosts);
    assert!(!driver.actions.iter().any(|action| matches!(action, Action::Destroy(_) | Action::Resume(_))));
}

#[test]
fn a_journal_replays_to_the_same_states_and_tells_where_it_differs() {
    let mut driver = in_precopy();
    driver.call_returns(Ok(()));
    driver.look_shows(CopyState::Absent, CopyState::Running);
    driver.job(JobState::Completed, 3, 0);

    let replayed = journal::replay(&driver.journal, |_, _, _| {}).unwrap();
    assert_eq!(replayed.migration.view().outcome, Some(driver.outcome()));
    assert_eq!(replayed.migration.view().state_digest, driver.migration.view().state_digest);
    assert!(!replayed.torn);

    let torn = format!("{}{{\"at_ns\":1", driver.journal);
    assert!(journal::replay(&torn, |_, _, _| {}).unwrap().torn);

    let forged = driver.journal.replace("\"running\"", "\"paused\"");
    let error = journal::replay(&forged, |_, _, _| {}).unwrap_err();
    assert!(error.reason.contains("differ"), "{error}");

    assert_eq!(journal::replay("", |_, _, _| {}).unwrap_err().line, 1);
    assert_eq!(journal::replay("{}\n", |_, _, _| {}).unwrap_err().line, 1);
}
