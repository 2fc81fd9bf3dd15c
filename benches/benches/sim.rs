//! The simulator: simulated milliseconds a second for whole scenarios, and migrations a second for each engine by
//! itself, from 1 GiB to 1 TiB.
//!
//! Criterion counts elements; for scenarios one element is a simulated millisecond, so `Kelem/s` reads as simulated
//! seconds a second.

#![expect(clippy::unwrap_used, reason = "a bench that cannot be set up is to stop")]

use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput};
use whimbrel_benches::recorded;
use whimbrel_sim::batch::Batch;
use whimbrel_sim::guest::{Guest, Pattern, Writer};
use whimbrel_sim::qemu::{Engine, SourceConfig};
use whimbrel_sim::random::Random;

const PAGES_PER_GIB: u64 = 1 << 18;
const SIZES_GIB: [u64; 6] = [1, 8, 64, 256, 512, 1024];
/// Longer than any of these migrations.
const PATIENCE_MS: u64 = 100_000_000;

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .sample_size(10)
        .configure_from_args();
    scenarios(&mut criterion);
    for engine in [Engine::Page, Engine::Lumped, Engine::Mean] {
        engine_alone(&mut criterion, engine);
    }
    criterion.final_summary();
}

/// The machine and the page engine together, as `whimbrel simulate` runs them.
fn scenarios(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("sim/scenario");
    for name in recorded::SCENARIOS {
        let scenario = recorded::scenario(name).unwrap();
        let total_ms = recorded::simulate(&scenario).unwrap().migration().view().outcome.unwrap().total_ms;
        group.throughput(Throughput::Elements(total_ms));
        group.bench_function(name, |bencher| bencher.iter(|| recorded::simulate(&scenario).unwrap()));
    }
    group.finish();
}

/// A guest that writes to all of its memory, at a rate that takes 25 rounds to overcome, and one that takes five.
fn engine_alone(criterion: &mut Criterion, engine: Engine) {
    for (label, share_percent) in [("25-rounds", 79), ("5-rounds", 10)] {
        let mut group = criterion.benchmark_group(format!("sim/{engine}/{label}"));
        for gib in SIZES_GIB {
            let batch = batch(gib, share_percent);
            let migrate = || batch.migrate(engine, Random::from_seed(1), PATIENCE_MS);
            let syncs = migrate().syncs;
            group.throughput(Throughput::Elements(1));
            group.bench_function(
                BenchmarkId::from_parameter(format!("{gib} GiB, {syncs} syncs")),
                |bencher| {
                    bencher.iter(migrate);
                },
            );
        }
        group.finish();
    }
}

/// A guest of so much memory on a 10 Gb/s link, which writes so many of the pages that the link carries.
fn batch(gib: u64, share_percent: u64) -> Batch {
    let mut config = SourceConfig {
        max_bandwidth_bytes_per_second: 1_250_000_000,
        // A tenth of the time that the memory takes: the number of rounds does not depend on the memory then.
        downtime_limit_ms: 300,
        ..SourceConfig::default()
    };
    config.host.link_bytes_per_second = 2_500_000_000;
    let pages = gib * PAGES_PER_GIB;
    let writes_per_second = 304_000 * share_percent / 100;
    let guest = Guest {
        memory_mib: gib << 10,
        region_first_page: 4096,
        filled_pages: pages,
        writers: vec![Writer::steady(Pattern::Uniform, writes_per_second, pages - 4096)],
        ..Guest::default()
    };
    Batch::new(&config, guest, 0)
}
