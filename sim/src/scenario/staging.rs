//! A scenario set up in a world: two hosts, the link between them, the guest, and what is going to happen to them.

use whimbrel_core::{Adjustment, Request, Side};

use super::bounds::{BYTES_PER_MIB, NS_PER_MS, NS_PER_US};
use super::hosts::{OWN_POOL, SHARED_POOL};
use super::{AtDestination, FaultAction, Scenario, ScenarioDisk, Trigger};
use crate::network::{Capacity, Line, Loss, Step, Tcp};
use crate::qemu::Engine;
use crate::random::Random;
use crate::world::{
    DaemonConstants, Disk, DiskSet, Fault, GuestId, HostId, HostInventory, MigrateOptions, Moment, PortId,
    ReplyBehavior, VirtualMachine, Volume, World,
};

/// Linux's usual bound on a socket's receive buffer (`tcp_rmem`), for connections without a configured window.
const USUAL_WINDOW_BYTES: u64 = 6 << 20;
/// Payload of an Ethernet frame with time stamps.
const SEGMENT_BYTES: u16 = 1448;
/// Keeps the stream of delays apart from the world's own.
const DELAYS: u64 = 0x5eed_de1a_7000_0001;

/// What a scenario is simulated with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conditions {
    /// What keeps account of dirty pages.
    pub engine: Engine,
    /// From which all chance comes.
    pub seed: u64,
    /// Times of the daemons.
    pub constants: DaemonConstants,
}

/// A scenario's world, in which nothing has happened yet.
#[derive(Clone, Debug)]
pub struct Staged {
    /// The world.
    pub world: World,
    /// The port through which the migration is driven.
    pub port: PortId,
    /// The guest.
    pub guest: GuestId,
    /// Where it is.
    pub source: HostId,
    /// Where it is to go.
    pub destination: HostId,
}

impl Scenario {
    /// Its own seed and times, and everything else as usual.
    #[must_use]
    pub fn conditions(&self) -> Conditions {
        Conditions { engine: Engine::default(), seed: self.seed, constants: self.daemons }
    }

    /// The world of this scenario.
    #[must_use]
    pub fn stage(&self, conditions: Conditions) -> Staged {
        let Conditions { engine, seed, constants } = conditions;
        let line = Line {
            latency_ns: self.link.latency_us.saturating_mul(NS_PER_US),
            jitter_ns: self.link.jitter_us.saturating_mul(NS_PER_US),
            loss: self.link.loss,
        };
        let mut world = World::new(seed, line)
            .with_engine(engine)
            .with_constants(constants)
            .with_host_constants(self.costs);
        if let Some(tcp) = self.tcp() {
            world = world.with_tcp(tcp);
        }
        let card = self.card();
        let source = world.add_host(self.furnished(&self.source, true), card.clone());
        let destination = world.add_host(self.furnished(&self.destination, false), card);
        let machine = self.machine();
        let guest = if self.migration.offline {
            world.add_guest_that_is_off(source, machine)
        } else {
            world.add_guest(source, machine)
        };
        let port = world.connect(guest, source, destination, self.options());
        let mut staged = Staged { world, port, guest, source, destination };
        for (fault, delay_ms) in self.faults.iter().zip(self.delays_ms(seed)) {
            staged.plan(fault, delay_ms);
        }
        staged
    }

    /// How long after its trigger each fault happens, in milliseconds, as a seed draws it. The same seed draws the same
    /// here and on real hosts.
    #[must_use]
    pub fn delays_ms(&self, seed: u64) -> Vec<u64> {
        // A random stream of its own: a scenario without such a fault runs as it always did.
        let mut chance = Random::from_seed(seed ^ DELAYS);
        let mut delay = |fault: &super::Fault| match fault.within_ms {
            0 => fault.after_ms,
            within_ms => fault.after_ms.saturating_add(chance.below(within_ms.saturating_add(1))),
        };
        self.faults.iter().map(&mut delay).collect()
    }

