//! A fake libvirt in this process, over the simulated world: the shipped driver runs on it in virtual time.
//!
//! ```text
//!  driver ─▶ calls ─▶ connection, domain ─▶ simulated world
//!     └────▶ threads ─▶ here: one thread runs at a time, and a seed chooses which
//! ```
//!
//! Its daemons answer with libvirt's states, reasons, error codes, job statistics and events, late or never; they have a
//! limited number of workers; and an address may lead to another host. It must never be more careful than libvirt: what a
//! driver should not do is carried out, and found by those who judge the world.

mod acts;
mod call;
mod conformance;
mod connection;
mod defects;
mod dirty_rate;
mod domain;
mod events;
mod fuzz;
mod run;
mod schedule;

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use whimbrel_core::Failure;
use whimbrel_sim::network::{Capacity, Line, Loss};
use whimbrel_sim::qemu::Engine;
use whimbrel_sim::random::Random;
use whimbrel_sim::world::{Fault, GuestId, HostId, HostInventory, PortEvent, PortId, VirtualMachine, World};

use self::schedule::Tasks;
use crate::calls::EventSink;
use crate::lock;
use crate::threads::Signal;
use crate::{JobStatistics, MigrateParameters};

const MS: u64 = 1_000_000;
/// What a daemon has for ordinary calls (`max_workers`).
const WORKERS: usize = 20;
/// Silence after which a connection of the driver counts as broken: its keep-alive of 5 s, three times.
const KEEP_ALIVE_NS: u64 = 15_000 * MS;

/// The world, its daemons, and the threads of drivers.
pub(super) struct Fake {
    inner: Mutex<Inner>,
    changed: Condvar,
}

pub(super) struct Inner {
    pub(super) world: World,
    random: Random,
    tasks: Tasks,
    /// Which host a name leads to.
    addresses: BTreeMap<String, HostId>,
    daemons: BTreeMap<HostId, Daemon>,
    /// Jobs of other kinds, which the world does not know.
    jobs: BTreeMap<(GuestId, HostId), JobStatistics>,
    /// Measurements of dirty rates: since when, and over how many seconds.
    dirty_rates: BTreeMap<(GuestId, HostId), (u64, u16)>,
    /// The owner's element in a guest's metadata.
    metadata: BTreeMap<(GuestId, String), String>,
    /// What is on its way, with its time of arrival.
    due: Vec<(u64, Due)>,
    calls: BTreeMap<PortId, Arc<CallSlot>>,
    /// At which daemon each call occupies a worker.
    call_hosts: BTreeMap<PortId, HostId>,
    sinks: BTreeMap<PortId, Arc<EventSink>>,
    sink_places: BTreeMap<PortId, (GuestId, HostId)>,
    sink_epochs: BTreeMap<PortId, u64>,
    log: Log,
}

/// What drivers did, for tests.
#[derive(Clone, Debug, Default)]
pub(super) struct Log {
    /// Attempts to connect that have not returned, by the host's name.
    pub(super) connecting: BTreeMap<String, usize>,
    /// Most of them at a time, to one host.
    pub(super) connecting_most: usize,
    /// Threads of the driver, most of them at a time.
    pub(super) threads_most: usize,
    /// Subscriptions that were made.
    pub(super) subscriptions: usize,
    /// The parameters of every migrate call that reached a daemon.
    pub(super) migrate_calls: Vec<MigrateParameters>,
    /// How many were executed at a time, at most.
    pub(super) calls_most: usize,
    /// Requests to end a job that reached a daemon.
    pub(super) aborts: usize,
}

#[derive(Clone, Copy, Debug, Default)]
struct Daemon {
    /// How often connections to it broke.
    epoch: u64,
    /// Workers that are occupied.
    busy: usize,
    /// Since when it is silent.
    silent_since_ns: Option<u64>,
}

pub(super) enum Due {
    Fault(Fault),
    /// The name leads to this host from now on.
    Address(String, HostId),
    /// A migrate call, and how long its next retransmission waits.
    Call(Sent, u64),
}

/// A migrate call on its way.
pub(super) struct Sent {
    guest: GuestId,
    from: HostId,
    /// The epoch of its connection.
    epoch: u64,
    address: String,
    parameters: MigrateParameters,
    slot: Arc<CallSlot>,
}

/// Where the answer to a migrate call arrives.
#[derive(Debug, Default)]
pub(super) struct CallSlot {
    result: Mutex<Option<Result<(), Failure>>>,
    returned: Signal,
}

impl std::fmt::Debug for Fake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fake").finish_non_exhaustive()
    }
}

