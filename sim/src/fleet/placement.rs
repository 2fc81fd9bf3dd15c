//! On which host each guest is at the beginning. No host is given more than its memory.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use super::description::{Fleet, HostPlace, Spread};

/// A guest's place at the beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Placed {
    /// Its group, by its place among the groups.
    pub(super) group: usize,
    /// Its place in the group.
    pub(super) index: u64,
    /// The host that it is on.
    pub(super) host: HostPlace,
}

/// Guests that their hosts have no memory for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoRoom {
    /// The group of guests, by its place among the groups.
    pub guests: usize,
    /// How many of the group fit.
    pub fit: u64,
}

/// The hosts of a group as guests are put on them.
struct Shelf {
    free_mib: Vec<u64>,
    /// The hosts by the memory that they have left, the most first; of equals the first.
    by_room: BTreeSet<(Reverse<u64>, usize)>,
    /// The host that is being filled.
    filling: usize,
}

impl Fleet {
    /// Checks whether all guests fit on their hosts.
    ///
    /// # Errors
    /// The first group that does not.
    pub fn check_room(&self) -> Result<(), NoRoom> {
        self.placement().map(|_| ())
    }

    /// Each guest with its host, in the order of the groups.
    pub(super) fn placement(&self) -> Result<Vec<Placed>, NoRoom> {
        let mut shelves: Vec<Shelf> = self
            .hosts
            .iter()
            .map(|group| Shelf::new(usize::try_from(group.count).unwrap_or(usize::MAX), group.memory_mib))
            .collect();
        let mut placed = Vec::new();
        for (number, guests) in self.guests.iter().enumerate() {
            for index in 0..guests.count {
                let host =
                    shelves.get_mut(guests.on).and_then(|shelf| shelf.put(guests.spread, guests.memory_mib));
                let Some(host) = host else { return Err(NoRoom { guests: number, fit: index }) };
                let host = HostPlace { group: guests.on, index: host };
                placed.push(Placed { group: number, index, host });
            }
        }
        Ok(placed)
    }
}

impl Shelf {
    fn new(hosts: usize, memory_mib: u64) -> Self {
        Self {
            free_mib: vec![memory_mib; hosts],
            by_room: (0..hosts).map(|host| (Reverse(memory_mib), host)).collect(),
            filling: 0,
        }
    }

    fn put(&mut self, spread: Spread, memory_mib: u64) -> Option<usize> {
        let fits = |host: &usize| self.free_mib.get(*host).is_some_and(|free| *free >= memory_mib);
        let host = match spread {
            Spread::Even => self.by_room.first().map(|(_, host)| *host).filter(fits)?,
            Spread::Packed => (self.filling..self.free_mib.len()).find(fits)?,
        };
        if spread == Spread::Packed {
            self.filling = host;
        }
        let free_mib = self.free_mib.get_mut(host)?;
        self.by_room.remove(&(Reverse(*free_mib), host));
        *free_mib -= memory_mib;
        self.by_room.insert((Reverse(*free_mib), host));
        Some(host)
    }
}
