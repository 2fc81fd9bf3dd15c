//! What a guest loses by a migration, and the same guest under different policies.

use whimbrel_sim::guest::{Guest, Pattern, Writer};
use whimbrel_sim::qemu::{EventKind, SourceConfig, SourceMigration, Status};

const NS_PER_S: u64 = 1_000_000_000;

fn guest(writes_per_second: u64) -> Guest {
    Guest {
        memory_mib: 1_024,
        filled_pages: 200_000,
        writers: vec![Writer::steady(Pattern::Uniform, writes_per_second, 100_000)],
        ..Guest::default()
    }
}

fn start(guest: Guest, downtime_limit_ms: u64) -> SourceMigration {
    let config = SourceConfig { downtime_limit_ms, ..SourceConfig::default() };
    SourceMigration::start_keyed(&config, guest, 0, 7)
}

/// Runs to an instant; the syncs as (instant in ms, newly dirty pages).
fn run(migration: &mut SourceMigration, to_ns: u64) -> Vec<(u64, u64)> {
    let mut syncs = Vec::new();
    while let Some(event) = migration.run_to(to_ns) {
        if let EventKind::SyncDone { newly_dirty_pages, .. } = event.kind {
            syncs.push((event.at_ns / 1_000_000, newly_dirty_pages));
        }
    }
    syncs
}

#[test]
fn a_guest_loses_throttle_pause_and_downtime() {
    let mut migration = start(guest(100_000), 1);
    run(&mut migration, 2 * NS_PER_S);
    assert_eq!(migration.guest_work().lost_ns, 0);
    migration.set_throttle_percent(25);
    run(&mut migration, 4 * NS_PER_S);
    assert_eq!(migration.guest_work().lost_ns, NS_PER_S / 2);
    migration.set_throttle_percent(0);
    migration.set_guest_paused(true);
    run(&mut migration, 5 * NS_PER_S);
    let work = migration.guest_work();
    assert_eq!((work.all_ns, work.lost_ns), (5 * NS_PER_S, NS_PER_S * 3 / 2));
}

#[test]
fn a_migration_that_completes_costs_its_downtime() {
    let mut migration = start(guest(2_000), 300);
    run(&mut migration, 100 * NS_PER_S);
    let statistics = migration.statistics();
    assert_eq!(statistics.status, Status::Completed);
    let lost_ms = migration.guest_work().lost_ns / 1_000_000;
    let downtime_ms = statistics.downtime_ms.unwrap_or(0);
    assert!(downtime_ms > 5 && lost_ms.abs_diff(downtime_ms) <= 1, "{lost_ms} of {downtime_ms}");
}

/// Until the first action that differs both see the same; a sync at the same instant of the guest's own time sees the same
/// writes also later, whatever was drawn in between.
#[test]
fn the_same_guest_writes_the_same_whatever_the_policy_did() {
    let (mut plain, mut other) = (start(guest(100_000), 1), start(guest(100_000), 1));
    let first = run(&mut plain, 9 * NS_PER_S);
    assert_eq!(first, run(&mut other, 9 * NS_PER_S));
    // Another stream of chance would differ in every count.
    let sequential = SourceConfig { downtime_limit_ms: 1, ..SourceConfig::default() };
    let mut unkeyed = SourceMigration::start_keyed(&sequential, guest(100_000), 0, 8);
    assert_ne!(first, run(&mut unkeyed, 9 * NS_PER_S));
}
