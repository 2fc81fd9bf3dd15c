//! The simulator: simulated milliseconds a second, for whole scenarios and for the page engine on large guests.
//!
//! Criterion counts elements; here one element is a simulated millisecond, so `Kelem/s` reads as simulated seconds a
//! second.

#![expect(clippy::unwrap_used, reason = "a bench that cannot be set up is to stop")]

use std::time::Duration;

use criterion::{Criterion, Throughput};
use whimbrel_benches::recorded;
use whimbrel_sim::Scenario;
use whimbrel_sim::qemu::{Guest, SourceConfig, SourceMigration, Status, UniformPhase, Writer};
use whimbrel_sim::random::Random;

const PAGES_PER_GIB: u64 = 1 << 18;
const NS_PER_MS: u64 = 1_000_000;

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .sample_size(20)
        .configure_from_args();
    scenarios(&mut criterion);
    guests(&mut criterion);
    criterion.final_summary();
}

/// The machine and the page engine together, as `whimbrel simulate` runs them.
fn scenarios(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("sim/scenario");
    for name in Scenario::built_in_names() {
        let scenario = recorded::scenario(name).unwrap();
        let total_ms = recorded::simulate(&scenario).unwrap().migration().view().outcome.unwrap().total_ms;
        group.throughput(Throughput::Elements(total_ms));
        group.bench_function(name, |bencher| bencher.iter(|| recorded::simulate(&scenario).unwrap()));
    }
    group.finish();
}

/// The page engine alone: a quarter of the guest is written to, over a link of 1 GB/s without a limit.
fn guests(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("sim/guest");
    for gib in [1, 4, 16] {
        group.throughput(Throughput::Elements(migrate(gib)));
        group.bench_function(format!("{gib} GiB"), |bencher| bencher.iter(|| migrate(gib)));
    }
    group.finish();
}

/// Migrates a guest to the end; gives the milliseconds that took.
fn migrate(gib: u64) -> u64 {
    let phase =
        UniformPhase { from_ns: 0, writes_per_second: 50_000, working_set_pages: gib * PAGES_PER_GIB / 4 };
    let guest = Guest {
        memory_mib: gib << 10,
        region_first_page: 4096,
        filled_pages: gib * PAGES_PER_GIB / 2,
        paused: false,
        started_at_ns: 0,
        writer: Writer::Uniform(vec![phase]),
    };
    let config = SourceConfig { max_bandwidth_bytes_per_second: 0, ..SourceConfig::default() };
    let mut source = SourceMigration::start(config, guest, 0, Random::from_seed(1));
    let mut ended_ns = 0;
    while let Some(event) = source.advance_to(u64::MAX) {
        ended_ns = event.at_ns;
    }
    assert_eq!(source.status(), Status::Completed);
    ended_ns / NS_PER_MS
}
