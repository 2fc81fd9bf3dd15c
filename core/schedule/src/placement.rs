//! To which host each guest of an evacuation could go, before the first of them is moved.

use alloc::vec;
use alloc::vec::Vec;

use crate::fit::{Need, Room, Weight, shortages};

/// A host for each guest, by its place among the rooms. `guests` has, for each guest and each host, what the guest
/// takes there; none where it may not go. The guests with the most memory come first, and each gets the first host that
/// takes it beside those that it has already.
///
/// It may miss a placement that exists, and never gives one of which it is known that it does not fit: whether
/// something of it is not known, the [`shortages`] of each host say. Time: guests times hosts times guests of a host.
#[must_use]
pub fn place(guests: &[Vec<Option<Need>>], rooms: &[Room]) -> Vec<Option<usize>> {
    let memory_kib = |guest: usize| {
        guests.get(guest).into_iter().flatten().flatten().filter_map(|need| need.memory_kib).max()
    };
    let mut order: Vec<usize> = (0..guests.len()).collect();
    order.sort_by_key(|guest| core::cmp::Reverse(memory_kib(*guest)));
    let mut taken: Vec<Vec<&Need>> = vec![Vec::new(); rooms.len()];
    let mut places = vec![None; guests.len()];
    for guest in order {
        let options = guests.get(guest).into_iter().flatten();
        let open = options.zip(rooms).zip(&mut taken).enumerate();
        for (host, ((need, room), taken)) in open {
            let Some(need) = need else { continue };
            taken.push(need);
            if shortages(room, taken).iter().all(|one| one.weight() != Weight::Refuses) {
                if let Some(place) = places.get_mut(guest) {
                    *place = Some(host);
                }
                break;
            }
            taken.pop();
        }
    }
    places
}
