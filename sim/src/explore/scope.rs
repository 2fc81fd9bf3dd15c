//! What is explored: which ways and features, and how many things may go wrong.

use whimbrel_core::GuestRun;

/// What is explored.
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scope {
    /// Most faults on one way through: deaths of daemons, QEMUs, hosts and ourselves, cuts of the link, lost replies and
    /// connections, copies that fail by themselves. What was broken may be mended any number of times.
    pub faults: u8,
    /// Most requests of an operator on one way through, cancels included.
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
    /// Whether a timeout was asked for.
    pub timeout: bool,
    /// Whether hints come: any of them, at any moment, true or not.
    pub hints: bool,
    /// Whether whoever drives the migration may die and another goes on.
    pub restarts: bool,
    /// Whether hosts may lose their power.
    pub host_losses: bool,
}

impl Scope {
    /// Every feature, with at most so many faults and requests.
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
        }
    }
}
