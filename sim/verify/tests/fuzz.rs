//! Migrations with troubles drawn by chance.

#![cfg(test)]

use whimbrel_core::{Adjustment, Answer, CopyState, Input, Observation, Request};
use whimbrel_sim::world::Milestone;
use whimbrel_verify::fuzz::{
    Plan, Setup, Trouble, What, When, as_test, run, run_with_oracle, series, series_of, series_told_as,
};

#[test]
fn no_promise_is_broken_and_the_same_seeds_give_the_same_bytes() {
    let series = series(0, 20_000, 1);
    assert_eq!(series.found, []);
    assert_eq!(series.replayed, 200);
    // On every machine.
    assert_eq!(format!("{:016x}", series.log_hash), "11edb2adb64a7bed");
}

/// What is called completed runs, also when a disk fails at any moment.
#[test]
fn a_guest_whose_disk_fails_is_not_called_completed() {
    assert_eq!(series_of(Setup::WITH_DISKS, 0, 5_000, 1).found, []);
}

#[test]
fn a_run_leaves_a_journal_that_replays() {
    for seed in 0..200 {
        let journal = run(&Plan::of(seed), true).journal.unwrap();
        whimbrel_core::journal::replay(&journal, |_, _, _| ()).unwrap();
    }
}

/// A driver's mistake: it passes altered inputs to the machine.
type Lie = fn(Input) -> Input;

const LIES: [(&str, Lie); 2] = [
    ("a copy that runs is reported as absent", |input| {
        told(input, |answer| match answer {
            Answer::Copy(CopyState::Running) => Answer::Copy(CopyState::Absent),
            other => other,
        })
    }),
    ("a host that does not answer is reported as having nothing", |input| {
        told(input, |answer| match answer {
            Answer::Copy(CopyState::Unknown) => Answer::Copy(CopyState::Absent),
            other => other,
        })
    }),
];

fn told(input: Input, change: fn(Answer) -> Answer) -> Input {
    match input {
        Input::Hypervisor(Observation::Answer { to, answer }) => {
            Input::Hypervisor(Observation::Answer { to, answer: change(answer) })
        }
        other => other,
    }
}

#[test]
fn a_driver_that_lies_is_found_out_and_what_is_told_of_it_is_small() {
    let mut sizes = Vec::new();
    for (name, lie) in LIES {
        let series = series_told_as(0, 20_000, 20, lie);
        println!("{name}: {} of {} seeds", series.found.len(), series.cases);
        assert!(!series.found.is_empty(), "{name}");
        sizes.extend(series.found.iter().map(|found| found.plan.troubles.len()));
        assert!(series.found.iter().all(|found| found.plan.troubles.len() <= found.troubles));
    }
    sizes.sort_unstable();
    println!("troubles that are left: {sizes:?}");
    assert!(sizes[sizes.len() / 2] <= 2 && sizes[sizes.len() - 1] <= 10, "{sizes:?}");
}

/// In a case that no guest can cause, the machine says that it does not know; how a call came back decides nothing by
/// itself.
const SEEN_THROUGH: [(&str, Lie); 2] = [
    ("a copy that is off is reported as running", |input| {
        told(input, |answer| match answer {
            Answer::Copy(CopyState::Absent | CopyState::Defined) => Answer::Copy(CopyState::Running),
            other => other,
        })
    }),
    ("a call that failed is reported as done", |input| {
        told(input, |answer| match answer {
            Answer::CallReturned(Err(_)) => Answer::CallReturned(Ok(())),
            other => other,
        })
    }),
];

#[test]
fn some_lies_are_seen_through() {
    for (name, lie) in SEEN_THROUGH {
        assert_eq!(series_told_as(0, 20_000, 1, lie).found, [], "{name}");
    }
}

#[test]
fn a_plan_is_written_as_a_test_that_can_be_pasted() {
    let trouble = |when, after_ms, what| Trouble { when, after_ms, what };
    let plan = Plan {
        seed: 12,
        writes_per_second: 200,
        is_persistent: true,
        postcopy: false,
        limits: true,
        timeout_ms: Some(900),
        poll_interval_ms: 250,
        troubles: vec![
            trouble(When::Begin, 3, What::Daemon(true, 50)),
            trouble(When::At(Milestone::Stopped), 0, What::Request(Request::Cancel)),
            trouble(When::Begin, 7, What::Request(Request::React(Adjustment::Pause))),
        ],
    };
    let written = as_test(&plan);
    assert!(
        include_str!("fuzz.rs").contains(&written),
        "this is not the test at the end of this file:\n{written}"
    );
}

// Written by `as_test`, but for nothing: it must compile as it is.
#[test]
fn seed_12_keeps_every_promise() {
    let plan = Plan {
        seed: 12,
        writes_per_second: 200,
        is_persistent: true,
        postcopy: false,
        limits: true,
        timeout_ms: Some(900),
        poll_interval_ms: 250,
        troubles: vec![
            Trouble { when: When::Begin, after_ms: 3, what: What::Daemon(true, 50) },
            Trouble { when: When::At(Milestone::Stopped), after_ms: 0, what: What::Request(Request::Cancel) },
            Trouble {
                when: When::Begin,
                after_ms: 7,
                what: What::Request(Request::React(Adjustment::Pause)),
            },
        ],
    };
    assert_eq!(run_with_oracle(&plan, false).broken, None);
}
