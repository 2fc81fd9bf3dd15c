//! Hosts, guests and networks in virtual time, with the behavior of libvirt and QEMU: any number of each.
//!
//! ```text
//!  driver ──▶ port ──▶ daemon_calls ──▶ call ──▶ memory_copy (engines) ──▶ network
//!                                        │  └──▶ mirror (disks)
//!  faults ───────────────────────────▶ peer_loss ──▶ incidents
//! ```
//!
//! A daemon answers calls (`port`, `daemon_calls`), and two daemons move a guest (`call`): each knows only the messages
//! that it received, and either may die, as may QEMU, a host, a link or an answer ([`Fault`]). Memory is copied by
//! [`crate::qemu`], and the network is shared by [`crate::network`]. The actual events are in `incidents`, for tests
//! only.
//!
//! The world must never depend on the driver of a migration in it, read a clock, or draw from anything but its seed.

mod call;
mod checks;
mod client;
mod daemon_calls;
mod dirty_rate;
mod disks;
mod domains;
mod event_queue;
mod faults;
mod ground_truth;
mod hosts;
mod incidents;
mod inventory;
mod job;
mod memory_copy;
mod mirror;
mod monitor_blocked;
mod peer_loss;
mod port;
mod postcopy_resume;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use whimbrel_core::CommandId;
use whimbrel_core::port::Settings;

pub use self::client::Reach;
pub use self::disks::DiskSet;
pub use self::domains::{Disk, ProcessState, VirtualMachine};
pub use self::faults::{Fault, Milestone, Moment};
pub use self::ground_truth::{BANDWIDTH_LIMIT, DOWNTIME_LIMIT};
pub use self::hosts::ReplyBehavior;
pub use self::incidents::{Incident, IncidentKind, Initiator};
pub use self::inventory::{Backing, HostInventory, Lun, Pool, Volume};
pub use self::job::MigrateOptions;
pub use self::mirror::DiskCopy;
pub use self::port::PortEvent;

use self::domains::{Copy, Domain};
use self::event_queue::{EventQueue, Scheduled};
use self::faults::Awaited;
use self::ground_truth::{Record, SHARED};
use self::hosts::Host;
use self::job::Job;
use self::port::Port;
use crate::network::{Capacity, FlowId, Line, Network, NetworkCard, Tcp};
use crate::qemu::{Engine, HostConstants};
use crate::random::Random;
use crate::slab::{Key, Slab};
use crate::versions::Version;

/// libvirt's "no limit": the most MiB/s that fit into QEMU's signed 64 bits (`QEMU_DOMAIN_MIG_BANDWIDTH_MAX`).
pub const UNLIMITED_BYTES_PER_SECOND: u64 = ((i64::MAX as u64) >> 20) << 20;

/// QEMU's own default, which libvirt leaves alone.
const DEFAULT_DOWNTIME_LIMIT_MS: u64 = 300;
/// What a guest's limits are when it is started.
const DEFAULT_SETTINGS: Settings = Settings {
    downtime_limit_ms: DEFAULT_DOWNTIME_LIMIT_MS,
    bandwidth_limit_bytes_per_second: UNLIMITED_BYTES_PER_SECOND,
};

/// Names a host of a world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostId(usize);

/// Names a guest of a world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GuestId(usize);

/// Names a port of a world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortId(usize);

/// Names a migration, as long as it lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct JobId(Key);

/// Times that do not depend on the guest, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DaemonConstants {
    /// A call to a daemon and its answer: libvirt's remote protocol on a local network.
    pub call_ns: u64,
    /// An event's way to its subscriber.
    pub event_ns: u64,
    /// From the migrate call until the destination's QEMU waits for pages: mostly the start of a process.
    pub prepare_ns: u64,
    /// From the end of the copy until the destination lets the guest run.
    pub finish_ns: u64,
    /// From then until the source's copy is gone and the call returns: about 200 ms between two real daemons.
    pub confirm_ns: u64,
    /// Silence after which a daemon gives up another: libvirt's keep-alive of 5 s, six times (qemu.conf).
    pub keep_alive_ns: u64,
    /// Until a call that resumes a post-copy whose stream still works is refused: the source's daemon begins, connects
    /// to the destination's and prepares. 65 to 95 ms between two real daemons of libvirt 9.0.
    pub resume_refused_ns: u64,
    /// Until a connection without an answer is given up: Linux sends a SYN six times, 127 s (`tcp(7)`).
    pub connect_ns: u64,
    /// Silence after which a kernel gives up a connection: 924.6 s with Linux's 15 retransmissions
    /// (`ip-sysctl`, `tcp_retries2`).
    pub stream_timeout_ns: u64,
}

