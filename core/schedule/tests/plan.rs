//! Evacuations by chance and by hand: limits and memory are kept, and every guest has its turns.

#![cfg(test)]

use proptest::prelude::*;
use whimbrel_core::{Advice, Cause, Ending, Failure, Fault, GuestLocation, Outcome};
use whimbrel_schedule::{After, Candidate, Ended, Limits, Order, Schedule, Start, UnderWay};

const LIMITS: Limits = Limits { at_once: 8, per_source: 8, per_destination: 8, attempts: 2, rest_ns: 1_000 };
const MOVED: Ended = Ended { guest: After::Moved, rests_source: false, rests_destination: false };

fn guest(source: usize, memory_mib: u64, writes_per_second: u64) -> Candidate {
    Candidate { source, memory_mib, writes_per_second }
}

fn all_starts(schedule: &mut Schedule, now_ns: u64) -> Vec<Start> {
    std::iter::from_fn(|| schedule.next(now_ns)).collect()
}

#[test]
fn guests_leave_in_the_order_that_was_asked_for() {
    let guests = vec![guest(0, 20, 7), guest(0, 10, 9), guest(0, 30, 8), guest(0, 10, 9)];
    let orders = [
        (Order::Listed, [0, 1, 2, 3]),
        (Order::SmallestFirst, [1, 3, 0, 2]),
        (Order::LargestFirst, [2, 0, 1, 3]),
        (Order::QuietestFirst, [0, 2, 1, 3]),
        (Order::BusiestFirst, [1, 3, 2, 0]),
    ];
    for (order, expected) in orders {
        let mut schedule = Schedule::new(LIMITS, order, guests.clone(), 1, [100]);
        let left: Vec<_> = all_starts(&mut schedule, 0).iter().map(|start| start.guest).collect();
        assert_eq!(left, expected, "{order:?}");
    }
}

#[test]
fn a_guest_goes_where_the_fewest_migrations_are_and_then_where_the_most_room_is() {
    let guests = vec![guest(0, 10, 0); 3];
    let mut schedule = Schedule::new(LIMITS, Order::Listed, guests, 1, [20, 40, 5]);
    let there: Vec<_> = all_starts(&mut schedule, 0).iter().map(|start| start.destination).collect();
    assert_eq!(there, [1, 0, 1]);
    assert_eq!(schedule.under_way(), UnderWay { in_all: 3, from_one: 3, to_one: 2 });
}

#[test]
fn a_host_that_made_a_migration_fail_rests_and_the_guest_has_another_try() {
    let mut schedule = Schedule::new(LIMITS, Order::Listed, vec![guest(0, 10, 0)], 1, [10]);
    let start = schedule.next(0).unwrap();
    let failed = Ended { guest: After::MayRetry, rests_source: false, rests_destination: true };
    schedule.ended(start, failed, 500);
    assert_eq!((schedule.next(1_499), schedule.rested_at(1_499)), (None, Some(1_500)));
    let again = schedule.next(1_500).unwrap();
    assert_eq!(schedule.attempts(again.guest), 2);
    schedule.ended(again, failed, 2_000);
    assert_eq!((schedule.next(9_000), schedule.rested_at(2_000)), (None, None), "two attempts were allowed");
}

/// A guest that may have a copy there keeps its memory there.
#[test]
fn memory_comes_back_only_from_guests_that_left_nothing() {
    for (after, is_free) in
        [(After::Moved, false), (After::Unsettled, false), (After::Stays, true), (After::MayRetry, true)]
    {
        let guests = vec![guest(0, 10, 0), guest(0, 10, 0)];
        let limits = Limits { attempts: 1, ..LIMITS };
        let mut schedule = Schedule::new(limits, Order::Listed, guests, 1, [10]);
        let start = schedule.next(0).unwrap();
        schedule.ended(start, Ended { guest: after, ..MOVED }, 0);
        assert_eq!(schedule.next(0).is_some(), is_free, "{after:?}");
    }
}

