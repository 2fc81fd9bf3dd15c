//! What a host tells about itself and its guests when it is asked: plain data, the same for real and simulated hosts.
//!
//! Nothing here asks anybody; the drivers do.

use serde::{Deserialize, Serialize};
use whimbrel_core::GuestRun;

/// A host, as it answered last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostEntry {
    /// How a driver reaches it.
    pub uri: String,
    /// What it calls itself.
    pub name: String,
    /// Kind of hypervisor, for example `QEMU`.
    pub hypervisor: String,
    /// CPU architecture, for example `x86_64`.
    pub architecture: String,
    /// The hypervisor's version, for example `7.2.0`.
    pub hypervisor_version: String,
    /// libvirt's version.
    pub library_version: String,
    /// Memory not in use, in bytes, where the host tells it.
    pub free_memory_bytes: Option<u64>,
}

/// A guest on a host, in memory or defined only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuestEntry {
    /// Its name.
    pub name: String,
    /// Its UUID in the usual form with hyphens.
    pub uuid: String,
    /// The URI of the host that it is on.
    pub host: String,
    /// Whether it runs.
    pub run: GuestRun,
    /// Its memory in bytes.
    pub memory_bytes: u64,
    /// Virtual CPUs.
    pub vcpus: u32,
}

/// A host with its guests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inventory {
    /// The host.
    pub host: HostEntry,
    /// Its guests, by name.
    pub guests: Vec<GuestEntry>,
}
