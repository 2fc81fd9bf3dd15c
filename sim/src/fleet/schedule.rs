//! Who is migrated next, and to where. It knows limits, memory and what came out of each migration, and nothing of the
//! world: what it is not told did not happen.
//!
//! A guest takes its memory at the destination from the moment it is started there, as QEMU does, and keeps it wherever a
//! copy may be left. So no destination is ever given more than it has.

use std::collections::VecDeque;

use super::description::{Evacuation, Order};

/// A guest as the schedule knows it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    /// Its host, by its place among the sources.
    pub(super) source: usize,
    pub(super) memory_mib: u64,
    pub(super) writes_per_second: u64,
}

/// What became of a guest's migration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ended {
    pub(super) guest: After,
    /// Whether the source is to be left alone for a while.
    pub(super) rests_source: bool,
    /// Whether the destination is.
    pub(super) rests_destination: bool,
}

/// Where a guest is after a migration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    /// At the destination.
    Moved,
    /// On the source, whole, and may be tried again.
    MayRetry,
    /// On the source, and is not to be tried again.
    Stays,
    /// A copy may be left at the destination.
    Unsettled,
}

/// Something to start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Start {
    pub(super) guest: usize,
    pub(super) destination: usize,
}

#[derive(Clone, Debug)]
pub(super) struct Schedule {
    guests: Vec<Waiting>,
    sources: Vec<Source>,
    destinations: Vec<Destination>,
    moving: u64,
    /// The rank of whoever is put at the end.
    last_rank: usize,
    limits: Limits,
}

#[derive(Clone, Copy, Debug)]
struct Limits {
    at_once: u64,
    per_source: u64,
    per_destination: u64,
    attempts: u64,
    rest_ns: u64,
}

#[derive(Clone, Copy, Debug)]
struct Waiting {
    candidate: Candidate,
    rank: usize,
    attempts: u64,
}

#[derive(Clone, Debug, Default)]
struct Source {
    waiting: VecDeque<usize>,
    moving: u64,
    rests_until_ns: u64,
}

#[derive(Clone, Copy, Debug)]
struct Destination {
    free_mib: u64,
    moving: u64,
    rests_until_ns: u64,
}

impl Schedule {
    /// `rooms` are the destinations' free memories in MiB.
    pub(super) fn new(
        evacuation: &Evacuation,
        candidates: Vec<Candidate>,
        sources: usize,
        rooms: impl Iterator<Item = u64>,
    ) -> Self {
        let mut order: Vec<usize> = (0..candidates.len()).collect();
        order.sort_by_key(|guest| candidates.get(*guest).map(|candidate| key(evacuation.order, candidate)));
        let mut guests: Vec<Waiting> =
            candidates.into_iter().map(|candidate| Waiting { candidate, rank: 0, attempts: 0 }).collect();
        let mut queues = vec![Source::default(); sources];
        for (rank, guest) in order.iter().enumerate() {
            let Some(waiting) = guests.get_mut(*guest) else { continue };
            waiting.rank = rank;
            if let Some(source) = queues.get_mut(waiting.candidate.source) {
                source.waiting.push_back(*guest);
            }
        }
        Self {
            last_rank: guests.len(),
            guests,
            sources: queues,
            destinations: rooms
                .map(|free_mib| Destination { free_mib, moving: 0, rests_until_ns: 0 })
                .collect(),
            moving: 0,
            limits: Limits {
                at_once: evacuation.at_once,
                per_source: evacuation.at_once_per_source,
                per_destination: evacuation.at_once_per_destination,
                attempts: evacuation.attempts,
                rest_ns: evacuation.rest_ms.saturating_mul(1_000_000),
            },
        }
    }

