//! A host as the world keeps it: its inventory, its daemon, and how its daemon's answers reach clients.

use super::inventory::HostInventory;
use super::{GuestId, PortId};
use crate::network;

/// How answers and events of a host's daemon reach its clients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ReplyBehavior {
    /// Nothing arrives, in either direction, and no error is reported.
    pub is_silent: bool,
    /// Everything arrives later by this much.
    pub delay_ns: u64,
    /// Everything arrives twice.
    pub is_doubled: bool,
    /// Events do not arrive; answers do.
    pub loses_events: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Host {
    pub(super) inventory: HostInventory,
    pub(super) card: network::HostId,
    pub(super) is_up: bool,
    pub(super) daemon_runs: bool,
    pub(super) reply_behavior: ReplyBehavior,
    /// Memory of the copies on it.
    pub(super) used_mib: u64,
    /// Memory that something else has taken.
    pub(super) taken_mib: u64,
    /// Guests with a copy on it, in the order of their coming.
    pub(super) guests: Vec<GuestId>,
    /// Ports that see this host as their source.
    pub(super) ports: Vec<PortId>,
}

impl Host {
    pub(super) fn free_memory_mib(&self) -> u64 {
        self.inventory.memory_mib.saturating_sub(self.used_mib.saturating_add(self.taken_mib))
    }
}