    /// The link over time; a trace in order is a capacity.
    fn card(&self) -> Capacity {
        let first = Step { at_ns: 0, bytes_per_second: bytes(self.link.bandwidth_mib_per_second) };
        let later = self.link.changes.iter().map(|(at_ms, bandwidth)| Step {
            at_ns: at_ms.saturating_mul(NS_PER_MS),
            bytes_per_second: bytes(*bandwidth),
        });
        let trace: Vec<Step> = std::iter::once(first).chain(later).collect();
        Capacity::from_trace(&trace).unwrap_or_else(|_| Capacity::constant(first.bytes_per_second))
    }

    fn tcp(&self) -> Option<Tcp> {
        let window_bytes = match self.link.tcp_window_kib {
            Some(kib) => kib << 10,
            None if self.link.loss == Loss::NONE => return None,
            None => USUAL_WINDOW_BYTES,
        };
        Some(Tcp { window_bytes, segment_bytes: SEGMENT_BYTES })
    }

    /// A host with the files of the guest's disks that lie on it.
    fn furnished(&self, host: &HostInventory, is_source: bool) -> HostInventory {
        let mut host = host.clone();
        let is_there =
            |disk: &&ScenarioDisk| is_source || disk.shared || disk.at_destination != AtDestination::Nothing;
        for disk in self.guest.disks.iter().filter(is_there) {
            let is_used = !is_source && disk.at_destination == AtDestination::Used;
            let used_by = is_used.then(|| format!("{}-other", self.guest.name));
            let volume = Volume { name: self.file(disk), bytes: bytes(disk.used_mib), used_by };
            if let Some(pool) = host.pools.iter_mut().find(|pool| pool.name == pool_of(disk)) {
                pool.volumes.push(volume);
            }
        }
        host
    }

    fn machine(&self) -> VirtualMachine {
        let guest = &self.guest;
        let disk = |disk: &ScenarioDisk| Disk {
            target: disk.target.clone(),
            path: format!("/{}/{}", pool_of(disk), self.file(disk)),
            used_bytes: bytes(disk.used_mib),
            written_bytes_per_second: bytes(disk.write_mib_per_second),
            working_set_bytes: bytes(disk.working_set_mib),
        };
        let usual = VirtualMachine::named(&guest.name, self.simulated_guest(0));
        VirtualMachine {
            vcpus: guest.vcpus,
            machine: self.source.machines.first().cloned().unwrap_or(usual.machine),
            is_persistent: guest.persistent,
            disks: guest.disks.iter().map(disk).collect(),
            ..usual
        }
    }

    fn file(&self, disk: &ScenarioDisk) -> String {
        format!("{}-{}.img", self.guest.name, disk.target)
    }

    fn options(&self) -> MigrateOptions {
        let migration = &self.migration;
        let places = |targets: &[String]| {
            let disks = self.guest.disks.iter().enumerate();
            DiskSet::of(disks.filter(|(_, disk)| targets.contains(&disk.target)).map(|(place, _)| place))
        };
        MigrateOptions {
            auto_converge: self.auto_converge(),
            dirty_limit: migration.dirty_limit,
            xbzrle: migration.xbzrle,
            channels: self.channels(),
            postcopy: migration.postcopy,
            copy_disks: migration.copy_disks,
            named_disks: places(&migration.copied_disks),
            overwritten_disks: places(&migration.overwritten_disks),
            // The definition goes with the guest: one that stayed behind could be started there by mistake.
            persist_destination: self.guest.persistent,
            undefine_source: self.guest.persistent,
            is_unsafe: migration.unsafe_storage,
            is_offline: migration.offline,
        }
    }
}

