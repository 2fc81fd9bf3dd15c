//! Audits from within: what every moment of an evacuation must look like.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::network::{NetworkError, Resource};
use crate::qemu::Engine;

/// A small fleet with everything that may be in short supply.
fn fleet(at_once: u64, per_host: u64, uplink_mib: Option<u64>, order: Order, room_mib: u64) -> Fleet {
    let hosts = |name: &str, count, memory_mib, uplink_mib_per_second| HostGroup {
        name: name.to_owned(),
        count,
        memory_mib,
        card_mib_per_second: 1_000,
        uplink_mib_per_second,
    };
    let guests = |name: &str, count, memory_mib, working_set_mib, writes_per_second| GuestGroup {
        name: name.to_owned(),
        count,
        on: 0,
        spread: Spread::Even,
        memory_mib,
        filled_mib: memory_mib / 2,
        working_set_mib,
        writes_per_second,
    };
    Fleet {
        name: "audit".to_owned(),
        description: String::new(),
        seed: 7,
        latency_us: 100,
        hosts: vec![
            hosts("old", 4, 65_536, uplink_mib),
            hosts("new", 3, room_mib, None),
            hosts("spare", 1, room_mib, Some(300)),
        ],
        guests: vec![guests("small", 24, 1_024, 64, 500), guests("large", 8, 4_096, 512, 5_000)],
        evacuation: Evacuation {
            from: vec![0],
            to: vec![1, 2],
            at_once,
            at_once_per_source: per_host,
            at_once_per_destination: per_host,
            order,
            attempts: 2,
            rest_ms: 5_000,
            migration: FleetMigration { timeout_ms: 60_000, ..FleetMigration::default() },
        },
        faults: Vec::new(),
        expect: FleetExpectation::default(),
    }
}

/// Memory, and the shares of the network, at the present moment.
fn audit(evacuating: &mut Evacuating) -> usize {
    let world = &evacuating.stage.world;
    for host in world.hosts() {
        let (used, all) = (world.memory_in_use_mib(host), world.inventory(host).memory_mib);
        assert!(used <= all, "{}: {used} of {all} MiB", world.inventory(host).name);
    }
    audit_shares(evacuating).unwrap()
}

/// The definition of max-min fairness: a flow below its demand crosses a full resource on which no flow has more.
fn audit_shares(evacuating: &mut Evacuating) -> Result<usize, NetworkError> {
    let mut flows = Vec::new();
    for moving in evacuating.moving.values() {
        let (guest, from, to) = evacuating.ends(moving.start).unwrap();
        let stage = &evacuating.stage;
        let (source, destination) = (stage.host(from).unwrap(), stage.host(to).unwrap());
        let Some((rate, demand)) = stage.world.share_bytes_per_second(guest, source) else { continue };
        let cards = [
            Resource::Transmit(stage.world.network_id(source)),
            Resource::Receive(stage.world.network_id(destination)),
        ];
        let segments = stage.segments(from, to).into_iter().map(Resource::Segment);
        flows.push((rate, demand, cards.into_iter().chain(segments).collect::<Vec<_>>()));
    }
    let mut on: BTreeMap<Resource, Vec<u64>> = BTreeMap::new();
    for (rate, _, resources) in &flows {
        for resource in resources {
            on.entry(*resource).or_default().push(*rate);
        }
    }
    let network = evacuating.stage.world.network_mut();
    let mut full = BTreeMap::new();
    for (resource, rates) in &on {
        let (capacity, load) = (network.capacity(*resource)?, rates.iter().sum::<u64>());
        assert!(load <= capacity, "{load} of {capacity} on {resource:?}");
        assert_eq!(load, network.load(*resource)?, "no other transfer is on {resource:?}");
        // Rounding leaves less than a byte a second for each.
        let slack = u64::try_from(rates.len()).unwrap();
        full.insert(*resource, load + slack > capacity);
    }
    for (rate, demand, resources) in &flows {
        let held_back =
            |resource: &Resource| full[resource] && on[resource].iter().all(|other| other <= rate);
        assert!(rate >= demand || resources.iter().any(held_back), "{rate} of {demand} over {resources:?}");
    }
    Ok(flows.len())
}

/// The most intervals that overlap.
fn most_at_once(mut intervals: Vec<(u64, u64)>) -> u64 {
    let mut ends: Vec<u64> = intervals.iter().map(|(_, ended)| *ended).collect();
    intervals.sort_unstable();
    ends.sort_unstable();
    let (mut under_way, mut most, mut over) = (0, 0, 0);
    for (began, _) in intervals {
        while ends.get(over).is_some_and(|ended| *ended <= began) {
            over += 1;
            under_way -= 1;
        }
        under_way += 1;
        most = most.max(under_way);
    }
    most
}

