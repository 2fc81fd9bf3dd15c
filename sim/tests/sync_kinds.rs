//! The kind of a sync as it is derived from two queries, against the simulator, which knows it.

#![cfg(test)]

use whimbrel_core::Instant;
use whimbrel_core::convergence::{Convergence, Statistics, SyncKind};
use whimbrel_sim::guest::{Guest, Pattern, Writer};
use whimbrel_sim::qemu::{AutoConverge, Engine, EventKind, Postcopy, SourceConfig, SourceMigration};
use whimbrel_sim::random::Random;
use whimbrel_sim::versions::{Version, qemu};

const NS_PER_MS: u64 = 1_000_000;
const POLL_NS: u64 = 250 * NS_PER_MS;
const LIMIT_MS: u64 = 300;

/// What libvirt would report: everything but the kind.
fn reported(source: &SourceMigration) -> Statistics {
    Statistics { sync_kind: SyncKind::Unknown, ..source.statistics().reported() }.measured(false)
}

/// The true and the derived kind of each sync that is seen in 60 s, with a query soon after each announced sync and
/// every 250 ms.
fn kinds(qemu: &str, postcopy: bool, bandwidth_mib: u64) -> Vec<(SyncKind, SyncKind)> {
    let version: Version = qemu.parse().unwrap();
    let config = SourceConfig {
        behaviour: qemu::behaviour(version),
        max_bandwidth_bytes_per_second: bandwidth_mib << 20,
        downtime_limit_ms: LIMIT_MS,
        auto_converge: Some(AutoConverge {
            periodic_sync_ns: qemu::periodic_sync_ns(version),
            ..AutoConverge::default()
        }),
        postcopy: postcopy.then(Postcopy::default),
        ..SourceConfig::default()
    };
    let guest = Guest {
        memory_mib: 256,
        region_first_page: 4096,
        filled_pages: 32_768,
        writers: vec![Writer::steady(Pattern::Uniform, 30_000, 24_576)],
        ..Guest::default()
    };
    let mut source = SourceMigration::start(Engine::Lumped, &config, guest, 0, Random::from_seed(3));
    let mut curve = Convergence::default();
    let mut seen = Vec::new();
    let mut query_at_ns = POLL_NS;
    while query_at_ns < 60_000 * NS_PER_MS {
        let event = source.advance_to(query_at_ns);
        if let Some(event) = event {
            if matches!(event.kind, EventKind::SyncDone { announced: true, .. }) {
                // A hint causes a query, which takes some time.
                query_at_ns = query_at_ns.min(event.at_ns + 5 * NS_PER_MS);
            }
            continue;
        }
        if source.statistics().expected_downtime_ms.is_none() {
            break;
        }
        let at = Instant::from_ms(query_at_ns / NS_PER_MS);
        if let Some(sync) = curve.observe(at, &reported(&source), Some(LIMIT_MS)) {
            seen.push((source.statistics().memory.sync_kind, sync.kind));
        }
        query_at_ns += POLL_NS;
    }
    seen
}

fn count(kinds: &[(SyncKind, SyncKind)], pair: (SyncKind, SyncKind)) -> usize {
    kinds.iter().filter(|kinds| **kinds == pair).count()
}

#[test]
fn the_derived_kind_is_the_true_one_or_unknown() {
    let cases =
        [("7.2", false, 5), ("7.2", false, 40), ("9.2", false, 5), ("9.2", false, 40), ("11.1", true, 40)];
    for (qemu, postcopy, bandwidth_mib) in cases {
        let kinds = kinds(qemu, postcopy, bandwidth_mib);
        for (truth, derived) in &kinds {
            let contradicts = *derived != SyncKind::Unknown && derived != truth;
            assert!(!contradicts, "{qemu} at {bandwidth_mib} MiB/s: {derived:?} for {truth:?} in {kinds:?}");
        }
        // The setup's sync is of no pass.
        let all = kinds.iter().filter(|(truth, _)| *truth != SyncKind::Unknown).count();
        let known = kinds.iter().filter(|(_, derived)| *derived != SyncKind::Unknown).count();
        assert!(known * 10 >= all * 6, "{qemu} at {bandwidth_mib} MiB/s: {known} of {kinds:?}");
    }
    assert!(count(&kinds("9.2", false, 5), (SyncKind::Within, SyncKind::Within)) > 1);
    assert!(count(&kinds("7.2", false, 40), (SyncKind::End, SyncKind::End)) > 3);
    assert!(count(&kinds("11.1", true, 40), (SyncKind::Within, SyncKind::Within)) > 20);
}
