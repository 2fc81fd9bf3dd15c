//! What an operator may do beside cancelling, and that it is put back when the guest stays.

use crate::driver::{Driver, ORIGINALS, spec};
use whimbrel_core::port::{JobState, Setting};
use whimbrel_core::{
    Action, Adjustment, AdjustmentKind, AdjustmentResult, Answer, AtTimeout, CopyState, Ending, Failure,
    Fault, GuestLocation, GuestRun, Hint, Leftover, Recovery, Side,
};

fn in_precopy() -> Driver {
    let mut driver = Driver::new(spec());
    driver.reach_precopy(GuestRun::Running);
    driver
}

fn applied(driver: &mut Driver, result: Result<(), Failure>) {
    driver.answer_where(|action| matches!(action, Action::ApplySetting(_)), Answer::Applied(result));
}

#[test]
fn limits_are_changed_while_memory_is_copied_and_put_back_when_the_guest_stays() {
    let mut driver = in_precopy();
    driver.react(Adjustment::DowntimeLimitMs(1_200));
    assert!(driver.did(&Action::ApplySetting(Setting::DowntimeLimitMs(1_200))));
    driver.react(Adjustment::BandwidthLimitBytesPerSecond(1 << 30));
    applied(&mut driver, Ok(()));
    assert_eq!(
        driver.reactions(),
        [
            (AdjustmentKind::BandwidthLimit, AdjustmentResult::Busy),
            (AdjustmentKind::DowntimeLimit, AdjustmentResult::Done)
        ]
    );
    let limits = driver.migration.view().limits;
    assert_eq!(
        (limits.downtime_ms, limits.bandwidth_bytes_per_second),
        (Some(1_200), spec().bandwidth_limit_bytes_per_second),
        "the limit that was set, not the one that was refused meanwhile"
    );
    driver.react(Adjustment::BandwidthLimitBytesPerSecond(1 << 30));
    assert_ne!(driver.migration.view().limits.bandwidth_bytes_per_second, Some(1 << 30), "not set yet");
    applied(&mut driver, Ok(()));
    assert_eq!(driver.migration.view().limits.bandwidth_bytes_per_second, Some(1 << 30));
    driver.call_returns(Err(Fault::Other));
    driver.look_shows(CopyState::Running, CopyState::Absent);
    driver.restores();
    assert_eq!(driver.settings, ORIGINALS);
    assert_eq!(driver.outcome().not_undone, []);
}

#[test]
fn limits_can_be_changed_although_none_was_asked_for_at_the_start() {
    let mut plain = spec();
    plain.downtime_limit_ms = None;
    plain.bandwidth_limit_bytes_per_second = None;
    for readable in [true, false] {
        let mut driver = Driver::new(plain.clone());
        driver.pass_validation(GuestRun::Running);
        let answer = if readable { Ok(ORIGINALS) } else { Err(Failure::new(Fault::Other, "no")) };
        driver.answer_where(|action| *action == Action::ReadSettings, Answer::Settings(answer));
        let known = driver.migration.view().limits.downtime_ms;
        assert_eq!(known, readable.then_some(ORIGINALS.downtime_limit_ms));
        assert!(driver.did(&Action::StartMigration), "a setting that no request changes need not be known");
        driver.react(Adjustment::DowntimeLimitMs(800));
        let expected = (AdjustmentKind::DowntimeLimit, AdjustmentResult::NotAllowed);
        assert_eq!(driver.reactions().first() == Some(&expected), !readable, "it could not be put back");
    }
}

#[test]
fn values_out_of_bounds_are_refused_before_anything_is_done() {
    let mut driver = in_precopy();
    for adjustment in [
        Adjustment::DowntimeLimitMs(0),
        Adjustment::DowntimeLimitMs(2_000_001),
        Adjustment::BandwidthLimitBytesPerSecond(1),
    ] {
        driver.react(adjustment);
        assert_eq!(driver.reactions().last().unwrap().1, AdjustmentResult::OutOfBounds);
    }
    assert_eq!(driver.out.values().filter(|action| matches!(action, Action::ApplySetting(_))).count(), 0);
}

