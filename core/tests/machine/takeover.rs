//! A journal that cannot be replayed: another release wrote it, or it is damaged. Its migration is taken over from what
//! can be read, and nothing is done that its journal does not allow.

use serde_json::Value;
use whimbrel_core::journal::{self, Left};
use whimbrel_core::port::JobState;
use whimbrel_core::{
    Action, Adjustment, Answer, CancelAnswer, Cause, CopyState, Ending, Fault, GuestLocation, GuestRun, Hint,
    Input, Instant, Misuse, Outcome, PhaseName, Side, Takeover,
};

use crate::driver::{Driver, ORIGINALS, spec};

/// How another release wrote a journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Release {
    /// With other states, so no digest matches, and fields and names that this release does not know.
    Later,
    /// With other states, and without snapshots.
    Earlier,
}

const RELEASES: [Release; 2] = [Release::Later, Release::Earlier];

/// The same journal as another release would have written it.
fn of(release: Release, journal: &str) -> String {
    let mut lines = journal.lines();
    let mut header: Value = serde_json::from_str(lines.next().unwrap()).unwrap();
    match release {
        Release::Earlier => header["schema"] = "whimbrel.journal/2".into(),
        Release::Later => {
            header["schema"] = "whimbrel.journal/4".into();
            header["host"] = "not known here".into();
            header["spec"]["colour"] = "not known here".into();
            header["spec"]["ways"]["by_pigeon"] = true.into();
        }
    }
    let mut text = format!("{header}\n");
    for line in lines {
        let mut record: Value = serde_json::from_str(line).unwrap();
        record["trail"] = 1.into();
        match release {
            Release::Later => record["spare"] = "not known here".into(),
            Release::Earlier => drop(record.as_object_mut().unwrap().remove("snapshot")),
        }
        text.push_str(&record.to_string());
        text.push('\n');
    }
    text
}

fn takeover(journal: &str) -> (Takeover, Instant) {
    match journal::resume(journal, |_, _, _| ()).unwrap() {
        Left::Read { takeover, last, .. } => (*takeover, last),
        Left::Replayed(_) => panic!("no digest matches"),
    }
}

/// Another driver, of this release, goes on with what one of another release left.
fn taken_over(release: Release, left: &Driver) -> Driver {
    let journal = of(release, &left.journal);
    let (takeover, last) = takeover(&journal);
    assert_eq!(last, left.now);
    Driver::taking_over(&journal, takeover, left.settings, last)
}

fn in_precopy() -> Driver {
    let mut driver = Driver::new(spec());
    driver.reach_precopy(GuestRun::Running);
    driver
}

fn settle(driver: &mut Driver, source: CopyState, destination: CopyState) -> Outcome {
    driver.ends_with(source, destination, |action| match action {
        Action::ApplySetting(_) => Some(Answer::Applied(Ok(()))),
        Action::RemoveDisks(_) => Some(Answer::Acted(Ok(()))),
        _ => None,
    });
    driver.outcome().clone()
}

#[test]
fn a_guest_that_stays_gets_its_settings_back_and_no_second_call_is_made() {
    for release in RELEASES {
        let mut driver = taken_over(release, &in_precopy());
        assert_eq!(driver.migration.view().phase, PhaseName::Resolving);
        let outcome = settle(&mut driver, CopyState::Running, CopyState::Absent);
        assert_eq!((outcome.ending, outcome.guest), (Ending::Failed, GuestLocation::SourceRunning));
        assert_eq!(driver.settings, ORIGINALS);
        assert!(!driver.did(&Action::StartMigration));
    }
}

#[test]
fn a_migration_that_had_not_begun_ends() {
    let reach: [fn(&mut Driver); 3] = [
        |_| {},
        |driver| driver.pass_validation(GuestRun::Running),
        |driver| driver.reach_first_change(GuestRun::Running),
    ];
    for release in RELEASES {
        for reach in reach {
            let mut left = Driver::new(spec());
            reach(&mut left);
            let mut driver = taken_over(release, &left);
            driver.restores();
            let outcome = driver.outcome();
            assert_eq!(
                (outcome.guest, outcome.cause),
                (GuestLocation::Untouched, Some(Cause::DriverRestarted))
            );
            assert_eq!(driver.settings, ORIGINALS);
            assert!(!driver.did(&Action::StartMigration));
        }
    }
}