/// Evacuates, looking at every migration's end, and then at the whole course.
fn evacuate(fleet: &Fleet) -> (Vec<Moved>, Evacuating) {
    let mut evacuating = Evacuating::new(fleet, Engine::Lumped, fleet.seed).unwrap();
    let mut ended = Vec::new();
    let mut shared = 0;
    while let Some(moved) = evacuating.next_ended().unwrap() {
        shared = shared.max(audit(&mut evacuating));
        ended.push(moved);
    }
    assert!(evacuating.moving.is_empty() && evacuating.world().incidents().is_empty());
    // With few at once, no other migration may be copying at the sampled moments.
    let many = fleet.evacuation.at_once >= 16 && fleet.evacuation.at_once_per_source >= 4;
    assert!(!many || shared > 1, "several migrations were compared together");
    let intervals = |of: &dyn Fn(&Moved) -> bool| {
        let those = ended.iter().filter(|moved| of(moved));
        most_at_once(those.map(|moved| (moved.began_ns, moved.ended_ns)).collect())
    };
    assert!(intervals(&|_| true) <= fleet.evacuation.at_once);
    for moved in &ended {
        assert!(intervals(&|other| other.from == moved.from) <= fleet.evacuation.at_once_per_source);
        assert!(intervals(&|other| other.to == moved.to) <= fleet.evacuation.at_once_per_destination);
    }
    (ended, evacuating)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    /// No flow is over its limits, no host has more guests than memory, and the network is shared max-min fairly, at
    /// every migration's end; and every guest runs on one host in the end.
    #[test]
    fn limits_memory_and_shares_hold_all_the_time(
        at_once in 1..40_u64,
        per_host in 1..8_u64,
        uplink_mib in proptest::option::of(200..3_000_u64),
        order in prop::sample::select(Order::WORDS.map(|(_, order)| order).to_vec()),
        room_mib in prop::sample::select(vec![65_536_u64, 16_384, 12_000]),
    ) {
        let fleet = fleet(at_once, per_host, uplink_mib, order, room_mib);
        let (_, evacuating) = evacuate(&fleet);
        let world = evacuating.world();
        for guest in world.guests() {
            prop_assert_eq!(world.running_on(guest).count(), 1);
        }
    }
}

#[test]
fn guests_go_in_the_order_that_is_asked_for() {
    let begun = |order| {
        let (mut ended, _) = evacuate(&fleet(1, 1, None, order, 65_536));
        ended.sort_by_key(|moved| moved.began_ns);
        ended.into_iter().map(|moved| moved.guest).collect::<Vec<_>>()
    };
    assert_eq!(begun(Order::Listed)[..3], ["small-1", "small-2", "small-3"]);
    assert_eq!(begun(Order::LargestFirst)[..2], ["large-1", "large-2"]);
    assert!(
        begun(Order::QuietestFirst)[23].starts_with("small") && begun(Order::BusiestFirst)[0] == "large-1"
    );
    assert_eq!(begun(Order::SmallestFirst), begun(Order::Listed), "equals keep their order");
}

#[test]
fn who_finds_no_room_is_never_tried_and_nobody_is_harmed() {
    let fleet = fleet(8, 2, None, Order::LargestFirst, 8_192);
    let report = fleet.evacuate(Engine::Lumped, 1, |_| {}).unwrap();
    let counts = report.guests;
    // Four hosts of 8 GiB take eight guests of 4 GiB.
    assert_eq!((counts.all, counts.moved, counts.not_tried), (32, 8, 24));
    assert_eq!(fleet.expect.unmet(&report).len(), 1);
}

#[test]
fn nobody_waits_for_a_host_that_rests_when_nobody_is_left() {
    let mut silent = fleet(40, 8, None, Order::Listed, 65_536);
    silent.evacuation.attempts = 1;
    silent.evacuation.rest_ms = 3_600_000;
    let host = HostPlace { group: 0, index: 2 };
    silent.faults = vec![FleetFault { at_ms: 0, what: HostFault::SilenceHost, host, other: None }];
    let mut evacuating = Evacuating::new(&silent, Engine::Lumped, 1).unwrap();
    let mut last_ns = 0;
    while let Some(moved) = evacuating.next_ended().unwrap() {
        last_ns = moved.ended_ns;
    }
    assert_eq!(evacuating.world().now_ns(), last_ns);
}

#[test]
fn packed_guests_fill_one_host_after_the_other() {
    let mut packed = fleet(1, 1, None, Order::Listed, 65_536);
    packed.guests.truncate(1);
    packed.guests[0].spread = Spread::Packed;
    packed.guests[0].count = 100;
    let hosts: Vec<usize> = packed.placement().unwrap().iter().map(|placed| placed.host.index).collect();
    assert_eq!((hosts[0], hosts[63], hosts[64], hosts[99]), (0, 0, 1, 1));
    packed.guests[0].count = 300;
    assert_eq!(packed.check_room(), Err(NoRoom { guests: 0, fit: 256 }));
}

#[test]
fn percentiles_are_values_by_nearest_rank() {
    assert_eq!(Percentiles::of(Vec::new()), None);
    assert_eq!(
        Percentiles::of((1..=200).rev().collect()),
        Some(Percentiles { p50: 100, p95: 190, p99: 198, max: 200 })
    );
    assert_eq!(Percentiles::of(vec![5]), Some(Percentiles { p50: 5, p95: 5, p99: 5, max: 5 }));
}
