//! Facts that are collected before the start, and the verdict of the rules on them.
//!
//! The core carries facts and verdicts, so a journal records why a migration was allowed or refused. It
//! never judges them itself: rules do, outside.

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

/// Facts about the guest and both hosts, collected by a driver before anything was changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// The guest, as the source has it.
    pub guest: GuestFacts,
    /// The host it runs on.
    pub source: HostFacts,
    /// The host it is to run on.
    pub destination: HostFacts,
    /// Files of the guest's disks that the destination does not have, where the migration will create them. They are
    /// removed again when the guest stays.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub disks_to_make: Vec<String>,
}

/// The guest, as the source has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuestFacts {
    /// Its name.
    pub name: String,
    /// Its UUID in the usual form with hyphens.
    pub uuid: String,
    /// Whether it runs.
    pub run: GuestRun,
    /// Whether its definition outlives its run.
    pub persistent: bool,
    /// Its memory in bytes.
    pub memory_bytes: u64,
    /// Whether a job (a migration, a save, a backup) already works on it.
    pub job_active: bool,
}

/// One host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostFacts {
    /// How the driver reaches it.
    pub uri: String,
    /// What it calls itself.
    pub hostname: String,
    /// The identity by which libvirt distinguishes hosts.
    pub host_uuid: String,
    /// Kind of hypervisor, for example `QEMU`.
    pub hypervisor: String,
    /// CPU architecture, for example `x86_64`.
    pub architecture: String,
    /// libvirt's version as `major * 1_000_000 + minor * 1_000 + release`.
    pub library_version: u64,
    /// The hypervisor's version in the same form.
    pub hypervisor_version: u64,
    /// Memory not in use, in bytes, where the host reports it.
    pub free_memory_bytes: Option<u64>,
    /// Whether a guest of this name or UUID exists there, and whether it runs.
    pub has_guest: Option<GuestRun>,
}

/// Whether a guest runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GuestRun {
    /// Its CPUs run.
    Running,
    /// It is in memory, and its CPUs are stopped.
    Paused,
    /// It is not in memory.
    NotRunning,
}

/// The verdict of the rules: every finding at once, not only the first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// In the order in which the rules stand.
    pub findings: Vec<Finding>,
    /// The facts that the rules judged, and which rules they were, in a form that the driver chooses; for readers of
    /// the journal. No decision depends on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub basis: Option<serde_json::Value>,
}

/// One rule's remark.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Stable name, for example `destination.is-source`.
    pub code: String,
    /// Whether it stops the migration.
    pub severity: Severity,
    /// What was seen.
    pub message: String,
    /// What to do about it.
    pub remediation: String,
}

/// Whether a finding stops the migration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Worth knowing; the migration continues.
    Warning,
    /// The migration would fail or harm the guest: it is refused.
    Error,
}

impl Verdict {
    /// Whether no finding stops the migration.
    #[must_use]
    pub fn allows(&self) -> bool {
        self.findings.iter().all(|finding| finding.severity != Severity::Error)
    }
}
