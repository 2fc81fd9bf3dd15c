//! The shipped control machine, explored.

#![cfg(test)]

use whimbrel_sim::explore::{Bounds, Scope, explore};

#[test]
#[ignore]
fn probe() {
    let var = |name: &str, or: u64| std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(or);
    let scope = Scope {
        hints: var("HINTS", 1) == 1,
        ..Scope::everything(var("FAULTS", 1) as u8, var("REQUESTS", 1) as u8)
    };
    let began = std::time::Instant::now();
    let coverage = explore(&scope, Bounds { states: var("STATES", 4_000_000) as usize, depth: 200 }, |_| ());
    println!("{coverage:#?} {:?}", began.elapsed());
}
