//! Whether guests fit on a host together, and where they are placed: by hand, and against every placement by chance.

#![cfg(test)]

use proptest::prelude::*;
use whimbrel_schedule::{
    Candidate, Exclusive, Fit, Limits, Need, Order, Pages, Room, Schedule, Shortage, Weight, place, shortages,
};

fn guest(name: &str, memory_kib: u64) -> Need {
    Need { guest: name.to_owned(), memory_kib: Some(memory_kib), ..Need::default() }
}

fn host(memory_kib: u64) -> Room {
    Room { memory_kib: Some(memory_kib), free_memory_kib: Some(memory_kib), cpus: Some(4), ..Room::default() }
}

#[test]
fn a_sum_with_an_unknown_part_is_unknown() {
    let unknown = Need { memory_kib: None, ..guest("b", 0) };
    let found = shortages(&host(10), &[&guest("a", 11), &unknown]);
    assert_eq!(
        found,
        [Shortage::Memory(Fit::Unknown)],
        "11 KiB alone are too much, but that is another matter"
    );
    let room = Room { free_memory_kib: None, ..host(10) };
    assert_eq!(shortages(&room, &[&guest("a", 1)]), [Shortage::FreeMemory(Fit::Unknown)]);
    let paged = Need { pages: Pages::Huge { size_kib: 4 }, ..guest("a", 9) };
    assert_eq!(shortages(&host(10), &[&paged]), [Shortage::HugePages(4, Fit::Unknown)]);
    let disk = Need { pool_bytes: vec![("p".to_owned(), Some(1)), ("p".to_owned(), None)], ..guest("a", 1) };
    let room = Room { free_pool_bytes: [("p".to_owned(), 9)].into(), ..host(10) };
    assert_eq!(shortages(&room, &[&disk]), [Shortage::Pool("p".to_owned(), Fit::Unknown)]);
}

#[test]
fn huge_pages_are_whole_pages_and_no_free_memory() {
    let paged = |name| Need { pages: Pages::Huge { size_kib: 4 }, ..guest(name, 9) };
    let room = Room { free_memory_kib: Some(0), free_pages: [(4, 5)].into(), ..host(100) };
    assert_eq!(shortages(&room, &[&paged("a")]), []);
    let two = shortages(&room, &[&paged("a"), &paged("b")]);
    assert_eq!(two, [Shortage::HugePages(4, Fit::Exceeds { needed: 6, left: 5 })]);
}

#[test]
fn a_guest_is_placed_where_its_device_is_free() {
    let own = |name: &str| Need {
        exclusive: [(Exclusive::Device, "0000:3b:02.1".to_owned())].into(),
        ..guest(name, 1)
    };
    let guests: Vec<Vec<Option<Need>>> =
        ["a", "b", "c"].map(|name| vec![Some(own(name)), Some(own(name))]).into();
    assert_eq!(place(&guests, &[host(10), host(10)]), [Some(0), Some(1), None]);
    // Where the rules refuse a guest it is not placed.
    assert_eq!(place(&[vec![None, Some(own("a"))]], &[host(10), host(10)]), [Some(1)]);
}

#[test]
fn too_much_memory_is_refused_and_too_little_free_memory_is_not() {
    let (large, small) = (guest("large", 8), guest("small", 3));
    let room = Room { free_memory_kib: Some(5), ..host(10) };
    let strained = shortages(&room, &[&large]);
    assert_eq!(strained, [Shortage::FreeMemory(Fit::Exceeds { needed: 8, left: 5 })]);
    assert_eq!(strained[0].weight(), Weight::Strains);
    let options = [vec![Some(small)], vec![Some(large)]];
    assert_eq!(place(&options, &[room]), [None, Some(0)], "the largest is first");
}

proptest! {
    /// The plan and the placement decide alike: guests of whole memory sizes, hosts whose memory is all free.
    #[test]
    fn the_plan_starts_a_guest_exactly_where_it_fits(memory_mib in 0_u64..20, free_mib in 0_u64..20) {
        let limits = Limits { at_once: 1, per_source: 1, per_destination: 1, attempts: 1, rest_ns: 0 };
        let candidate = Candidate { source: 0, memory_mib, writes_per_second: 0 };
        let mut schedule = Schedule::new(limits, Order::Listed, vec![candidate], 1, [free_mib]);
        let placed = place(&[vec![Some(guest("a", memory_mib))]], &[host(free_mib)]);
        prop_assert_eq!(schedule.next(0).is_some(), placed[0].is_some());
    }

    /// No host has more than it can take, and no guest without a host would fit beside those of any.
    #[test]
    fn what_is_placed_fits_and_what_is_not_placed_fits_nowhere(
        sizes in proptest::collection::vec(1_u64..12, 0..8),
        rooms in proptest::collection::vec(0_u64..24, 1..4),
    ) {
        let rooms: Vec<Room> = rooms.into_iter().map(host).collect();
        let needs: Vec<Need> =
            sizes.iter().enumerate().map(|(at, kib)| guest(&at.to_string(), *kib)).collect();
        let options: Vec<_> = needs.iter().map(|need| vec![Some(need.clone()); rooms.len()]).collect();
        let places = place(&options, &rooms);
        for (at, room) in rooms.iter().enumerate() {
            let here: Vec<&Need> =
                needs.iter().zip(&places).filter(|(_, place)| **place == Some(at)).map(|(need, _)| need).collect();
            let kib = |all: &[&Need]| all.iter().filter_map(|need| need.memory_kib).sum::<u64>();
            prop_assert!(kib(&here) <= room.memory_kib.unwrap());
            for (need, place) in needs.iter().zip(&places) {
                prop_assert!(place.is_some() || kib(&here) + need.memory_kib.unwrap() > room.memory_kib.unwrap());
            }
        }
    }
}