impl Fake {
    /// The hosts alpha, beta and gamma, without guests. All chance comes from the seed.
    pub(super) fn new(seed: u64) -> Arc<Self> {
        let line = Line { latency_ns: 100_000, jitter_ns: 0, loss: Loss::NONE };
        let mut world = World::new(seed, line).with_engine(Engine::Mean);
        let card = Capacity::constant(100 << 20);
        let hosts =
            ["alpha", "beta", "gamma"].map(|name| world.add_host(HostInventory::named(name), card.clone()));
        let names = ["alpha", "beta", "gamma"].map(str::to_owned);
        let inner = Inner {
            world,
            random: Random::from_seed(seed ^ 0x5eed),
            tasks: Tasks::default(),
            addresses: names.into_iter().zip(hosts).collect(),
            daemons: hosts.into_iter().map(|host| (host, Daemon::default())).collect(),
            jobs: BTreeMap::new(),
            dirty_rates: BTreeMap::new(),
            metadata: BTreeMap::new(),
            due: Vec::new(),
            calls: BTreeMap::new(),
            call_hosts: BTreeMap::new(),
            sinks: BTreeMap::new(),
            sink_places: BTreeMap::new(),
            sink_epochs: BTreeMap::new(),
            log: Log::default(),
        };
        Arc::new(Self { inner: Mutex::new(inner), changed: Condvar::new() })
    }

    pub(super) fn inner(&self) -> MutexGuard<'_, Inner> {
        lock(&self.inner)
    }

    pub(super) fn now_ns(&self) -> u64 {
        self.inner().world.now_ns()
    }

    pub(super) fn host(&self, name: &str) -> HostId {
        self.inner().addresses[name]
    }

    pub(super) fn add_guest(&self, host: HostId, machine: impl Into<VirtualMachine>) -> GuestId {
        self.inner().world.add_guest(host, machine.into())
    }

    /// Something happens this long after now.
    pub(super) fn plan(&self, after: Duration, due: Due) {
        let mut inner = self.inner();
        let at_ns = inner.world.now_ns() + u64::try_from(after.as_nanos()).unwrap();
        inner.due.push((at_ns, due));
    }

    pub(super) fn inject(&self, fault: Fault) {
        self.inner().inject(fault);
    }

    pub(super) fn log(&self) -> Log {
        self.inner().log.clone()
    }
}

impl Inner {
    fn daemon(&mut self, host: HostId) -> &mut Daemon {
        self.daemons.get_mut(&host).unwrap()
    }

    fn inject(&mut self, fault: Fault) {
        if let Fault::KillDaemon(host) | Fault::LoseHost(host) | Fault::DropClients(host) = fault {
            self.daemon(host).epoch += 1;
            if !matches!(fault, Fault::DropClients(_)) {
                // The daemon that is started again has all of its workers.
                self.daemon(host).busy = 0;
                self.call_hosts.retain(|_, of| *of != host);
            }
        }
        self.world.inject(fault);
        self.note_silence();
    }

    /// Notes since when each host is silent.
    fn note_silence(&mut self) {
        let now_ns = self.world.now_ns();
        for host in self.daemons.keys().copied().collect::<Vec<_>>() {
            let is_silent = self.world.reach(host) == whimbrel_sim::world::Reach::Silent;
            let since = &mut self.daemon(host).silent_since_ns;
            *since = is_silent.then(|| since.unwrap_or(now_ns));
        }
    }

    /// Whether a connection of this epoch to a host has broken, by an end of the daemon or by its silence.
    fn is_broken(&self, host: HostId, epoch: u64) -> bool {
        let daemon = self.daemons[&host];
        let is_dead = |since: u64| self.world.now_ns() >= since + KEEP_ALIVE_NS;
        daemon.epoch != epoch || daemon.silent_since_ns.is_some_and(is_dead)
    }

    /// The guest of this UUID or name.
    fn guest(&self, is_it: impl Fn(&VirtualMachine) -> bool) -> Option<GuestId> {
        self.world.guests().find(|guest| is_it(self.world.machine(*guest)))
    }

    fn route(&mut self, port: PortId, event: PortEvent) -> Option<(Arc<EventSink>, crate::DomainEvent)> {
        use whimbrel_core::{Answer, Observation};
        let PortEvent::Observed(observation) = event else { return None };
        match observation {
            Observation::Answer { answer: Answer::CallReturned(result), .. } => {
                self.end_call(port, result);
                None
            }
            Observation::Answer { .. } => None,
            Observation::Hint(hint) => {
                let (_, host) = self.sink_places.get(&port)?;
                // Nothing comes over a connection that has broken.
                if self.is_broken(*host, self.sink_epochs[&port]) {
                    return None;
                }
                let sink = Arc::clone(self.sinks.get(&port)?);
                Some((sink, self.event(port, hint)?))
            }
        }
    }

    fn end_call(&mut self, port: PortId, result: Result<(), Failure>) {
        let Some(slot) = self.calls.remove(&port) else { return };
        if let Some(host) = self.call_hosts.remove(&port) {
            let daemon = self.daemon(host);
            daemon.busy = daemon.busy.saturating_sub(1);
        }
        *lock(&slot.result) = Some(result);
        slot.returned.set();
    }
}
