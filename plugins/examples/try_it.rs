//! Tries.
use std::time::Instant;
use whimbrel_plugins::host::*;
use whimbrel_plugins::{RuleSet, policy::Policy, shipped};
fn main() {
    let t = Instant::now();
    let cache = Cache::new(std::env::temp_dir().join("whimbrel-try"));
    let host = Host::new(Limits::default(), Allocation::Pooled, Some(cache)).unwrap();
    println!("engine {:?}", t.elapsed());
    let packs = shipped::load(&host).unwrap();
    println!("loaded {:?}", t.elapsed());
    let set = RuleSet::new(packs, Policy::default()).unwrap();
    let facts = whimbrel_facts::Facts::default();
    for _ in 0..5 {
        let t = Instant::now();
        let j = set.judge(&facts, "2026-01-01");
        println!("{} {} {:?}", j.findings.len(), j.fuel, t.elapsed());
    }
    let text = serde_json::to_string_pretty(&set.judge(&facts, "2026-01-01")).unwrap();
    println!("{}", &text[..900]);
}
