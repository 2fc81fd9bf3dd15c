//! Replay: journal records a second, reading and checking of each state included.

#![expect(clippy::unwrap_used, reason = "a bench that cannot be set up is to stop")]

use std::time::Duration;

use criterion::{Criterion, Throughput};
use whimbrel_benches::recorded;
use whimbrel_core::journal;

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    let mut group = criterion.benchmark_group("journal/replay");
    for name in recorded::SCENARIOS {
        let recorded = recorded::record(&recorded::scenario(name).unwrap()).unwrap();
        group.throughput(Throughput::Elements(recorded.inputs.len().try_into().unwrap()));
        group.bench_function(name, |bencher| {
            bencher.iter(|| journal::replay(&recorded.journal, |_, _, _| {}).unwrap().records);
        });
    }
    group.finish();
    criterion.final_summary();
}