#[test]
fn a_reaction_before_the_copy_is_too_early_and_after_it_too_late() {
    let mut driver = Driver::new(spec());
    driver.react(Adjustment::Pause);
    driver.reach_precopy(GuestRun::Running);
    driver.hint(Hint::SourceSuspended);
    driver.react(Adjustment::Pause);
    driver.call_returns(Ok(()));
    driver.react(Adjustment::DowntimeLimitMs(5));
    driver.look_shows(CopyState::Absent, CopyState::Running);
    driver.job(JobState::Completed, 2, 0);
    driver.react(Adjustment::DowntimeLimitMs(5));
    let results: Vec<_> = driver.reactions().into_iter().map(|(_, result)| result).collect();
    let late = AdjustmentResult::TooLate;
    assert_eq!(results, [AdjustmentResult::TooEarly, late, late, late]);
}

#[test]
fn a_guest_that_was_paused_to_complete_runs_when_it_has_arrived() {
    let mut driver = in_precopy();
    driver.destination_receives();
    driver.react(Adjustment::Pause);
    driver.answer_where(|action| *action == Action::Suspend, Answer::Acted(Ok(())));
    assert_eq!(driver.reactions(), [(AdjustmentKind::Pause, AdjustmentResult::Done)]);
    driver.call_returns(Ok(()));
    driver.look_shows(CopyState::Absent, CopyState::Paused);
    driver.job(JobState::Completed, 3, 0);
    driver.next_look_shows(CopyState::Absent, CopyState::Paused);
    driver.answer_where(|action| *action == Action::Resume(Side::Destination), Answer::Acted(Ok(())));
    driver.look_shows(CopyState::Absent, CopyState::Running);
    assert_eq!(driver.outcome().guest, GuestLocation::DestinationRunning);
    assert_eq!(driver.outcome().recovered, [Recovery::Resumed(Side::Destination)]);
}

#[test]
fn a_guest_that_was_paused_to_complete_runs_again_when_it_stays() {
    let mut driver = in_precopy();
    driver.destination_receives();
    driver.react(Adjustment::Pause);
    driver.answer_where(|action| *action == Action::Suspend, Answer::Acted(Ok(())));
    driver.call_returns(Err(Fault::Other));
    driver.look_shows(CopyState::Paused, CopyState::Absent);
    driver.next_look_shows(CopyState::Paused, CopyState::Absent);
    driver.answer_where(|action| *action == Action::Resume(Side::Source), Answer::Acted(Ok(())));
    driver.look_shows(CopyState::Running, CopyState::Absent);
    driver.restores();
    assert_eq!(
        (driver.outcome().guest, driver.outcome().not_undone.len()),
        (GuestLocation::SourceRunning, 0)
    );
}

#[test]
fn a_guest_that_cannot_be_let_run_again_is_named() {
    let mut driver = in_precopy();
    driver.react(Adjustment::Pause);
    driver.answer_where(|action| *action == Action::Suspend, Answer::Acted(Ok(())));
    driver.call_returns(Err(Fault::Other));
    // The destination was never seen to receive it: its absence proves nothing.
    driver.look_shows(CopyState::Paused, CopyState::Absent);
    driver.keeps_showing(CopyState::Paused, CopyState::Absent);
    assert_eq!(driver.outcome().guest, GuestLocation::SourcePaused);
    assert!(driver.outcome().not_undone.contains(&Leftover::Paused));
}

/// The first pause was never answered and may be carried out late; that the second is refused says nothing about it.
#[test]
fn a_refusal_withdraws_only_the_request_that_was_refused() {
    let mut driver = in_precopy();
    driver.destination_receives();
    driver.react(Adjustment::Pause);
    while driver.reactions().is_empty() {
        if driver.out.values().any(|action| *action == Action::PollJob) {
            driver.job(JobState::Active, 1, 1000);
        } else {
            driver.timer();
        }
    }
    driver.react(Adjustment::Pause);
    let refused = Failure::new(Fault::Refused, "it is paused already");
    driver.answer_where(|action| *action == Action::Suspend, Answer::Acted(Err(refused)));
    driver.call_returns(Err(Fault::Other));
    driver.look_shows(CopyState::Paused, CopyState::Absent);
    driver.next_look_shows(CopyState::Paused, CopyState::Absent);
    assert!(driver.did(&Action::Resume(Side::Source)), "our own pause stopped it");
}

