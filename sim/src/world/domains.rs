//! Guests, and their copies on hosts. A copy is a QEMU process: it outlives its daemon.

use super::ground_truth::Record;
use super::inventory::made_up_uuid;
use super::{HostId, JobId};
use crate::guest::Guest;
use whimbrel_core::port::Settings;
use whimbrel_oracle::{CopyId, StorageId};

/// A guest as it is defined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VirtualMachine {
    /// Its name, the same on every host.
    pub name: String,
    /// Its identity, the same on every host.
    pub uuid: String,
    /// Virtual CPUs.
    pub vcpus: u32,
    /// Its machine type.
    pub machine: String,
    /// Its memory and what writes to it.
    pub memory: Guest,
    /// Whether its definition outlives its run.
    pub is_persistent: bool,
    /// Networks that it is connected to.
    pub networks: Vec<String>,
    /// Its disks.
    pub disks: Vec<Disk>,
}

/// A disk of a guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disk {
    /// How the guest sees it, for example `vda`.
    pub target: String,
    /// The path on the host.
    pub path: String,
    /// Bytes in use, which is what a copy has to carry.
    pub used_bytes: u64,
    /// Bytes that the guest writes a second.
    pub written_bytes_per_second: u64,
    /// The part of the disk that those writes go to, uniformly.
    pub working_set_bytes: u64,
}

/// Whether a copy of a guest runs, and what for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProcessState {
    /// Its CPUs run.
    Running,
    /// Its CPUs are stopped by a request.
    Paused,
    /// A migration stopped its CPUs.
    Stopped,
    /// It receives a migration and has never run.
    Incoming,
    /// It was left for a copy that runs elsewhere and still needs its memory. It must never run again.
    PostcopySource {
        /// Whether the migration's connection is lost.
        is_cut_off: bool,
    },
    /// It runs, as far as it gets without the memory that has not arrived.
    PostcopyDestination {
        /// Whether the migration's connection is lost.
        is_cut_off: bool,
    },
}

/// A guest's QEMU process on a host.
#[derive(Clone, Debug)]
pub(super) struct Copy {
    pub(super) host: HostId,
    /// Its name in the record.
    pub(super) id: CopyId,
    /// What it writes to.
    pub(super) storage: StorageId,
    pub(super) process_state: ProcessState,
    pub(super) settings: Settings,
    /// Whether the guest slept and woke up here.
    pub(super) woke_up: bool,
    /// The migration that works on it, in either direction.
    pub(super) job: Option<JobId>,
}

/// A guest in the world.
#[derive(Clone, Debug)]
pub(super) struct Domain {
    pub(super) machine: VirtualMachine,
    pub(super) copies: Vec<Copy>,
    /// Hosts that keep its definition.
    pub(super) defined_on: Vec<HostId>,
    /// What really happened to it.
    pub(super) record: Record,
    /// The spans during which no copy of it ran, in the world's ns; the last may have no end.
    pub(super) stops: Vec<(u64, Option<u64>)>,
    /// The last migration's numbers, where its source's daemon keeps them.
    pub(super) concluded: Option<(HostId, whimbrel_core::convergence::Statistics)>,
    /// Files that its migrations made, each with its host.
    pub(super) made: Vec<(HostId, String)>,
}

impl VirtualMachine {
    /// A guest of this name that keeps its definition, with one virtual CPU, the default network and no disks.
    #[must_use]
    pub fn named(name: &str, memory: Guest) -> Self {
        Self {
            name: name.to_owned(),
            uuid: made_up_uuid(0x01, name),
            vcpus: 1,
            machine: "pc-i440fx-7.2".to_owned(),
            memory,
            is_persistent: true,
            networks: vec!["default".to_owned()],
            disks: Vec::new(),
        }
    }
}

impl ProcessState {
    /// Whether its CPUs run.
    #[must_use]
    pub const fn runs(self) -> bool {
        matches!(self, Self::Running | Self::PostcopyDestination { .. })
    }

    /// Whether the guest could continue from this copy alone.
    #[must_use]
    pub const fn is_whole(self) -> bool {
        matches!(self, Self::Running | Self::Paused | Self::Stopped)
    }
}

impl Domain {
    pub(super) fn copy(&self, host: HostId) -> Option<&Copy> {
        self.copies.iter().find(|copy| copy.host == host)
    }

    pub(super) fn copy_mut(&mut self, host: HostId) -> Option<&mut Copy> {
        self.copies.iter_mut().find(|copy| copy.host == host)
    }

    pub(super) fn process_state(&self, host: HostId) -> Option<ProcessState> {
        self.copy(host).map(|copy| copy.process_state)
    }
}
