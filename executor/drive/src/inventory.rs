//! A host's report about itself and its guests: plain data, the same for real and simulated hosts.
//!
//! Nothing here queries a host; the drivers do.

use serde::{Deserialize, Serialize};
use whimbrel_core::GuestRun;

/// A host, as it answered last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostEntry {
    /// The connection URI.
    pub uri: String,
    /// Its own host name.
    pub name: String,
    /// Kind of hypervisor, for example `QEMU`.
    pub hypervisor: String,
    /// CPU architecture, for example `x86_64`.
    pub architecture: String,
    /// The hypervisor's version, for example `7.2.0`.
    pub hypervisor_version: String,
    /// libvirt's version.
    pub library_version: String,
    /// Free memory, in bytes, where the host reports it.
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
