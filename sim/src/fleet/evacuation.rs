//! The evacuation itself: one machine for each guest that is moved, all of them in one world.
//!
//! The loop is the twin of the one for a single migration. What becomes of a guest is taken from its machine's outcome,
//! never from the truth of the world, so that a fleet learns no more than a real one would.

use std::collections::{BTreeMap, BTreeSet};

use whimbrel_core::{Input, Misuse, Outcome, Request, Spec, Verdict};
use whimbrel_schedule::{Candidate, Ended, Limits, Schedule, Start, UnderWay};

use super::description::{Fleet, HostPlace};
use super::placement::NoRoom;
use super::staging::Stage;
use crate::driver::{Driver, unwatched};
use crate::network::NetworkError;
use crate::qemu::Engine;
use crate::world::{PortEvent, PortId, World};

/// One migration that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    /// The guest's name.
    pub guest: String,
    /// The host that it was to leave.
    pub from: String,
    /// The host that it was to go to.
    pub to: String,
    /// Which attempt it was, from 1.
    pub attempt: u64,
    /// When it began, in nanoseconds since the evacuation began.
    pub began_ns: u64,
    /// When it had ended.
    pub ended_ns: u64,
    /// Bytes that it sent.
    pub sent_bytes: u64,
    /// How it ended.
    pub outcome: Outcome,
    pub(super) number: usize,
    pub(super) source: HostPlace,
    pub(super) destination: HostPlace,
}

/// Why a fleet cannot be simulated. What becomes of its guests is never an error.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FleetError {
    /// Guests that their hosts have no memory for.
    NoRoom(NoRoom),
    /// Limits that no migration can follow.
    Spec(whimbrel_core::SpecError),
    /// The world broke the protocol of the port: a bug.
    Misuse(Misuse),
    /// The network has no such path: a bug.
    Network(NetworkError),
}

/// An evacuation under way.
#[derive(Debug)]
pub struct Evacuating {
    pub(super) stage: Stage,
    spec: Spec,
    pub(super) schedule: Schedule,
    /// The hosts that take guests in, as the schedule numbers them.
    pub(super) destinations: Vec<HostPlace>,
    /// The guests that are to be moved, as the schedule numbers them, by their places in the stage.
    pub(super) leaving: Vec<usize>,
    pub(super) moving: BTreeMap<PortId, Moving>,
    deadlines: BTreeSet<(u64, PortId)>,
    /// Most migrations at once so far: in all, from one host, to one host.
    most_at_once: (u64, u64, u64),
}

/// A migration under way.
#[derive(Debug)]
pub(super) struct Moving {
    driver: Driver,
    pub(super) start: Start,
    attempt: u64,
    began_ns: u64,
    deadline_ns: Option<u64>,
}

impl Evacuating {
    /// The evacuation of a fleet that has not begun.
    ///
    /// # Errors
    /// When guests do not fit on their hosts, or the limits are out of their bounds.
    pub fn new(fleet: &Fleet, engine: Engine, seed: u64) -> Result<Self, FleetError> {
        let stage = Stage::new(fleet, engine, seed).map_err(FleetError::NoRoom)?;
        let evacuation = &fleet.evacuation;
        let places = |groups: &[usize]| -> Vec<HostPlace> {
            let hosts = |group: &usize| {
                let count = stage.hosts.get(*group).map_or(0, Vec::len);
                let group = *group;
                (0..count).map(move |index| HostPlace { group, index })
            };
            groups.iter().flat_map(hosts).collect()
        };
        let (sources, destinations) = (places(&evacuation.from), places(&evacuation.to));
        let numbers: BTreeMap<HostPlace, usize> =
            sources.iter().enumerate().map(|(number, place)| (*place, number)).collect();
        let (mut leaving, mut candidates) = (Vec::new(), Vec::new());
        for (number, guest) in stage.guests.iter().enumerate() {
            let source = numbers.get(&guest.placed.host);
            let (Some(source), Some(group)) = (source, fleet.guests.get(guest.placed.group)) else {
                continue;
            };
            leaving.push(number);
            let (memory_mib, writes_per_second) = (group.memory_mib, group.writes_per_second);
            candidates.push(Candidate { source: *source, memory_mib, writes_per_second });
        }
        let room = |place: &HostPlace| {
            let host = stage.host(*place)?;
            Some(stage.world.inventory(host).memory_mib.saturating_sub(stage.world.memory_in_use_mib(host)))
        };
        let rooms = destinations.iter().map(|place| room(place).unwrap_or(0));
        let limits = Limits {
            at_once: evacuation.at_once,
            per_source: evacuation.at_once_per_source,
            per_destination: evacuation.at_once_per_destination,
            attempts: evacuation.attempts,
            rest_ns: evacuation.rest_ms.saturating_mul(1_000_000),
        };
        let spec = spec(fleet);
        spec.check().map_err(FleetError::Spec)?;
        Ok(Self {
            schedule: Schedule::new(limits, evacuation.order, candidates, sources.len(), rooms),
            spec,
            destinations,
            leaving,
            moving: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            most_at_once: (0, 0, 0),
            stage,
        })
    }

