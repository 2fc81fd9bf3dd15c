//! The bounds of an exploration: features, and the numbers of faults and requests.

use std::fmt;

use whimbrel_core::GuestRun;
use whimbrel_core::control::{Control, Orders, Signal, UnexpectedSignal};

/// What is explored.
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scope {
    /// Most faults on one path: deaths of daemons, QEMUs, hosts and ourselves, cuts of the link, lost replies and
    /// connections, copies that fail by themselves. Repairs are not limited.
    pub faults: u8,
    /// Most requests of an operator on one path, cancels included.
    pub requests: u8,
    /// Whether post-copy was allowed at the start.
    pub postcopy: bool,
    /// Whether limits are changed before the copy.
    pub limits: bool,
    /// Whether the migration makes disks on the destination.
    pub disks: bool,
    /// Whether the guest's definition goes with it.
    pub persistent: bool,
    /// What the guest did before. One that is not in memory is moved offline.
    pub guest: GuestRun,
    /// Whether a timeout is configured.
    pub timeout: bool,
    /// Whether hints come: any of them, at any moment, true or not.
    pub hints: bool,
    /// Whether the driver may die and another continue.
    pub restarts: bool,
    /// Whether hosts may lose their power.
    pub host_losses: bool,
    /// Whether the guest stops or wakes up by itself, and others resume and start it: each counts as a fault.
    pub others: bool,
    /// The machine that is explored: the shipped one, or one with a mistake in it that must be found.
    pub machine: Machine,
}

/// A control machine.
#[derive(Clone, Copy)]
pub struct Machine(pub fn(Control, Signal) -> Result<(Control, Orders), UnexpectedSignal>);

impl Machine {
    /// The one that moves real guests.
    pub const SHIPPED: Self = Self(Control::step);
}

impl PartialEq for Machine {
    /// Functions have no identity to go by: what is explored with a machine says which one.
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Machine {}

impl fmt::Debug for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Machine")
    }
}

impl Scope {
    /// Every feature, with at most this many faults and requests.
    #[must_use]
    pub const fn everything(faults: u8, requests: u8) -> Self {
        Self {
            faults,
            requests,
            postcopy: true,
            limits: true,
            disks: true,
            persistent: true,
            guest: GuestRun::Running,
            timeout: true,
            hints: true,
            restarts: true,
            host_losses: true,
            others: true,
            machine: Machine::SHIPPED,
        }
    }
}
