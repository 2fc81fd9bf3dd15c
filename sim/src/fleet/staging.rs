//! A fleet set up in a world: hosts with their cards, the uplinks of their groups, guests, and what is going to go
//! wrong.

use std::collections::BTreeSet;

use super::description::{Fleet, GuestGroup, HostPlace};
use super::placement::{NoRoom, Placed};
use crate::guest::{Guest, Pattern, Writer};
use crate::network::{self, Capacity, Line, Loss, Path, SegmentId};
use crate::qemu::Engine;
use crate::world::{GuestId, HostId, HostInventory, Moment, VirtualMachine, World};

const NS_PER_MS: u64 = 1_000_000;
const BYTES_PER_MIB: u64 = 1 << 20;
const PAGES_PER_MIB: u64 = 256;
/// Below lie the guest's own code and data, as in scenario files of one guest.
const REGION_START_MIB: u64 = 16;

/// A group's segments, one for each direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Uplink {
    pub(super) out: SegmentId,
    pub(super) into: SegmentId,
}

/// A guest in the world, and how it got there.
#[derive(Clone, Copy, Debug)]
pub(super) struct StagedGuest {
    pub(super) id: GuestId,
    pub(super) placed: Placed,
}

/// A fleet's world, in which nothing has happened yet.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) world: World,
    /// The hosts of each group.
    pub(super) hosts: Vec<Vec<HostId>>,
    pub(super) uplinks: Vec<Option<Uplink>>,
    pub(super) guests: Vec<StagedGuest>,
    line: Line,
    /// Pairs of hosts that have their path, in both directions.
    wired: BTreeSet<(HostPlace, HostPlace)>,
}

impl Stage {
    pub(super) fn new(fleet: &Fleet, engine: Engine, seed: u64) -> Result<Self, NoRoom> {
        let placement = fleet.placement()?;
        let line =
            Line { latency_ns: fleet.latency_us.saturating_mul(1_000), jitter_ns: 0, loss: Loss::NONE };
        let mut world = World::new(seed, line).with_engine(engine);
        let hosts: Vec<Vec<HostId>> = fleet
            .hosts
            .iter()
            .map(|group| {
                let card = Capacity::constant(group.card_mib_per_second.saturating_mul(BYTES_PER_MIB));
                let host = |number| HostInventory {
                    memory_mib: group.memory_mib,
                    ..HostInventory::named(&format!("{}-{number}", group.name))
                };
                (1..=group.count).map(|number| world.add_host(host(number), card.clone())).collect()
            })
            .collect();
        let uplinks = fleet.hosts.iter().map(|group| {
            let capacity = Capacity::constant(group.uplink_mib_per_second?.saturating_mul(BYTES_PER_MIB));
            let network = world.network_mut();
            Some(Uplink { out: network.add_segment(capacity.clone()), into: network.add_segment(capacity) })
        });
        let uplinks = uplinks.collect();
        let guests = placement.into_iter().filter_map(|placed| {
            let group = fleet.guests.get(placed.group)?;
            let host = *hosts.get(placed.host.group)?.get(placed.host.index)?;
            let name = format!("{}-{}", group.name, placed.index + 1);
            let id = world.add_guest(host, VirtualMachine::named(&name, memory(group)));
            Some(StagedGuest { id, placed })
        });
        let guests = guests.collect();
        let mut stage = Self { world, hosts, uplinks, guests, line, wired: BTreeSet::new() };
        for fault in &fleet.faults {
            let (host, other) = (stage.host(fault.host), fault.other.and_then(|other| stage.host(other)));
            if let Some(what) = host.and_then(|host| fault.what.of(host, other)) {
                stage.world.inject_at(Moment::AtNs(fault.at_ms.saturating_mul(NS_PER_MS)), 0, what);
            }
        }
        Ok(stage)
    }

    pub(super) fn host(&self, place: HostPlace) -> Option<HostId> {
        self.hosts.get(place.group)?.get(place.index).copied()
    }

    /// The segments that the way from one host to another crosses; none within a group.
    pub(super) fn segments(&self, from: HostPlace, to: HostPlace) -> Vec<SegmentId> {
        if from.group == to.group {
            return Vec::new();
        }
        let uplink = |place: HostPlace| self.uplinks.get(place.group).copied().flatten();
        let out = uplink(from).map(|uplink| uplink.out);
        out.into_iter().chain(uplink(to).map(|uplink| uplink.into)).collect()
    }

    /// Gives two hosts their paths before anything flows between them. A large fleet has many pairs of which few are
    /// ever used.
    pub(super) fn wire(&mut self, one: HostPlace, other: HostPlace) -> Result<(), network::NetworkError> {
        let (Some(here), Some(there)) = (self.host(one), self.host(other)) else { return Ok(()) };
        if one == other || !self.wired.insert((one.min(other), one.max(other))) {
            return Ok(());
        }
        for (from, to, ends) in [(one, other, (here, there)), (other, one, (there, here))] {
            let segments = self.segments(from, to);
            if !segments.is_empty() {
                let (from, to) = (self.world.network_id(ends.0), self.world.network_id(ends.1));
                self.world.network_mut().set_path(from, to, Path { line: self.line, segments })?;
            }
        }
        Ok(())
    }
}

/// The memory of a guest of a group.
fn memory(group: &GuestGroup) -> Guest {
    let working_set_pages = group.working_set_mib.saturating_mul(PAGES_PER_MIB);
    let writer = Writer::steady(Pattern::Uniform, group.writes_per_second, working_set_pages);
    Guest {
        memory_mib: group.memory_mib,
        region_first_page: REGION_START_MIB * PAGES_PER_MIB,
        filled_pages: group.filled_mib.saturating_mul(PAGES_PER_MIB),
        writers: vec![writer],
        ..Guest::default()
    }
}