impl Default for DaemonConstants {
    fn default() -> Self {
        Self {
            call_ns: 300_000,
            event_ns: 200_000,
            prepare_ns: 180_000_000,
            finish_ns: 4_000_000,
            confirm_ns: 200_000_000,
            keep_alive_ns: 30_000_000_000,
            resume_refused_ns: 80_000_000,
            connect_ns: 127_000_000_000,
            stream_timeout_ns: 924_600_000_000,
        }
    }
}

/// Hosts, guests, and the network between them.
#[derive(Clone, Debug)]
pub struct World {
    now_ns: u64,
    random: Random,
    engine: Engine,
    constants: DaemonConstants,
    host_constants: HostConstants,
    tcp: Option<Tcp>,
    network: Network,
    /// Pairs of hosts between which nothing gets through.
    cuts: BTreeSet<(HostId, HostId)>,
    hosts: Vec<Host>,
    guests: Vec<Domain>,
    jobs: Slab<Job>,
    flow_jobs: BTreeMap<FlowId, JobId>,
    ports: Vec<Port>,
    event_queue: EventQueue,
    awaited: Vec<Awaited>,
    port_events: VecDeque<(PortId, PortEvent)>,
    incidents: Vec<Incident>,
    /// Observations of hosts that were answered and have not reached their driver: the host, and when.
    looks: BTreeMap<(PortId, CommandId), (HostId, u64)>,
}

impl World {
    /// A world without anything in it. All chance comes from `seed`. Hosts that get no path of their own have `line`
    /// between them.
    #[must_use]
    pub fn new(seed: u64, line: Line) -> Self {
        Self {
            now_ns: 0,
            random: Random::from_seed(seed),
            engine: Engine::default(),
            constants: DaemonConstants::default(),
            host_constants: HostConstants::default(),
            tcp: None,
            network: Network::new(line),
            cuts: BTreeSet::new(),
            hosts: Vec::new(),
            guests: Vec::new(),
            jobs: Slab::new(),
            flow_jobs: BTreeMap::new(),
            ports: Vec::new(),
            event_queue: EventQueue::new(),
            awaited: Vec::new(),
            port_events: VecDeque::new(),
            incidents: Vec::new(),
            looks: BTreeMap::new(),
        }
    }

    /// The dirty-page model of migrations that begin from now on.
    #[must_use]
    pub fn with_engine(self, engine: Engine) -> Self {
        Self { engine, ..self }
    }

    /// Other times of the daemons.
    #[must_use]
    pub fn with_constants(self, constants: DaemonConstants) -> Self {
        Self { constants, ..self }
    }

    /// Other costs of the hosts, the same for all of them.
    #[must_use]
    pub fn with_host_constants(self, host_constants: HostConstants) -> Self {
        Self { host_constants, ..self }
    }

    /// What each migration's connection brings along; without it the network alone bounds it.
    #[must_use]
    pub fn with_tcp(self, tcp: Tcp) -> Self {
        Self { tcp: Some(tcp), ..self }
    }

    /// Sets the versions that are given on every host, for migrations that begin from now on.
    pub fn set_versions(&mut self, libvirt: Option<Version>, qemu: Option<Version>) {
        for host in &mut self.hosts {
            host.inventory.set_versions(libvirt, qemu);
        }
    }

    /// Adds a host whose card carries so much in each direction.
    pub fn add_host(&mut self, inventory: HostInventory, card: Capacity) -> HostId {
        let card = self.network.add_host(NetworkCard { transmit: card.clone(), receive: card });
        self.hosts.push(Host {
            inventory,
            card,
            is_up: true,
            daemon_runs: true,
            reply_behavior: ReplyBehavior::default(),
            used_mib: 0,
            taken_mib: 0,
            guests: Vec::new(),
            ports: Vec::new(),
        });
        HostId(self.hosts.len() - 1)
    }

