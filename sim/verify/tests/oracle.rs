//! The oracle on the simulated world: what it says of a guest that acts by itself, and of drivers that lie.

#![cfg(test)]

use whimbrel_core::{Adjustment, Answer, CopyState, Input, Observation, Request};
use whimbrel_oracle::{Claim, Rule};
use whimbrel_sim::world::Milestone;
use whimbrel_verify::fuzz::{Broken, Plan, Series, Setup, Trouble, What, When, run_with_oracle, series_of};

/// Migrations of each series; `WHIMBREL_CASES` sets more.
fn cases() -> u64 {
    std::env::var("WHIMBREL_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(20_000)
}

fn tell(series: &Series) {
    for found in &series.found {
        println!("seed {}: {:?} {:?}", found.seed, found.broken, found.plan.troubles);
    }
    println!("{} of {} migrations", series.found.len(), series.cases);
}

/// The recorder must never contradict itself, whatever the machine does.
#[test]
fn every_history_is_consistent() {
    let series = series_of(Setup::WITH_ORACLE, 0, 5_000, usize::MAX);
    let contradicts = |broken| broken == Broken::Rule(Rule::Consistent);
    assert!(!series.found.iter().any(|found| contradicts(found.broken)));
    assert_eq!(series.replayed, 50);
}

#[test]
fn the_oracle_agrees_with_every_migration_of_a_guest_that_only_runs() {
    let series = series_of(Setup { plan: Plan::of, ..Setup::WITH_ORACLE }, 0, cases(), 100);
    tell(&series);
    assert!(series.found.is_empty());
}

#[test]
fn the_guest_and_others_may_act_and_no_promise_is_broken() {
    let series = series_of(Setup::WITH_ORACLE, 0, cases(), 100);
    tell(&series);
    assert!(series.found.is_empty());
}

/// The source's daemon dies while the destination takes over; the guest runs there and powers itself off; the daemon
/// comes back with a copy that is older than the disks.
#[test]
fn a_source_is_not_resumed_after_the_guest_ran_and_powered_off_on_the_destination() {
    let plan = Plan {
        seed: 0,
        writes_per_second: 200,
        is_persistent: true,
        postcopy: false,
        limits: false,
        timeout_ms: None,
        poll_interval_ms: 1_000,
        troubles: vec![
            Trouble { when: When::At(Milestone::Starting), after_ms: 0, what: What::Daemon(true, 40_000) },
            Trouble { when: When::At(Milestone::Started), after_ms: 2_000, what: What::PowerOff },
        ],
    };
    assert_eq!(run_with_oracle(&plan, false).broken, None);
}

/// The guest wakes up in post-copy, and libvirt reports it as running; the driver was gone meanwhile.
/// The destination ran the guest for a moment and lost its power; another client then migrated the source's copy, which
/// had been paused and was older than the disks, to the destination again.
#[test]
fn a_copy_that_somebody_else_made_of_a_stale_source_is_not_resumed() {
    let plan = Plan {
        seed: 8_856_596,
        writes_per_second: 0,
        is_persistent: false,
        postcopy: false,
        limits: false,
        timeout_ms: None,
        poll_interval_ms: 1_000,
        troubles: vec![
            Trouble { when: When::At(Milestone::Started), after_ms: 0, what: What::Host(false, 50) },
            Trouble {
                when: When::At(Milestone::Copying),
                after_ms: 0,
                what: What::Request(Request::React(Adjustment::Pause)),
            },
            Trouble { when: When::Begin, after_ms: 3_069, what: What::Migrate(true) },
        ],
    };
    assert_eq!(run_with_oracle(&plan, false).broken, None);
}

#[test]
fn the_source_half_of_a_post_copy_is_kept_when_the_guest_has_woken_up() {
    let plan = Plan {
        seed: 0,
        writes_per_second: 20_000,
        is_persistent: true,
        postcopy: true,
        limits: false,
        timeout_ms: None,
        poll_interval_ms: 1_000,
        troubles: vec![
            Trouble { when: When::At(Milestone::Copying), after_ms: 100, what: What::Request(POSTCOPY) },
            Trouble { when: When::At(Milestone::Postcopy), after_ms: 0, what: What::WakeUp },
            Trouble { when: When::At(Milestone::Postcopy), after_ms: 1, what: What::Clients(true) },
        ],
    };
    assert_eq!(run_with_oracle(&plan, false).broken, None);
}

const POSTCOPY: Request = Request::React(Adjustment::Postcopy);

/// A driver's mistake: a copy that is there is reported as absent.
fn nothing_is_there(input: Input) -> Input {
    match input {
        Input::Hypervisor(Observation::Answer {
            to,
            answer: Answer::Copy(CopyState::Running | CopyState::Paused | CopyState::Unknown),
        }) => Input::Hypervisor(Observation::Answer { to, answer: Answer::Copy(CopyState::Absent) }),
        other => other,
    }
}

#[test]
fn a_driver_that_lies_breaks_rules_of_the_oracle() {
    let series = series_of(Setup { told_as: nothing_is_there, ..Setup::WITH_ORACLE }, 0, 5_000, usize::MAX);
    let is_found = |broken| series.found.iter().any(|found| found.broken == broken);
    assert!(is_found(Broken::Claim(Claim::Nowhere)) && is_found(Broken::Rule(Rule::OneWriter)));
}

/// A driver's mistake: no answer about a copy is passed on.
fn nothing_is_known(input: Input) -> Input {
    match input {
        Input::Hypervisor(Observation::Answer { to, answer: Answer::Copy(_) }) => {
            Input::Hypervisor(Observation::Answer { to, answer: Answer::Copy(CopyState::Unknown) })
        }
        other => other,
    }
}

#[test]
fn a_doubt_that_the_observations_do_not_justify_is_found() {
    let series = series_of(Setup { told_as: nothing_is_known, ..Setup::WITH_ORACLE }, 0, 1_000, usize::MAX);
    assert!(series.found.iter().any(|found| found.broken == Broken::Claim(Claim::InDoubt)));
}

/// The last memory arrives as the migration is ended, and the source's QEMU dies then: the guest on the destination is
/// whole, although it is still reported in post-copy.
#[test]
fn a_half_whose_source_is_gone_is_not_called_lost_before_it_misses_memory() {
    let plan = Plan {
        seed: 7_509_285,
        writes_per_second: 0,
        is_persistent: false,
        postcopy: true,
        limits: false,
        timeout_ms: None,
        poll_interval_ms: 5_000,
        troubles: vec![
            Trouble { when: When::At(Milestone::Copying), after_ms: 0, what: What::Request(POSTCOPY) },
            Trouble { when: When::At(Milestone::Copying), after_ms: 3, what: What::Request(Request::Cancel) },
            Trouble { when: When::Begin, after_ms: 3_671, what: What::Guest(true) },
        ],
    };
    assert_eq!(run_with_oracle(&plan, false).broken, None);
}
