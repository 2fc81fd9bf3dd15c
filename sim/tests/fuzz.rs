//! Migrations with troubles drawn by chance.

#![cfg(test)]

use whimbrel_sim::fuzz::{Plan, run, series};

#[test]
fn no_promise_is_broken_and_the_same_seeds_give_the_same_bytes() {
    let series = series(0, 20_000, 1);
    assert_eq!(series.found, []);
    assert_eq!(series.replayed, 200);
    // On every machine.
    assert_eq!(format!("{:016x}", series.log_hash), "d145bedf5ccc0298");
}

#[test]
fn a_run_leaves_a_journal_that_replays() {
    for seed in 0..200 {
        let journal = run(&Plan::of(seed), true).journal.unwrap();
        whimbrel_core::journal::replay(&journal, |_, _, _| ()).unwrap();
    }
}
