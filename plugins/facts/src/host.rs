//! A host, as libvirt describes it. A simulated host fills the same fields from its inventory and leaves the others
//! unknown.

use alloc::string::String;
use alloc::vec::Vec;

use crate::domain::RunState;
use crate::inventory::{Device, Link, Network, Pool};

record! {
    /// Host capabilities (`/capabilities`), domain capabilities (`/domainCapabilities`, for the guest's emulator and
    /// machine type), and libvirt calls on the connection to the host.
    Host {
        /// Connection URI by which it was queried. Empty: unknown, facts made of XML files.
        uri: String,
        /// `virConnectGetHostname`. Empty: unknown.
        name: String,
        /// In lower case: `/capabilities/host/uuid`. Empty: not reported.
        uuid: String,
        /// Driver part of the URI in upper case, such as `QEMU`. Empty: unknown.
        hypervisor: String,
        /// `major * 1000000 + minor * 1000 + release`: `virConnectGetVersion`. 0: unknown.
        hypervisor_version = "hypervisor-version": u64,
        /// libvirt's own, encoded in the same way: `virConnectGetLibVersion`. 0: unknown.
        library_version = "library-version": u64,
        /// Such as `x86_64`: `/capabilities/host/cpu/arch`, else `/domainCapabilities/arch`. Empty: not reported.
        architecture: String,
        /// `/capabilities/host/cpu`. Empty fields: not reported.
        cpu: HostCpu,
        /// Logical CPUs, counted over `/capabilities/host/topology/cells/cell/cpus/cpu`. None: unknown, no cells are
        /// listed.
        cpus: Option<u32>,
        /// KiB in total, summed over `/capabilities/host/topology/cells/cell/memory`. None: unknown, no cells are
        /// listed.
        memory_kib = "memory-kib": Option<u64>,
        /// KiB, without what caches use: `virNodeGetFreeMemory`. None: unknown.
        free_memory_kib = "free-memory-kib": Option<u64>,
        /// It takes no guests for now. No collector fills it: libvirt has no such state. None: unknown.
        maintenance: Option<bool>,
        /// `/capabilities/host/migration_features/live` is there. None: no `migration_features` reported.
        live_migration = "live-migration": Option<bool>,
        /// `tcp`, `rdma` …: `/capabilities/host/migration_features/uri_transports/uri_transport`. Empty: unknown.
        transports: Vec<String>,
        /// `kvm`, `qemu` …: `/capabilities/guest/arch/domain/@type` and `/domainCapabilities/domain`. Empty: unknown.
        accelerators: Vec<String>,
        /// `machine` in `/capabilities/guest/arch` and its `domain`, and `/domainCapabilities/machine`. None: unknown.
        machines: Option<Vec<Machine>>,
        /// `/domainCapabilities/cpu/mode[@supported='yes']/@name`. None: unknown. Empty list: none is supported.
        cpu_modes = "cpu-modes": Option<Vec<String>>,
        /// `/domainCapabilities/cpu/mode[@name='custom']/model`. None: unknown. Empty list: none is listed.
        cpu_models = "cpu-models": Option<Vec<CpuModel>>,
        /// `virConnectCompareHypervisorCPU` of the guest's `/domain/cpu`, on the destination. None: unknown: not
        /// compared (the source, or a CPU without a model), or the call failed.
        cpu_comparison = "cpu-comparison": Option<CpuComparison>,
        /// libvirt's error message of that call. Empty: it did not fail, or was not made.
        cpu_comparison_reason = "cpu-comparison-reason": String,
        /// Elements with `@supported='yes'` in `devices`, `features` and `memoryBacking` of `/domainCapabilities`, such
        /// as `tpm`, and their `enum` values, such as `tpm.backendModel.emulator`; of `os` too, with each image of firmware
        /// as `loader.value.PATH`. None: unknown.
        supports: Option<Vec<String>>,
        /// `virConnectListAllNetworks`. None: unknown. Empty list: there is none.
        networks: Option<Vec<Network>>,
        /// Every network device: `virConnectListAllInterfaces` with the node devices of type `net`. None: no complete
        /// list; the destination's links that were seen are then in [`Facts::attributes`](crate::Facts::attributes).
        links: Option<Vec<Link>>,
        /// `virConnectListAllStoragePools`. None: unknown. Empty list: there is none.
        pools: Option<Vec<Pool>>,
        /// `virConnectListAllNodeDevices`. None: unknown; a host without any device counts as unknown.
        devices: Option<Vec<Device>>,
        /// UUIDs: `virConnectListSecrets`. None: unknown. Empty list: there is none.
        secrets: Option<Vec<String>>,
        /// `virNodeGetFreePages` on the destination, for each size that the guest names, and for all that the host reports
        /// where the guest wants the default size. None: unknown, one query failed, or the source. Empty list: the guest
        /// wants no huge pages.
        huge_pages = "huge-pages": Option<Vec<HugePages>>,
        /// `/capabilities/host/topology/cells/cell`. None: not reported. Empty list: libvirt lists no cell.
        numa_nodes = "numa-nodes": Option<Vec<NumaNode>>,
        /// Guests here of the guest's UUID or name: `virDomainLookupByUUIDString`, `virDomainLookupByName`. On the
        /// source the guest itself is among them. None: unknown. Empty list: there is none.
        namesakes: Option<Vec<Namesake>>,
        /// Guests here that `virDomainGetState` reports paused for a migration or post-copy. None: unknown.
        migrations: Option<u32>,
    }
}

