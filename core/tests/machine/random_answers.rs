//! Whatever hypervisors answer, in whatever order, the machine keeps its invariants and ends once they answer truly.

use crate::driver::{Driver, ORIGINALS, facts, spec};
use proptest::prelude::*;
use whimbrel_core::convergence::Statistics;
use whimbrel_core::port::{JobReport, JobState};
use whimbrel_core::{
    Action, Adjustment, Answer, CancelAnswer, CopyState, Ending, Failure, Fault, GuestLocation, GuestRun,
    Hint, Side, Verdict, journal,
};

const WISHES: [Adjustment; 5] = [
    Adjustment::DowntimeLimitMs(900),
    Adjustment::BandwidthLimitBytesPerSecond(1 << 30),
    Adjustment::Pause,
    Adjustment::Postcopy,
    Adjustment::DowntimeLimitMs(0),
];

/// Most steps of truthful answers from any state to the end.
const MOST_STEPS: usize = 64;

fn result(choice: u8) -> Result<(), Failure> {
    match choice % 3 {
        0 => Ok(()),
        1 => Err(Failure::new(Fault::Refused, "refused")),
        _ => Err(Failure::new(Fault::ReplyLost, "lost")),
    }
}

fn any_answer(action: &Action, choice: u8) -> Answer {
    let runs = [GuestRun::Running, GuestRun::Paused, GuestRun::NotRunning];
    match action {
        Action::CollectFacts => {
            Answer::Facts(result(choice).map(|()| facts(runs[usize::from(choice / 3) % runs.len()])))
        }
        Action::EvaluateRules(_) => Answer::Verdict(Verdict::default()),
        Action::ReadSettings => Answer::Settings(result(choice).map(|()| ORIGINALS)),
        Action::ApplySetting(_) => Answer::Applied(result(choice)),
        Action::StartMigration | Action::ResumePostcopy => Answer::CallReturned(result(choice)),
        Action::StartPostcopy => Answer::Postcopy(result(choice)),
        Action::PollJob => Answer::Job(result(choice / 3).map(|()| {
            let state = [JobState::None, JobState::Active, JobState::Completed][usize::from(choice) % 3];
            JobReport {
                state,
                statistics: Statistics { iteration: u64::from(choice), ..Statistics::default() },
            }
        })),
        Action::AbortMigration => Answer::Abort(result(choice)),
        Action::Observe(_) => Answer::Copy(CopyState::ALL[usize::from(choice) % CopyState::ALL.len()]),
        Action::Resume(_)
        | Action::Destroy(_)
        | Action::Suspend
        | Action::Undefine(_)
        | Action::RemoveDisks(_) => Answer::Acted(result(choice)),
    }
}

/// What hypervisors answer that have given up the migration and are well.
fn true_answer(action: &Action) -> Answer {
    match action {
        Action::CollectFacts => Answer::Facts(Ok(facts(GuestRun::Running))),
        Action::EvaluateRules(_) => Answer::Verdict(Verdict::default()),
        Action::ReadSettings => Answer::Settings(Ok(ORIGINALS)),
        Action::ApplySetting(_) => Answer::Applied(Ok(())),
        Action::StartMigration | Action::ResumePostcopy => {
            Answer::CallReturned(Err(Failure::new(Fault::Other, "given up")))
        }
        Action::StartPostcopy => Answer::Postcopy(Ok(())),
        Action::PollJob => {
            Answer::Job(Ok(JobReport { state: JobState::None, statistics: Statistics::default() }))
        }
        Action::AbortMigration => Answer::Abort(Ok(())),
        Action::Observe(Side::Source) => Answer::Copy(CopyState::Running),
        Action::Observe(Side::Destination) => Answer::Copy(CopyState::Absent),
        Action::Resume(_)
        | Action::Destroy(_)
        | Action::Suspend
        | Action::Undefine(_)
        | Action::RemoveDisks(_) => Answer::Acted(Ok(())),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn invariants_hold_and_every_migration_ends(steps in prop::collection::vec((0_u8..14, any::<u8>()), 0..60)) {
        let mut driver = Driver::new(spec());
        for (what, choice) in steps {
            // Settings are applied in order: only the oldest of those that are out may be answered.
            let mut setting_seen = false;
            let out: Vec<_> = driver
                .out
                .iter()
                .filter(|(_, action)| {
                    let setting = matches!(action, Action::ApplySetting(_));
                    let overtakes = setting && setting_seen;
                    setting_seen |= setting;
                    !overtakes
                })
                .map(|(id, action)| (*id, action.clone()))
                .collect();
            match what {
                0 => driver.cancel(),
                1 => driver.hint(Hint::ALL[usize::from(choice) % Hint::ALL.len()]),
                2 => { driver.timer(); }
                12 => driver.react(WISHES[usize::from(choice) % WISHES.len()]),
                13 => driver.restart(),
                // An answer that is given twice.
                3 if !out.is_empty() => {
                    let (id, action) = &out[usize::from(choice) % out.len()];
                    driver.answer(*id, any_answer(action, choice));
                    driver.answer(*id, any_answer(action, choice));
                }
                _ if !out.is_empty() => {
                    let (id, action) = &out[usize::from(choice) % out.len()];
                    driver.answer(*id, any_answer(action, choice.rotate_left(3)));
                }
                _ => { driver.timer(); }
            }
        }

        for _ in 0..MOST_STEPS {
            if driver.migration.view().outcome.is_some() {
                break;
            }
            if let Some((id, action)) = driver.out.iter().next().map(|(id, action)| (*id, action.clone())) {
                driver.answer(id, true_answer(&action));
            } else {
                driver.timer();
            }
        }
        let outcome = driver.outcome().clone();

        // Invariant 4: the last answer to a cancel agrees with where the guest is.
        if let Some(answer) = driver.cancel_answers().last() {
            let on_source = matches!(
                outcome.guest,
                GuestLocation::Untouched
                    | GuestLocation::SourceRunning
                    | GuestLocation::SourcePaused
                    | GuestLocation::SourceOff
            );
            prop_assert_eq!(*answer == CancelAnswer::Cancelled, on_source);
        }
        // Zero running copies are no success, and who counts endings by cause knows every pair.
        if outcome.ending == Ending::Completed && outcome.guest == GuestLocation::DestinationPaused {
            prop_assert_ne!(driver.migration.control().ledger().guest_was, GuestRun::Running);
        }
        prop_assert!(outcome.ending.causes().contains(&outcome.cause), "{:?}: {:?}", outcome.ending, outcome.cause);
        // Invariant 5: what was not put back is named.
        let stayed = matches!(outcome.ending, Ending::Cancelled | Ending::Failed)
            && matches!(outcome.guest, GuestLocation::SourceRunning | GuestLocation::SourcePaused);
        if stayed && outcome.not_undone.is_empty() && !driver.out.values().any(|action| matches!(action, Action::ApplySetting(_))) {
            prop_assert_eq!(driver.settings, ORIGINALS);
        }
        // The journal is the whole migration.
        let replayed = journal::replay(&driver.journal, |_, _, _| {}).unwrap();
        prop_assert_eq!(replayed.migration.view().outcome, Some(&outcome));
    }
}