#[test]
fn a_guest_that_somebody_else_paused_is_left_paused() {
    let mut driver = in_precopy();
    driver.destination_receives();
    driver.react(Adjustment::Pause);
    let refused = Failure::new(Fault::Refused, "no");
    driver.answer_where(|action| *action == Action::Suspend, Answer::Acted(Err(refused)));
    driver.call_returns(Err(Fault::Other));
    driver.look_shows(CopyState::Paused, CopyState::Absent);
    driver.restores();
    assert_eq!(driver.outcome().guest, GuestLocation::SourcePaused);
    assert!(!driver.did(&Action::Resume(Side::Source)), "our own pause was refused");
}

#[test]
fn a_reaction_that_is_never_answered_is_said_to_be_unknown_and_undone() {
    let mut driver = in_precopy();
    driver.react(Adjustment::BandwidthLimitBytesPerSecond(1 << 30));
    while driver.reactions().is_empty() {
        driver.timer();
    }
    assert_eq!(driver.reactions(), [(AdjustmentKind::BandwidthLimit, AdjustmentResult::NotKnown)]);
    driver.call_returns(Err(Fault::Other));
    driver.look_shows(CopyState::Running, CopyState::Absent);
    driver.restores();
    assert_eq!(driver.settings, ORIGINALS);
}

#[test]
fn the_guest_can_be_paused_at_the_timeout() {
    let mut wanted = spec();
    wanted.at_timeout = AtTimeout::Pause;
    let mut driver = Driver::new(wanted);
    driver.reach_precopy(GuestRun::Running);
    while driver.now.as_ms() < 60_000 {
        driver.timer();
    }
    assert!(driver.did(&Action::Suspend));
    driver.answer_where(|action| *action == Action::Suspend, Answer::Acted(Ok(())));
    driver.call_returns(Ok(()));
    driver.look_shows(CopyState::Absent, CopyState::Running);
    driver.job(JobState::Completed, 3, 0);
    assert_eq!(driver.outcome().ending, Ending::Completed);
}

#[test]
fn disks_that_were_made_are_removed_when_the_guest_stays_and_only_then() {
    let removal = Action::RemoveDisks(vec![crate::driver::DISK.to_owned()]);
    let mut stays = in_precopy();
    stays.call_returns(Err(Fault::Other));
    stays.look_shows(CopyState::Running, CopyState::Absent);
    stays.restores();
    assert!(stays.did(&removal));
    assert_eq!(stays.outcome().recovered.last(), Some(&Recovery::DisksRemoved));

    let mut moves = in_precopy();
    moves.call_returns(Ok(()));
    moves.look_shows(CopyState::Absent, CopyState::Running);
    moves.job(JobState::Completed, 3, 0);
    assert!(!moves.did(&removal));

    let mut silent = in_precopy();
    silent.call_returns(Err(Fault::Other));
    silent.look_shows(CopyState::Running, CopyState::Unknown);
    silent.keeps_showing(CopyState::Running, CopyState::Unknown);
    silent.restores();
    assert!(!silent.did(&removal), "a copy that may be there may use them");
    assert!(silent.outcome().not_undone.contains(&Leftover::Disks));
    assert!(!silent.outcome().disks_left.is_empty(), "the files are named");
}

#[test]
fn a_definition_that_was_left_is_dropped_where_the_guest_is_not() {
    let mut stays = in_precopy();
    stays.call_returns(Err(Fault::Other));
    stays.look_shows(CopyState::Running, CopyState::Defined);
    stays.next_look_shows(CopyState::Running, CopyState::Defined);
    stays.answer_where(|action| *action == Action::Undefine(Side::Destination), Answer::Acted(Ok(())));
    stays.look_shows(CopyState::Running, CopyState::Absent);
    stays.restores();
    assert_eq!(stays.outcome().recovered.first(), Some(&Recovery::Undefined(Side::Destination)));

    let mut moves = in_precopy();
    moves.call_returns(Ok(()));
    moves.look_shows(CopyState::Defined, CopyState::Running);
    moves.job(JobState::Completed, 3, 0);
    let refused = Failure::new(Fault::Refused, "the copy across has no definition of its own");
    moves.ends_with(CopyState::Defined, CopyState::Running, |action| {
        matches!(action, Action::Undefine(_)).then(|| Answer::Acted(Err(refused.clone())))
    });
    assert_eq!(moves.outcome().ending, Ending::Completed);
    assert_eq!(moves.outcome().not_undone, [Leftover::Definition(Side::Source)]);
}
