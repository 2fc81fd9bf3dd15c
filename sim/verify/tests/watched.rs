//! Verification under the eyes of a caller that counts its work and may stop it.

#![cfg(test)]

use std::ops::ControlFlow;

use whimbrel_sim::qemu::Engine;
use whimbrel_verify::explore::{Bounds, explore, explore_watched, slices};
use whimbrel_verify::fidelity::{compare, compare_watched, migrations, read};
use whimbrel_verify::fuzz::{Setup, series_of, series_watched};

/// Counts, and stops the work at a number of calls.
struct Watch {
    calls: u64,
    most: u64,
}

impl Watch {
    const fn until(most: u64) -> Self {
        Self { calls: 0, most }
    }

    fn call(&mut self) -> ControlFlow<()> {
        self.calls += 1;
        if self.calls < self.most { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    }
}

#[test]
fn a_series_is_stopped_after_the_case_at_work_and_is_the_series_of_those_cases() {
    let mut watch = Watch::until(30);
    let stopped = series_watched(Setup::WITH_ORACLE, 5, 100, 1, || watch.call());
    let whole = series_of(Setup::WITH_ORACLE, 5, 30, 1);
    assert!(stopped.is_stopped && !whole.is_stopped);
    assert_eq!((stopped.cases, stopped.log_hash), (30, whole.log_hash));

    let mut watch = Watch::until(30);
    let whole_after_all = series_watched(Setup::WITH_ORACLE, 5, 30, 1, || watch.call());
    assert_eq!(whole_after_all, whole, "stopped after the last case is not stopped");
}

#[test]
fn an_exploration_that_is_stopped_is_not_exhaustive() {
    let bounds = Bounds { states: 2_000_000, depth: 1_000, violations: 1 };
    let slice = slices().into_iter().find(|slice| slice.name == "hints").unwrap();
    let mut states = Vec::new();
    let stopped = explore_watched(&slice.scope, bounds, |met| {
        states.push(met);
        if met < 50_000 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    assert!(stopped.is_stopped && !stopped.is_exhaustive);
    assert!(states.is_sorted() && states.len() > 40 && *states.last().unwrap() < 52_000, "{states:?}");
    assert!(stopped.unique_states >= 50_000 && stopped.unique_states < slice.states);

    let whole = explore_watched(&slice.scope, bounds, |_| ControlFlow::Continue(()));
    assert_eq!(whole, explore(&slice.scope, bounds, |_| ()));
    assert!(whole.is_exhaustive && !whole.is_stopped);
    assert_eq!(whole.unique_states, slice.states, "docs/safety.md has another size");
}

#[test]
fn a_comparison_that_is_stopped_reports_whole_cases_and_judges_no_target() {
    let recorded = include_str!("../../tests/data/qemu-7.2-quiet.jsonl");
    let cases = read(recorded).unwrap();
    let three = &cases[..3];
    let mut watch = Watch::until(u64::MAX);
    let whole = compare_watched(three, Engine::Mean, 2, || watch.call());
    assert_eq!(whole, compare(three, Engine::Mean, 2));
    assert!(!whole.is_stopped && !whole.targets.is_empty());
    assert_eq!(watch.calls, migrations(three, 2));

    // In the middle of the second case.
    let mut watch = Watch::until(3);
    let stopped = compare_watched(three, Engine::Mean, 2, || watch.call());
    assert!(stopped.is_stopped && stopped.targets.is_empty());
    assert_eq!(stopped.cases, &whole.cases[..1]);
}