/// The source is stopped for the switchover, and the destination has been seen receiving and has nothing now.
#[test]
fn a_stopped_guest_is_resumed_where_the_journal_shows_that_it_did_not_run_elsewhere() {
    for release in RELEASES {
        let mut left = in_precopy();
        left.destination_receives();
        left.hint(Hint::SourceSuspended);
        let mut driver = taken_over(release, &left);
        driver.next_look_shows(CopyState::Stopped, CopyState::Absent);
        driver.next_look_shows(CopyState::Stopped, CopyState::Absent);
        assert!(driver.did(&Action::Resume(Side::Source)), "{release:?}");
    }
}

#[test]
fn a_guest_that_the_migration_paused_is_resumed() {
    for release in RELEASES {
        let mut left = in_precopy();
        left.destination_receives();
        left.react(Adjustment::Pause);
        left.answer_where(|action| *action == Action::Suspend, Answer::Acted(Ok(())));
        let mut driver = taken_over(release, &left);
        driver.next_look_shows(CopyState::Paused, CopyState::Absent);
        driver.next_look_shows(CopyState::Paused, CopyState::Absent);
        assert!(driver.did(&Action::Resume(Side::Source)), "{release:?}");
    }
}

#[test]
fn a_source_is_not_resumed_when_the_journal_shows_that_the_destination_may_have_run() {
    let runs: [fn(&mut Driver); 3] = [
        |driver| driver.call_returns(Ok(())),
        |driver| {
            driver.react(Adjustment::Postcopy);
            driver.answer_where(|action| *action == Action::StartPostcopy, Answer::Postcopy(Ok(())));
        },
        |driver| {
            driver.call_returns(Err(Fault::ReplyLost));
            driver.look_shows(CopyState::Unknown, CopyState::Running);
        },
    ];
    for release in RELEASES {
        for run in runs {
            let mut left = in_precopy();
            left.destination_receives();
            run(&mut left);
            let mut driver = taken_over(release, &left);
            let outcome = settle(&mut driver, CopyState::Stopped, CopyState::Absent);
            assert!(!driver.did(&Action::Resume(Side::Source)));
            assert_eq!(outcome.ending, Ending::InDoubt);
        }
    }
}

#[test]
fn a_post_copy_that_was_cut_is_joined() {
    for release in RELEASES {
        let mut left = in_precopy();
        left.react(Adjustment::Postcopy);
        left.answer_where(|action| *action == Action::StartPostcopy, Answer::Postcopy(Ok(())));
        let mut driver = taken_over(release, &left);
        driver.look_shows(CopyState::PostcopyFailed, CopyState::PostcopyFailed);
        assert!(driver.did(&Action::ResumePostcopy), "{release:?}");
    }
}

/// Without snapshots a copy or a definition may be another's: the migration may be over since long.
#[test]
fn nothing_is_destroyed_or_undefined_on_what_was_inferred() {
    let leftovers = [
        (CopyState::Running, CopyState::Paused, Action::Destroy(Side::Destination)),
        (CopyState::Stopped, CopyState::Running, Action::Destroy(Side::Source)),
        (CopyState::Defined, CopyState::Running, Action::Undefine(Side::Source)),
        (CopyState::Running, CopyState::Defined, Action::Undefine(Side::Destination)),
    ];
    for (source, destination, action) in leftovers {
        let mut driver = taken_over(Release::Earlier, &in_precopy());
        settle(&mut driver, source, destination);
        assert!(!driver.did(&action), "{action:?}");
        let mut driver = taken_over(Release::Later, &in_precopy());
        driver.next_look_shows(source, destination);
        driver.next_look_shows(source, destination);
        assert!(driver.did(&action), "a snapshot accounts for it");
    }
}

#[test]
fn a_damaged_line_forbids_what_it_could_have_forbidden() {
    let mut left = in_precopy();
    left.destination_receives();
    left.hint(Hint::SourceSuspended);
    let lines: Vec<&str> = left.journal.lines().collect();
    for damaged in 1..lines.len() {
        let mut lines = lines.clone();
        lines[damaged] = "{\"at_ns\":7,\"inp";
        let journal = lines.join("\n") + "\n";
        let Ok(Left::Read { takeover, last, .. }) = journal::resume(&journal, |_, _, _| ()) else {
            assert!(lines.iter().all(|line| !line.contains("\"facts\"")), "the guest is known");
            continue;
        };
        let mut driver = Driver::taking_over(&journal, *takeover, left.settings, last);
        settle(&mut driver, CopyState::Stopped, CopyState::Absent);
        assert!(!driver.did(&Action::Resume(Side::Source)), "line {damaged}");
    }
}

