//! The state machine: inputs a second through whole migrations, and steps a second of control alone.

#![expect(clippy::unwrap_used, reason = "a bench that cannot be set up is to stop")]

use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, Criterion, Throughput};
use whimbrel_benches::recorded;
use whimbrel_core::{Input, Migration};

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    handle(&mut criterion);
    step(&mut criterion);
    criterion.final_summary();
}

/// Elements are inputs: a second of them is what one thread can take.
fn handle(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("core/handle");
    for name in recorded::SCENARIOS {
        let recorded = recorded::record(&recorded::scenario(name).unwrap()).unwrap();
        group.throughput(Throughput::Elements(recorded.inputs.len().try_into().unwrap()));
        group.bench_function(name, |bencher| {
            bencher.iter_batched(
                || (Migration::new(recorded.spec.clone()).unwrap(), recorded.inputs.clone()),
                |(mut migration, inputs)| {
                    for (at, input) in inputs {
                        taken(&mut migration, at, input);
                    }
                    migration
                },
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

fn taken(migration: &mut Migration, at: whimbrel_core::Instant, input: Input) {
    for output in migration.handle(at, input).unwrap() {
        black_box(output);
    }
}

/// Elements are steps.
fn step(criterion: &mut Criterion) {
    let signals = recorded::signals(100);
    let mut group = criterion.benchmark_group("core/control");
    group.throughput(Throughput::Elements(signals.len().try_into().unwrap()));
    group.bench_function("step", |bencher| {
        bencher.iter(|| {
            let mut control = recorded::control();
            for &signal in &signals {
                let (next, orders) = black_box(control).step(black_box(signal)).unwrap();
                black_box(&orders);
                control = next;
            }
            control
        });
    });
    group.finish();
}