    /// What is to be started now, if anything may be.
    pub(super) fn next(&mut self, now_ns: u64) -> Option<Start> {
        if self.moving >= self.limits.at_once {
            return None;
        }
        let limit = self.limits.per_destination;
        let may_receive = |there: &&Destination| there.moving < limit && there.rests_until_ns <= now_ns;
        let most_mib = self.destinations.iter().filter(may_receive).map(|there| there.free_mib).max()?;
        let (guest, source) = self.first_that_fits(now_ns, most_mib)?;
        let needs_mib = self.guests.get(guest)?.candidate.memory_mib;
        let fit = self.destinations.iter().enumerate().filter(|(_, there)| may_receive(there));
        // The one with the fewest migrations; of these the one with the most room; of these the first.
        let (destination, _) = fit
            .filter(|(_, there)| there.free_mib >= needs_mib)
            .min_by_key(|(place, there)| (there.moving, u64::MAX - there.free_mib, *place))?;
        let there = self.destinations.get_mut(destination)?;
        there.free_mib -= needs_mib;
        there.moving += 1;
        let here = self.sources.get_mut(source)?;
        here.waiting.retain(|other| *other != guest);
        here.moving += 1;
        self.moving += 1;
        self.guests.get_mut(guest)?.attempts += 1;
        Some(Start { guest, destination })
    }

    /// Takes what became of a guest that was started.
    pub(super) fn ended(&mut self, start: Start, ended: Ended, now_ns: u64) {
        let Some(waiting) = self.guests.get_mut(start.guest) else { return };
        let rested_ns = now_ns.saturating_add(self.limits.rest_ns);
        let (source, needs_mib) = (waiting.candidate.source, waiting.candidate.memory_mib);
        self.moving -= 1;
        if let Some(there) = self.destinations.get_mut(start.destination) {
            there.moving -= 1;
            if matches!(ended.guest, After::MayRetry | After::Stays) {
                there.free_mib += needs_mib;
            }
            if ended.rests_destination {
                there.rests_until_ns = rested_ns;
            }
        }
        if let Some(here) = self.sources.get_mut(source) {
            here.moving -= 1;
            if ended.rests_source {
                here.rests_until_ns = rested_ns;
            }
            if ended.guest == After::MayRetry && waiting.attempts < self.limits.attempts {
                waiting.rank = self.last_rank;
                self.last_rank += 1;
                here.waiting.push_back(start.guest);
            }
        }
    }

    /// The next instant at which a host that is left alone may be used again; none if nobody waits for one.
    pub(super) fn rested_at(&self, now_ns: u64) -> Option<u64> {
        if self.sources.iter().all(|source| source.waiting.is_empty()) {
            return None;
        }
        let here = self.sources.iter().map(|source| source.rests_until_ns);
        let there = self.destinations.iter().map(|destination| destination.rests_until_ns);
        here.chain(there).filter(|at_ns| *at_ns > now_ns).min()
    }

    /// How often a guest was started.
    pub(super) fn attempts(&self, guest: usize) -> u64 {
        self.guests.get(guest).map_or(0, |waiting| waiting.attempts)
    }

    /// How many migrations are under way: in all, and the most that leave and enter one host.
    pub(super) fn under_way(&self) -> (u64, u64, u64) {
        let leave = self.sources.iter().map(|source| source.moving).max().unwrap_or(0);
        let enter = self.destinations.iter().map(|destination| destination.moving).max().unwrap_or(0);
        (self.moving, leave, enter)
    }

    /// The first guest in order that may leave its host and would find so much room.
    fn first_that_fits(&self, now_ns: u64, most_mib: u64) -> Option<(usize, usize)> {
        let fits = |guest: &&usize| {
            self.guests.get(**guest).is_some_and(|waiting| waiting.candidate.memory_mib <= most_mib)
        };
        let open =
            self.sources.iter().enumerate().filter(|(_, source)| {
                source.moving < self.limits.per_source && source.rests_until_ns <= now_ns
            });
        let first = open.filter_map(|(place, source)| {
            let guest = *source.waiting.iter().find(fits)?;
            Some((self.guests.get(guest)?.rank, guest, place))
        });
        first.min().map(|(_, guest, place)| (guest, place))
    }
}

/// What guests are ordered by; the sort keeps equals as they are.
fn key(order: Order, candidate: &Candidate) -> u64 {
    match order {
        Order::Listed => 0,
        Order::SmallestFirst => candidate.memory_mib,
        Order::LargestFirst => u64::MAX - candidate.memory_mib,
        Order::QuietestFirst => candidate.writes_per_second,
        Order::BusiestFirst => u64::MAX - candidate.writes_per_second,
    }
}