record! {
    /// Host capabilities, `/capabilities/host/cpu`. Empty texts and lists are unknown.
    HostCpu {
        /// Such as `EPYC`: text of `model`. Empty: not reported.
        model: String,
        /// Such as `AMD`: text of `vendor`. Empty: not reported.
        vendor: String,
        /// `feature/@name`. Empty: not reported.
        features: Vec<String>,
        /// Hz: `counter[@name='tsc']/@frequency`. None: not reported.
        tsc_frequency_hz = "tsc-frequency-hz": Option<u64>,
        /// Guests can have another frequency: `counter[@name='tsc']/@scaling` is `yes`. None: not reported.
        tsc_scaling = "tsc-scaling": Option<bool>,
    }
}

cases! {
    /// libvirt's own comparison of the guest's CPU with this host's: `virConnectCompareHypervisorCPU`.
    CpuComparison {
        /// `VIR_CPU_COMPARE_INCOMPATIBLE`, or the call failed with `VIR_ERR_CPU_INCOMPATIBLE`: it cannot run here.
        Incompatible = "incompatible",
        /// `VIR_CPU_COMPARE_IDENTICAL`: the host has what the guest needs and no more.
        Identical = "identical",
        /// `VIR_CPU_COMPARE_SUPERSET`: the host has more than the guest needs.
        Superset = "superset",
    }
}

record! {
    /// A machine type, from host capabilities (`/capabilities/guest/arch//machine`) or `/domainCapabilities/machine`.
    Machine {
        /// Such as `pc-q35-7.2`: the element's text.
        name: String,
        /// The type that the name stands for, as `q35` does for one: `@canonical`. Empty: not an alias.
        alias_of = "alias-of": String,
        /// Most virtual CPUs: the lesser of `@maxCpus` and `/domainCapabilities/vcpu/@max`. None: not reported.
        cpus_maximum = "cpus-maximum": Option<u32>,
        /// `@deprecated` is `yes`. False: it is not, or it is not reported.
        deprecated: bool,
    }
}

record! {
    /// Domain capabilities, `/domainCapabilities/cpu/mode[@name='custom']/model`.
    CpuModel {
        /// Such as `EPYC-Milan`: the element's text.
        name: String,
        /// Whether a guest can have it here, `@usable`. None: absent or `unknown`.
        usable: Option<bool>,
    }
}

record! {
    /// Pages of one size on the host: `virNodeGetFreePages`.
    HugePages {
        /// KiB of one page.
        size_kib = "size-kib": u64,
        /// Number of unused pages, over all NUMA nodes. 0: none is free.
        free: u64,
    }
}

record! {
    /// Host capabilities, `/capabilities/host/topology/cells/cell`.
    NumaNode {
        /// libvirt's number of the node: `@id`. A cell without one is left out.
        id: u32,
        /// KiB: `memory`. 0: not reported.
        memory_kib = "memory-kib": u64,
        /// Numbers of its logical CPUs: `cpus/cpu/@id`. Empty: none is reported.
        cpus: Vec<u32>,
    }
}

record! {
    /// A guest of this host that has the migrating guest's UUID or name, or is that guest.
    Namesake {
        /// `virDomainGetName`.
        name: String,
        /// `virDomainGetUUIDString`.
        uuid: String,
        /// `virDomainGetState`; `unknown` as in [`RunState::Unknown`].
        state: RunState,
    }
}