impl Staged {
    fn plan(&mut self, fault: &super::Fault, delay_ms: u64) {
        let moment = match fault.trigger {
            Trigger::AtMs(ms) => Moment::AtNs(ms.saturating_mul(NS_PER_MS)),
            Trigger::AtIteration(iteration) => Moment::AtIteration(self.guest, iteration),
            Trigger::At(milestone) => Moment::At(self.guest, milestone),
        };
        let after_ns = delay_ms.saturating_mul(NS_PER_MS);
        if let Some(request) = request(fault.action) {
            self.world.ask_at(moment, after_ns, self.port, request);
        } else if let FaultAction::RestartDriver { gone_ms } = fault.action {
            let gone_ns = gone_ms.saturating_mul(NS_PER_MS);
            self.world.interrupt_at(moment, after_ns, self.port, gone_ns);
        } else if let Some(what) = self.world_fault(fault.action) {
            self.world.inject_at(moment, after_ns, what);
        }
    }

    /// The world's fault; none for a request to the driver, or a fault of the driver.
    fn world_fault(&self, action: FaultAction) -> Option<Fault> {
        let host = |side| if side == Side::Source { self.source } else { self.destination };
        let reply_behavior = |side, reply_behavior| Fault::SetReplyBehavior(host(side), reply_behavior);
        let usual = ReplyBehavior::default();
        Some(match action {
            FaultAction::Cancel
            | FaultAction::Postcopy
            | FaultAction::Pause
            | FaultAction::DowntimeLimit { .. }
            | FaultAction::BandwidthLimit { .. }
            | FaultAction::RestartDriver { .. } => return None,
            FaultAction::CutLink => Fault::CutLink(self.source, self.destination),
            FaultAction::RestoreLink => Fault::RestoreLink(self.source, self.destination),
            FaultAction::BreakStream => Fault::BreakStream(self.guest),
            FaultAction::KillDaemon(side) => Fault::KillDaemon(host(side)),
            FaultAction::StartDaemon(side) => Fault::StartDaemon(host(side)),
            FaultAction::KillGuest(side) => Fault::KillGuest(self.guest, host(side)),
            FaultAction::LoseHost(side) => Fault::LoseHost(host(side)),
            FaultAction::StartHost(side) => Fault::StartHost(host(side)),
            FaultAction::DropClients(side) => Fault::DropClients(host(side)),
            FaultAction::Silence(side) => reply_behavior(side, ReplyBehavior { is_silent: true, ..usual }),
            FaultAction::DelayReplies { side, ms } => {
                reply_behavior(side, ReplyBehavior { delay_ns: ms.saturating_mul(NS_PER_MS), ..usual })
            }
            FaultAction::DoubleReplies(side) => {
                reply_behavior(side, ReplyBehavior { is_doubled: true, ..usual })
            }
            FaultAction::LoseEvents(side) => {
                reply_behavior(side, ReplyBehavior { loses_events: true, ..usual })
            }
            FaultAction::Speak(side) => reply_behavior(side, usual),
            FaultAction::TakeMemory { side, mib } => Fault::TakeMemory(host(side), mib),
            FaultAction::LeaveRoom { side, mib } => Fault::LeaveRoom(host(side), bytes(mib)),
            FaultAction::PauseGuest(side) => Fault::Pause(self.guest, host(side)),
            FaultAction::FailDisk(side) => Fault::IoError(self.guest, host(side)),
            FaultAction::UnpauseGuest(side) => Fault::Unpause(self.guest, host(side)),
        })
    }
}

/// The operator's request, if the action is one.
const fn request(action: FaultAction) -> Option<Request> {
    match action {
        FaultAction::Cancel => Some(Request::Cancel),
        FaultAction::Postcopy => Some(Request::React(Adjustment::Postcopy)),
        FaultAction::Pause => Some(Request::React(Adjustment::Pause)),
        FaultAction::DowntimeLimit { ms } => Some(Request::React(Adjustment::DowntimeLimitMs(ms))),
        FaultAction::BandwidthLimit { mib_per_second } => {
            Some(Request::React(Adjustment::BandwidthLimitBytesPerSecond(bytes(mib_per_second))))
        }
        _ => None,
    }
}

const fn pool_of(disk: &ScenarioDisk) -> &'static str {
    if disk.shared { SHARED_POOL } else { OWN_POOL }
}

const fn bytes(mib: u64) -> u64 {
    mib.saturating_mul(BYTES_PER_MIB)
}