#[test]
fn a_cancel_that_was_requested_before_is_carried_out() {
    for release in RELEASES {
        let mut left = in_precopy();
        left.cancel();
        let mut driver = taken_over(release, &left);
        driver.look_shows(CopyState::Migrating, CopyState::Incoming);
        assert!(driver.did(&Action::AbortMigration), "{release:?}");
        assert_eq!(driver.cancel_answers(), Vec::<CancelAnswer>::new());
    }
}

/// Lets the copy go on until its next timer.
fn go_on(driver: &mut Driver) {
    if driver.out.values().any(|action| *action == Action::PollJob) {
        driver.job(JobState::Active, 1, 100);
    }
    driver.timer();
}

#[test]
fn the_timeout_goes_on_from_the_beginning() {
    let mut left = in_precopy();
    while left.now.as_ms() < 20_000 {
        go_on(&mut left);
    }
    let mut driver = taken_over(Release::Later, &left);
    assert!(driver.now.as_ms() >= 20_000);
    driver.look_shows(CopyState::Migrating, CopyState::Incoming);
    while !driver.did(&Action::AbortMigration) {
        assert!(driver.now.as_ms() <= 60_000);
        go_on(&mut driver);
    }
    assert_eq!(driver.now.as_ms(), 60_000);
}

#[test]
fn what_was_taken_over_replays_from_there() {
    for release in RELEASES {
        let mut driver = taken_over(release, &in_precopy());
        driver.look_shows(CopyState::Migrating, CopyState::Incoming);
        driver.restart();
        driver.look_shows(CopyState::Absent, CopyState::Running);
        assert_eq!(driver.outcome().ending, Ending::Completed);
        let Left::Replayed(replayed) = journal::resume(&driver.journal, |_, _, _| ()).unwrap() else {
            panic!("it replays");
        };
        assert_eq!(replayed.migration.view().outcome, Some(driver.outcome()));
    }
}

#[test]
fn a_migration_that_had_ended_is_not_driven() {
    for release in RELEASES {
        let mut left = in_precopy();
        left.call_returns(Ok(()));
        left.look_shows(CopyState::Absent, CopyState::Running);
        left.job(JobState::Completed, 3, 0);
        let (takeover, _) = takeover(&of(release, &left.journal));
        assert_eq!(takeover.snapshot.outcome.as_deref(), Some(left.outcome()));
    }
}

/// The hosts were out of reach when it ended; they are back.
#[test]
fn a_doubt_is_examined_again_and_settled() {
    let mut left = in_precopy();
    left.destination_receives();
    left.call_returns(Err(Fault::ReplyLost));
    left.ends_with(CopyState::Stopped, CopyState::Unknown, |_| None);
    assert_eq!(left.outcome().ending, Ending::InDoubt);
    assert_ne!(left.settings, ORIGINALS);
    let again = left.migration.takeover().examined_again();
    let mut driver = Driver::taking_over(&left.journal, again, left.settings, left.now);
    driver.next_look_shows(CopyState::Stopped, CopyState::Absent);
    driver.next_look_shows(CopyState::Stopped, CopyState::Absent);
    driver.answer_where(|action| *action == Action::Resume(Side::Source), Answer::Acted(Ok(())));
    let outcome = settle(&mut driver, CopyState::Running, CopyState::Absent);
    assert_eq!((outcome.ending, outcome.guest), (Ending::Failed, GuestLocation::SourceRunning));
    assert_eq!((driver.settings, outcome.not_undone), (ORIGINALS, vec![]));
}

#[test]
fn a_migration_that_has_begun_cannot_be_taken_over() {
    let mut driver = in_precopy();
    let takeover = driver.migration.takeover();
    let input = Input::TakenOver(Box::new(takeover));
    let refused = driver.migration.handle(driver.now, input).unwrap_err();
    assert_eq!(refused, Misuse::AlreadyBegun);
    driver.call_returns(Err(Fault::Other));
}