    /// Runs to the next migration that ends, and returns it; none when nothing is left to do. Guests that were never
    /// tried by then found no room, or no host to go to.
    ///
    /// # Errors
    /// Never, unless there is a bug.
    pub fn next_ended(&mut self) -> Result<Option<Moved>, FleetError> {
        loop {
            self.start_all()?;
            let now_ns = self.stage.world.now_ns();
            let deadline_ns = self.deadlines.first().map(|(at_ns, _)| *at_ns);
            let rested_ns = self.schedule.rested_at(now_ns);
            let Some(until_ns) = [deadline_ns, rested_ns].into_iter().flatten().min() else {
                return Ok(None);
            };
            let ended = match self.stage.world.advance(until_ns) {
                Some((port, event)) => self.feed(port, event)?,
                None => self.fire_timers()?,
            };
            if ended.is_some() {
                return Ok(ended);
            }
        }
    }

    /// The world, as it really is.
    #[must_use]
    pub fn world(&self) -> &World {
        &self.stage.world
    }

    /// The most migrations that were under way at once so far: in all, from one host, and to one host.
    #[must_use]
    pub fn most_at_once(&self) -> (u64, u64, u64) {
        self.most_at_once
    }

    /// How many guests are to be moved.
    #[must_use]
    pub fn guests(&self) -> usize {
        self.leaving.len()
    }

    /// Starts whatever may be started.
    fn start_all(&mut self) -> Result<(), FleetError> {
        while let Some(start) = self.schedule.next(self.stage.world.now_ns()) {
            self.start(start)?;
            let UnderWay { in_all, from_one, to_one } = self.schedule.under_way();
            let most = self.most_at_once;
            self.most_at_once = (most.0.max(in_all), most.1.max(from_one), most.2.max(to_one));
        }
        Ok(())
    }

    fn start(&mut self, start: Start) -> Result<(), FleetError> {
        let Some((guest, source, destination)) = self.ends(start) else { return Ok(()) };
        self.stage.wire(source, destination).map_err(FleetError::Network)?;
        let (Some(from), Some(to)) = (self.stage.host(source), self.stage.host(destination)) else {
            return Ok(());
        };
        let world = &mut self.stage.world;
        let spec = Spec {
            guest: world.machine(guest).name.clone(),
            source: format!("sim://{}", world.inventory(from).name),
            destination: format!("sim://{}", world.inventory(to).name),
            ..self.spec.clone()
        };
        let port = world.connect(guest, from, to, spec.transfer.into());
        let mut driver = Driver::new(world, port, spec, |_| Verdict::default()).map_err(FleetError::Spec)?;
        driver.ask(world, Request::Begin, &mut unwatched).map_err(FleetError::Misuse)?;
        let attempt = self.schedule.attempts(start.guest);
        let began_ns = world.now_ns();
        self.moving.insert(port, Moving { driver, start, attempt, began_ns, deadline_ns: None });
        self.note_deadline(port);
        Ok(())
    }

    /// Feeds an event of the world; returns an ended migration.
    fn feed(&mut self, port: PortId, event: PortEvent) -> Result<Option<Moved>, FleetError> {
        let Some(moving) = self.moving.get_mut(&port) else { return Ok(None) };
        moving.driver.deliver(&mut self.stage.world, event, &mut unwatched).map_err(FleetError::Misuse)?;
        Ok(self.settle(port))
    }