fn outcome(guest: GuestLocation, fault: Option<Fault>) -> Outcome {
    Outcome {
        ending: Ending::Failed,
        guest,
        cause: None,
        failure: fault.map(|fault| Failure::new(fault, "as the test says")),
        unsettled: None,
        recovered: Vec::new(),
        not_undone: Vec::new(),
        disks_left: Vec::new(),
        total_ms: 1,
        downtime_ms: None,
        hypervisor_downtime_ms: None,
        advice: Advice::Nothing,
    }
}

#[test]
fn only_a_guest_that_is_whole_on_its_source_is_tried_again() {
    let after = |guest, fault| Ended::of(&outcome(guest, fault));
    let there = Some(Fault::DestinationUnreachable);
    assert_eq!(
        after(GuestLocation::SourceRunning, there),
        Ended { guest: After::MayRetry, rests_source: false, rests_destination: true }
    );
    assert_eq!(
        after(GuestLocation::Untouched, Some(Fault::SourceUnreachable)),
        Ended { guest: After::MayRetry, rests_source: true, rests_destination: false }
    );
    assert_eq!(after(GuestLocation::DestinationRunning, None), MOVED);
    for guest in [GuestLocation::Unknown, GuestLocation::Nowhere, GuestLocation::BothRunning] {
        assert_eq!(after(guest, there).guest, After::Unsettled, "{guest:?}");
    }
    let mut slow = outcome(GuestLocation::SourceRunning, None);
    slow.cause = Some(Cause::TimedOut);
    let ended = Ended::of(&slow);
    assert!(!ended.rests_source && !ended.rests_destination, "it dirtied too much, which is no host's fault");
}

proptest! {
    /// Whatever comes out of the migrations, no limit is passed, no destination is given more than it has, and the plan
    /// ends.
    #[test]
    fn limits_and_memory_are_kept(
        sizes in prop::collection::vec((0_usize..3, 1_u64..40), 1..30),
        rooms in prop::collection::vec(0_u64..200, 1..4),
        fates in prop::collection::vec((0_u8..4, any::<[bool; 2]>(), 0_usize..8), 1..200),
        limits in (1_u64..6, 1_u64..4, 1_u64..4, 1_u64..4),
    ) {
        let guests: Vec<_> = sizes.iter().map(|(source, mib)| guest(*source, *mib, 0)).collect();
        let (at_once, per_source, per_destination, attempts) = limits;
        let limits = Limits { at_once, per_source, per_destination, attempts, rest_ns: 10 };
        let mut schedule = Schedule::new(limits, Order::LargestFirst, guests.clone(), 3, rooms.clone());
        let mut taken = vec![0; rooms.len()];
        let mut tries = vec![0; guests.len()];
        let mut moving: Vec<Start> = Vec::new();
        let mut fates = fates.iter().cycle();
        for now_ns in 0.. {
            for start in all_starts(&mut schedule, now_ns) {
                prop_assert!(!moving.iter().any(|other| other.guest == start.guest));
                taken[start.destination] += guests[start.guest].memory_mib;
                tries[start.guest] += 1;
                prop_assert!(taken[start.destination] <= rooms[start.destination]);
                prop_assert!(tries[start.guest] <= attempts);
                moving.push(start);
            }
            let under_way = schedule.under_way();
            prop_assert!(under_way.in_all <= at_once && under_way.from_one <= per_source);
            prop_assert!(under_way.to_one <= per_destination);
            prop_assert_eq!(under_way.in_all, u64::try_from(moving.len()).unwrap());
            if moving.is_empty() && schedule.rested_at(now_ns).is_none() {
                break;
            }
            let (fate, [rests_source, rests_destination], place) = *fates.next().unwrap();
            if moving.is_empty() {
                continue;
            }
            let start = moving.remove(place % moving.len());
            let guest = [After::Moved, After::MayRetry, After::Stays, After::Unsettled][usize::from(fate)];
            if matches!(guest, After::MayRetry | After::Stays) {
                taken[start.destination] -= guests[start.guest].memory_mib;
            }
            schedule.ended(start, Ended { guest, rests_source, rests_destination }, now_ns);
        }
    }
}
