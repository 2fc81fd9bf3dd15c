//! The plan itself: waiting guests, migrations in progress, and the free memory of each destination.

use alloc::collections::VecDeque;
use alloc::vec;
use alloc::vec::Vec;

use crate::ended::{After, Ended};
use crate::fit::Fit;
use crate::order::{Candidate, Order};

/// Something to start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    /// The guest's number.
    pub guest: usize,
    /// The destination's number.
    pub destination: usize,
}

/// An evacuation as it is planned.
#[derive(Clone, Debug)]
pub struct Schedule {
    guests: Vec<Waiting>,
    sources: Vec<Source>,
    destinations: Vec<Destination>,
    moving: u64,
    /// The rank of the next guest that is put at the end.
    last_rank: usize,
    limits: Limits,
}

/// The limits of a schedule. Where at most 0 migrations may be under way, none is ever started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most migrations at once, in all.
    pub at_once: u64,
    /// Most migrations at once that leave one host.
    pub per_source: u64,
    /// Most migrations at once that enter one host.
    pub per_destination: u64,
    /// How often a guest is started that stays where it was; it is tried once even with 0.
    pub attempts: u64,
    /// For how long nothing is sent from or to a host that made a migration fail, in nanoseconds.
    pub rest_ns: u64,
}

/// How many migrations are under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UnderWay {
    /// In all.
    pub in_all: u64,
    /// The most that leave one host.
    pub from_one: u64,
    /// The most that enter one host.
    pub to_one: u64,
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
    /// A plan for these guests in this order. `rooms` are the destinations' free memories in MiB. A guest whose source
    /// is not below `sources` is never started.
    #[must_use]
    pub fn new(
        limits: Limits,
        order: Order,
        candidates: Vec<Candidate>,
        sources: usize,
        rooms: impl IntoIterator<Item = u64>,
    ) -> Self {
        let mut ranked: Vec<usize> = (0..candidates.len()).collect();
        ranked.sort_by_key(|guest| candidates.get(*guest).map(|candidate| order.key(candidate)));
        let mut guests: Vec<Waiting> =
            candidates.into_iter().map(|candidate| Waiting { candidate, rank: 0, attempts: 0 }).collect();
        let mut queues = vec![Source::default(); sources];
        for (rank, guest) in ranked.iter().enumerate() {
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
                .into_iter()
                .map(|free_mib| Destination { free_mib, moving: 0, rests_until_ns: 0 })
                .collect(),
            moving: 0,
            limits,
        }
    }

    /// What is to be started now, if anything may be. It counts as under way from here on, until it has
    /// [ended](Self::ended); so the caller starts it, and calls again until it returns `None`.
    pub fn next(&mut self, now_ns: u64) -> Option<Start> {
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
            .filter(|(_, there)| fits(needs_mib, there.free_mib))
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

    /// Takes the result of a guest that was started; each start ends once.
    ///
    /// # Panics
    /// When more migrations end than were started.
    pub fn ended(&mut self, start: Start, ended: Ended, now_ns: u64) {
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

    /// The next instant at which a resting host may be used again; `None` if no guest waits.
    #[must_use]
    pub fn rested_at(&self, now_ns: u64) -> Option<u64> {
        if self.sources.iter().all(|source| source.waiting.is_empty()) {
            return None;
        }
        let here = self.sources.iter().map(|source| source.rests_until_ns);
        let there = self.destinations.iter().map(|destination| destination.rests_until_ns);
        here.chain(there).filter(|at_ns| *at_ns > now_ns).min()
    }

    /// How often a guest was started.
    #[must_use]
    pub fn attempts(&self, guest: usize) -> u64 {
        self.guests.get(guest).map_or(0, |waiting| waiting.attempts)
    }

    /// How many migrations are under way.
    #[must_use]
    pub fn under_way(&self) -> UnderWay {
        UnderWay {
            in_all: self.moving,
            from_one: self.sources.iter().map(|source| source.moving).max().unwrap_or(0),
            to_one: self.destinations.iter().map(|destination| destination.moving).max().unwrap_or(0),
        }
    }

    /// The first guest in order that may leave its host and would find so much room.
    fn first_that_fits(&self, now_ns: u64, most_mib: u64) -> Option<(usize, usize)> {
        let fits = |guest: &&usize| {
            self.guests.get(**guest).is_some_and(|waiting| fits(waiting.candidate.memory_mib, most_mib))
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

fn fits(needs_mib: u64, free_mib: u64) -> bool {
    Fit::of(Some(needs_mib), Some(free_mib)) == Fit::Fits
}