    /// Feeds the timer that is due, if one is: the next call finds the next one.
    fn fire_timers(&mut self) -> Result<Option<Moved>, FleetError> {
        let now_ns = self.stage.world.now_ns();
        let Some((_, port)) = self.deadlines.first().copied().filter(|(at_ns, _)| *at_ns <= now_ns) else {
            return Ok(None);
        };
        let Some(moving) = self.moving.get_mut(&port) else { return Ok(None) };
        moving
            .driver
            .feed(&mut self.stage.world, Input::Timer, &mut unwatched)
            .map_err(FleetError::Misuse)?;
        Ok(self.settle(port))
    }

    /// Notes what a migration waits for now, or takes it off when it has ended.
    fn settle(&mut self, port: PortId) -> Option<Moved> {
        let outcome = self.moving.get(&port)?.driver.view().outcome.cloned();
        let Some(outcome) = outcome else {
            self.note_deadline(port);
            return None;
        };
        let moving = self.moving.remove(&port)?;
        if let Some(at_ns) = moving.deadline_ns {
            self.deadlines.remove(&(at_ns, port));
        }
        self.stage.world.disconnect(port);
        let now_ns = self.stage.world.now_ns();
        self.schedule.ended(moving.start, Ended::of(&outcome), now_ns);
        let (guest, source, destination) = self.ends(moving.start)?;
        let world = &self.stage.world;
        let name = |place| self.stage.host(place).map(|host| world.inventory(host).name.clone());
        let convergence = moving.driver.view().convergence;
        let last = convergence.concluded().or_else(|| convergence.latest().map(|(_, statistics)| statistics));
        Some(Moved {
            guest: world.machine(guest).name.clone(),
            from: name(source)?,
            to: name(destination)?,
            attempt: moving.attempt,
            began_ns: moving.began_ns,
            ended_ns: now_ns,
            sent_bytes: last.map_or(0, |statistics| statistics.memory_sent_bytes),
            outcome,
            number: moving.start.guest,
            source,
            destination,
        })
    }

    fn note_deadline(&mut self, port: PortId) {
        let Some(moving) = self.moving.get_mut(&port) else { return };
        let deadline_ns = moving.driver.deadline_ns();
        let before_ns = std::mem::replace(&mut moving.deadline_ns, deadline_ns);
        if before_ns != deadline_ns {
            if let Some(at_ns) = before_ns {
                self.deadlines.remove(&(at_ns, port));
            }
            self.deadlines.extend(deadline_ns.map(|at_ns| (at_ns, port)));
        }
    }

    /// A start's guest and hosts.
    pub(super) fn ends(&self, start: Start) -> Option<(crate::world::GuestId, HostPlace, HostPlace)> {
        let guest = self.stage.guests.get(*self.leaving.get(start.guest)?)?;
        Some((guest.id, guest.placed.host, *self.destinations.get(start.destination)?))
    }
}

/// The spec of each migration of a fleet; the names are filled in for each.
fn spec(fleet: &Fleet) -> Spec {
    let wanted = fleet.evacuation.migration;
    Spec {
        downtime_limit_ms: wanted.downtime_limit_ms,
        bandwidth_limit_bytes_per_second: wanted
            .bandwidth_limit_mib_per_second
            .map(|rate| rate.saturating_mul(1 << 20)),
        timeout_ms: Some(wanted.timeout_ms),
        at_timeout: wanted.at_timeout,
        transfer: wanted.transfer,
        poll_interval_ms: wanted.poll_interval_ms,
        ..Spec::new("guest", "source", "destination")
    }
}

impl std::fmt::Display for FleetError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoRoom(no_room) => write!(
                f,
                "the guests of group {}, counted from 1, find no room on their hosts after the first {}",
                no_room.guests + 1,
                no_room.fit
            ),
            Self::Spec(_) => f.write_str("the options of the migrations are out of bounds"),
            Self::Misuse(_) => f.write_str("the simulated world broke the protocol"),
            Self::Network(_) => f.write_str("the simulated network has no such path"),
        }
    }
}

impl std::error::Error for FleetError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::NoRoom(_) => None,
            Self::Spec(error) => Some(error),
            Self::Misuse(error) => Some(error),
            Self::Network(error) => Some(error),
        }
    }
}
