//! A host, as libvirt describes it.

use alloc::string::String;
use alloc::vec::Vec;

use crate::domain::RunState;
use crate::inventory::{Device, Link, Network, Pool};

record! {
    /// Host.
    Host {
        /// Uri.
        uri: String,
        /// Name.
        name: String,
        /// Uuid.
        uuid: String,
        /// Hypervisor.
        hypervisor: String,
        /// Versions are `major * 1000000 + minor * 1000 + release`; 0 is unknown.
        hypervisor_version = "hypervisor-version": u64,
        /// Library version.
        library_version = "library-version": u64,
        /// Architecture.
        architecture: String,
        /// Cpu.
        cpu: HostCpu,
        /// Cpus.
        cpus: Option<u32>,
        /// Memory kib.
        memory_kib = "memory-kib": Option<u64>,
        /// Free memory kib.
        free_memory_kib = "free-memory-kib": Option<u64>,
        /// Maintenance.
        maintenance: Option<bool>,
        /// Live migration.
        live_migration = "live-migration": Option<bool>,
        /// `tcp`, `rdma` …
        transports: Vec<String>,
        /// Accelerators.
        accelerators: Vec<String>,
        /// Machines.
        machines: Option<Vec<Machine>>,
        /// Cpu modes.
        cpu_modes = "cpu-modes": Option<Vec<String>>,
        /// Cpu models.
        cpu_models = "cpu-models": Option<Vec<CpuModel>>,
        /// Cpu comparison.
        cpu_comparison = "cpu-comparison": Option<CpuComparison>,
        /// Cpu comparison reason.
        cpu_comparison_reason = "cpu-comparison-reason": String,
        /// Values of domain capabilities, such as `tpm.backendModel.emulator`.
        supports: Option<Vec<String>>,
        /// Networks.
        networks: Option<Vec<Network>>,
        /// Links.
        links: Option<Vec<Link>>,
        /// Pools.
        pools: Option<Vec<Pool>>,
        /// Devices.
        devices: Option<Vec<Device>>,
        /// Secrets.
        secrets: Option<Vec<String>>,
        /// Huge pages.
        huge_pages = "huge-pages": Option<Vec<HugePages>>,
        /// Numa nodes.
        numa_nodes = "numa-nodes": Option<Vec<NumaNode>>,
        /// Guests of the same name or UUID.
        namesakes: Option<Vec<Namesake>>,
        /// Migrations that run there already.
        migrations: Option<u32>,
    }
}

record! {
    /// Host cpu.
    HostCpu {
        /// Model.
        model: String,
        /// Vendor.
        vendor: String,
        /// Features.
        features: Vec<String>,
        /// Tsc frequency hz.
        tsc_frequency_hz = "tsc-frequency-hz": Option<u64>,
        /// Tsc scaling.
        tsc_scaling = "tsc-scaling": Option<bool>,
    }
}

cases! {
    /// libvirt's own comparison of the guest's CPU with this host's.
    CpuComparison {
        /// Incompatible.
        Incompatible = "incompatible",
        /// Identical.
        Identical = "identical",
        /// Superset.
        Superset = "superset",
    }
}

record! {
    /// Machine.
    Machine {
        /// Name.
        name: String,
        /// Alias of.
        alias_of = "alias-of": String,
        /// Cpus maximum.
        cpus_maximum = "cpus-maximum": Option<u32>,
        /// Deprecated.
        deprecated: bool,
    }
}

record! {
    /// Cpu model.
    CpuModel {
        /// Name.
        name: String,
        /// Usable.
        usable: Option<bool>,
    }
}

record! {
    /// Huge pages.
    HugePages {
        /// Size kib.
        size_kib = "size-kib": u64,
        /// Free.
        free: u64,
    }
}

record! {
    /// Numa node.
    NumaNode {
        /// Id.
        id: u32,
        /// Memory kib.
        memory_kib = "memory-kib": u64,
        /// Cpus.
        cpus: Vec<u32>,
    }
}

record! {
    /// Namesake.
    Namesake {
        /// Name.
        name: String,
        /// Uuid.
        uuid: String,
        /// State.
        state: RunState,
    }
}