    /// Adds a guest that is off, and defined on a host if it is persistent.
    pub fn add_guest_that_is_off(&mut self, host: HostId, machine: VirtualMachine) -> GuestId {
        let guest = GuestId(self.guests.len());
        let defined_on = if machine.is_persistent { vec![host] } else { Vec::new() };
        let is_defined = !defined_on.is_empty();
        let record = Record::new();
        self.guests.push(Domain {
            machine,
            copies: Vec::new(),
            defined_on,
            record,
            stops: Vec::new(),
            concluded: None,
            made: Vec::new(),
        });
        if is_defined {
            self.record_definition(guest, host, true);
        }
        guest
    }

    /// Adds a guest that runs on a host, or is paused there if its memory says so.
    pub fn add_guest(&mut self, host: HostId, machine: VirtualMachine) -> GuestId {
        let process_state = if machine.memory.paused { ProcessState::Paused } else { ProcessState::Running };
        let guest = self.add_guest_that_is_off(host, machine);
        self.add_copy(guest, host, process_state, DEFAULT_SETTINGS, None);
        guest
    }

    /// The network, to give hosts paths of their own. [`network_id`](Self::network_id) gives their names in it.
    pub fn network_mut(&mut self) -> &mut Network {
        &mut self.network
    }

    /// A host's name in the network.
    #[must_use]
    pub fn network_id(&self, host: HostId) -> crate::network::HostId {
        self.host(host).card
    }

    /// A host's inventory.
    #[must_use]
    pub fn inventory(&self, host: HostId) -> &HostInventory {
        &self.host(host).inventory
    }

    /// A guest's definition.
    #[must_use]
    pub fn machine(&self, guest: GuestId) -> &VirtualMachine {
        &self.domain(guest).machine
    }

    /// The hosts, in the order in which they were added.
    pub fn hosts(&self) -> impl Iterator<Item = HostId> + use<> {
        (0..self.hosts.len()).map(HostId)
    }

    /// The guests, in the order in which they were added.
    pub fn guests(&self) -> impl Iterator<Item = GuestId> + use<> {
        (0..self.guests.len()).map(GuestId)
    }

    /// The present instant.
    #[must_use]
    pub fn now_ns(&self) -> u64 {
        self.now_ns
    }

    /// An instant before which nothing happens without a command. None if nothing ever will.
    #[must_use]
    pub fn next_at(&self) -> Option<u64> {
        if !self.port_events.is_empty() {
            return Some(self.now_ns);
        }
        [self.event_queue.next_at(), self.network.next_change_at()].into_iter().flatten().min()
    }

    /// Runs to the next event of a port, but not beyond `limit_ns`; without an event by then, that is the present.
    pub fn advance(&mut self, limit_ns: u64) -> Option<(PortId, PortEvent)> {
        loop {
            while let Some((port, event)) = self.port_events.pop_front() {
                if self.is_open(port) {
                    self.record_port_event(port, &event);
                    return Some((port, event));
                }
            }
            let Some(at_ns) = self.next_at().filter(|at_ns| *at_ns <= limit_ns) else {
                self.now_ns = self.now_ns.max(limit_ns);
                return None;
            };
            self.now_ns = self.now_ns.max(at_ns);
            if self.network.next_change_at().is_some_and(|at_ns| at_ns <= self.now_ns) {
                self.network.advance_to(self.now_ns);
                self.on_links_changed();
            } else if let Some(due) = self.event_queue.take_due(self.now_ns) {
                self.on_due(due, limit_ns);
            }
        }
    }

