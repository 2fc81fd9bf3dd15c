//! A scenario set up in a world: two hosts, the link between them, the guest, and what is going to happen to them.

use whimbrel_core::Request;

use super::{FaultAction, Scenario, Trigger};
use crate::network::{Capacity, Line, Loss};
use crate::qemu::Engine;
use crate::world::{
    DaemonConstants, Fault, GuestId, HostId, HostInventory, MigrateOptions, Moment, PortId, VirtualMachine,
    World,
};

const NS_PER_MS: u64 = 1_000_000;
const BYTES_PER_MIB: u64 = 1 << 20;

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
    /// Its own seed, and everything else as usual.
    #[must_use]
    pub fn conditions(&self) -> Conditions {
        Conditions { engine: Engine::default(), seed: self.seed, constants: DaemonConstants::default() }
    }

    /// The world of this scenario.
    #[must_use]
    pub fn stage(&self, conditions: Conditions) -> Staged {
        let Conditions { engine, seed, constants } = conditions;
        let line =
            Line { latency_ns: self.link.latency_us.saturating_mul(1_000), jitter_ns: 0, loss: Loss::NONE };
        let card = Capacity::constant(self.link.bandwidth_mib_per_second.saturating_mul(BYTES_PER_MIB));
        let mut world = World::new(seed, line).with_engine(engine).with_constants(constants);
        let source = world.add_host(HostInventory::named("alpha"), card.clone());
        let destination = world.add_host(HostInventory::named("beta"), card);
        let machine = VirtualMachine::named(&self.guest.name, self.simulated_guest(0));
        let guest = world.add_guest(source, machine);
        // The definition goes with the guest: one that stayed behind could be started there by mistake.
        let options =
            MigrateOptions { persist_destination: true, undefine_source: true, ..MigrateOptions::default() };
        let port = world.connect(guest, source, destination, options);
        let mut staged = Staged { world, port, guest, source, destination };
        for fault in &self.faults {
            staged.plan(fault);
        }
        staged
    }
}

impl Staged {
    fn plan(&mut self, fault: &super::Fault) {
        let moment = match fault.trigger {
            Trigger::AtMs(ms) => Moment::AtNs(ms.saturating_mul(NS_PER_MS)),
            Trigger::AtIteration(iteration) => Moment::AtIteration(self.guest, iteration),
        };
        let after_ns = fault.after_ms.saturating_mul(NS_PER_MS);
        let (guest, source, destination) = (self.guest, self.source, self.destination);
        let what = match fault.action {
            FaultAction::Cancel => {
                self.world.ask_at(moment, after_ns, self.port, Request::Cancel);
                return;
            }
            FaultAction::CutLink => Fault::CutLink(source, destination),
            FaultAction::RestoreLink => Fault::RestoreLink(source, destination),
            FaultAction::KillSourceDaemon => Fault::KillDaemon(source),
            FaultAction::StartSourceDaemon => Fault::StartDaemon(source),
            FaultAction::KillDestinationDaemon => Fault::KillDaemon(destination),
            FaultAction::StartDestinationDaemon => Fault::StartDaemon(destination),
            FaultAction::KillSourceGuest => Fault::KillGuest(guest, source),
            FaultAction::KillDestinationGuest => Fault::KillGuest(guest, destination),
        };
        self.world.inject_at(moment, after_ns, what);
    }
}