    fn on_due(&mut self, due: Scheduled, limit_ns: u64) {
        match due {
            Scheduled::Command(port, command) => self.on_command(port, &command),
            Scheduled::Deliver(port, event) => self.port_events.push_back((port, event)),
            Scheduled::Request(port, event) => self.port_events.push_back((self.newest(port), event)),
            Scheduled::Message(id, message) => self.on_message(id, message),
            Scheduled::Done(id, chore) => self.on_done(id, chore),
            Scheduled::Turn(id) => {
                let horizon_ns = self.next_at().map_or(limit_ns, |at_ns| at_ns.min(limit_ns));
                self.on_turn(id, horizon_ns);
            }
            Scheduled::Silence(id, since_ns) => self.on_silence(id, since_ns),
            Scheduled::StreamSilence(id, since_ns) => self.on_stream_silence(id, since_ns),
            Scheduled::EndIncoming(guest, host) => {
                if self.daemon_runs(host)
                    && self.domain(guest).copy(host).is_some_and(|copy| copy.job.is_none())
                {
                    self.end_incoming_of(guest, host);
                }
            }
            Scheduled::Fault(fault) => self.inject(fault),
        }
    }

    /// Updates every migration's link, and shares the network again.
    fn on_links_changed(&mut self) {
        for id in self.jobs_where(|_| true) {
            self.advance_to_now(id);
            self.on_link_changed(id);
        }
        self.settle();
    }

    fn link_is_cut(&self, one: HostId, other: HostId) -> bool {
        let (from, to) = (self.host(one), self.host(other));
        let no_way = |from, to| self.network.is_cut(from, to).unwrap_or(true);
        !from.is_up
            || !to.is_up
            || self.cuts.contains(&faults::pair(one, other))
            || no_way(from.card, to.card)
            || no_way(to.card, from.card)
    }

    fn way_bytes_per_second(&self, from: HostId, to: HostId) -> u64 {
        self.network.way_bytes_per_second(self.host(from).card, self.host(to).card).unwrap_or(0)
    }

    /// One way between two hosts, drawn.
    fn delay_ns(&mut self, from: HostId, to: HostId) -> u64 {
        let (from, to) = (self.host(from).card, self.host(to).card);
        self.network.delay_ns(from, to, &mut self.random).unwrap_or(0)
    }

    /// One way between two hosts, on average.
    fn mean_delay_ns(&self, from: HostId, to: HostId) -> u64 {
        let line = self.network.line(self.host(from).card, self.host(to).card);
        line.map_or(0, |line| line.mean_delay_ns())
    }

    fn daemon_runs(&self, host: HostId) -> bool {
        self.host(host).daemon_runs
    }

    /// Adds a copy, which belongs to a migration if it is incoming.
    fn add_copy(
        &mut self,
        guest: GuestId,
        host: HostId,
        process_state: ProcessState,
        settings: Settings,
        job: Option<JobId>,
    ) {
        let storage = job.map_or(SHARED, |id| self.storage_there(id));
        let id = self.domain_mut(guest).record.name_copy();
        let copy = Copy { host, id, storage, process_state, settings, woke_up: false, job };
        let memory_mib = self.domain(guest).machine.memory.memory_mib;
        let state = self.host_mut(host);
        state.used_mib = state.used_mib.saturating_add(memory_mib);
        state.guests.push(guest);
        self.domain_mut(guest).copies.push(copy);
        self.record_created(guest, host);
        self.note_whether_it_runs(guest);
    }

    fn jobs_where(&self, condition: impl Fn(&Job) -> bool) -> Vec<JobId> {
        let fits = |key: &Key| self.jobs.get(*key).is_some_and(&condition);
        self.jobs.keys().filter(fits).map(JobId).collect()
    }

    /// Names are given out by this world only, and nothing is ever taken out of these lists.
    #[expect(clippy::indexing_slicing, reason = "a name of another world is a mistake of the caller's")]
    fn host(&self, host: HostId) -> &Host {
        &self.hosts[host.0]
    }

    #[expect(clippy::indexing_slicing, reason = "as for `host`")]
    fn host_mut(&mut self, host: HostId) -> &mut Host {
        &mut self.hosts[host.0]
    }

    #[expect(clippy::indexing_slicing, reason = "as for `host`")]
    fn domain(&self, guest: GuestId) -> &Domain {
        &self.guests[guest.0]
    }

    #[expect(clippy::indexing_slicing, reason = "as for `host`")]
    fn domain_mut(&mut self, guest: GuestId) -> &mut Domain {
        &mut self.guests[guest.0]
    }
}
