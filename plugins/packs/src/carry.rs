//! Converts values between the contract's generated types and the rules' own: field by field, so a change of the
//! contract that is missing in one of them does not compile.

use alloc::string::String;
use alloc::vec::Vec;

use whimbrel_facts as own;

use crate::pack::exports::whimbrel::rules::pack as wire;

/// Converts a value of one side into that of the other.
pub(crate) trait Carry<T> {
    fn carry(self) -> T;
}

impl<A: Carry<B>, B> Carry<Vec<B>> for Vec<A> {
    fn carry(self) -> Vec<B> {
        self.into_iter().map(Carry::carry).collect()
    }
}

impl<A: Carry<B>, B> Carry<Option<B>> for Option<A> {
    fn carry(self) -> Option<B> {
        self.map(Carry::carry)
    }
}

macro_rules! plain {
    ($($type:ty),+) => {
        $(impl Carry<$type> for $type {
            fn carry(self) -> $type {
                self
            }
        })+
    };
}

/// A record that the host passes to the pack.
macro_rules! given {
    ($name:ident { $($field:ident),+ $(,)? }) => {
        impl Carry<own::$name> for wire::$name {
            fn carry(self) -> own::$name {
                own::$name { $($field: self.$field.carry()),+ }
            }
        }
    };
}

/// A record that the pack returns.
macro_rules! answered {
    ($name:ident { $($field:ident),+ $(,)? }) => {
        impl Carry<wire::$name> for own::$name {
            fn carry(self) -> wire::$name {
                wire::$name { $($field: self.$field.carry()),+ }
            }
        }
    };
}

/// An enumeration, converted in both directions.
macro_rules! cases {
    ($name:ident { $($case:ident),+ $(,)? }) => {
        impl Carry<own::$name> for wire::$name {
            fn carry(self) -> own::$name {
                match self {
                    $(Self::$case => own::$name::$case),+
                }
            }
        }

        impl Carry<wire::$name> for own::$name {
            fn carry(self) -> wire::$name {
                match self {
                    $(Self::$case => wire::$name::$case),+
                }
            }
        }
    };
}

plain!(bool, u32, u64, i64, String);

impl Carry<own::Scalar> for wire::Scalar {
    fn carry(self) -> own::Scalar {
        match self {
            Self::Boolean(value) => own::Scalar::Boolean(value),
            Self::Integer(value) => own::Scalar::Integer(value),
            Self::Text(value) => own::Scalar::Text(value),
        }
    }
}

impl Carry<wire::Scalar> for own::Scalar {
    fn carry(self) -> wire::Scalar {
        match self {
            Self::Boolean(value) => wire::Scalar::Boolean(value),
            Self::Integer(value) => wire::Scalar::Integer(value),
            Self::Text(value) => wire::Scalar::Text(value),
        }
    }
}

cases!(Verdict { Pass, Warn, Fail, Unknown });
cases!(Phase { Plan, Preflight, BeforeSwitchover, AfterCompletion });
cases!(FactGroup { Request, Guest, Source, Destination, Storage, Attributes });
given!(Attribute { path, value });
answered!(Attribute { path, value });
cases!(StorageCopy { None, Full, Incremental });
given!(Request {
    live,
    offline,
    postcopy,
    postcopy_preempt,
    storage_copy,
    copied_disks,
    allow_unsafe,
    peer_to_peer,
    tunnelled,
    parallel_connections,
    compression,
    zero_copy,
    tls,
    rdma,
    auto_converge,
    dirty_limit,
    abort_on_error,
    persist_destination,
    undefine_source,
    destination_xml,
    persistent_xml,
    migrate_uri,
    bandwidth_mib_per_second,
    downtime_limit_ms,
    throttle_initial_percent,
    throttle_increment_percent,
    xbzrle_cache_bytes,
    zlib_level,
    zstd_level,
    dirty_limit_period_ms
});
cases!(RunState { Running, Paused, Off, Crashed, Unknown });
given!(CpuFeature { name, policy });
given!(GuestCpu { mode, model, vendor, check, migratable, features });
given!(Disk {
    target,
    bus,
    device,
    kind,
    source,
    protocol,
    format,
    cache,
    read_only,
    shareable,
    transient,
    serial,
    wwn,
    size_bytes,
    reservations,
    encrypted,
    busy,
    pool,
    backing
});
given!(NetworkCard { kind, source, mac, model, backend, mtu, transient });
given!(HostDevice { kind, address, model, transient });
given!(Filesystem { driver, source, target });
given!(Tpm { model, backend, secret });
given!(SharedMemory { name, model, role });
given!(Graphics { kind, listen, clipboard });
given!(MemoryDevice { model, slot, base, size_kib });
given!(CharacterDevice { kind, backend, path });
given!(Domain {
    name,
    uuid,
    state,
    state_reason,
    persistent,
    auto_destroy,
    autostart,
    managed_save,
    job,
    snapshots,
    checkpoints,
    accelerator,
    architecture,
    machine,
    emulator,
    cpu,
    cpus,
    cpus_maximum,
    memory_kib,
    memory_maximum_kib,
    memory_locked,
    hard_limit_kib,
    huge_pages_kib,
    pinned_cpus,
    strict_nodes,
    tsc_frequency_hz,
    launch_security,
    hyperv_mode,
    firmware,
    disks,
    network_cards,
    host_devices,
    filesystems,
    tpms,
    shared_memories,
    graphics,
    memory_devices,
    character_devices,
    free_root_ports,
    metadata,
    not_understood
});
given!(HostCpu { model, vendor, features, tsc_frequency_hz, tsc_scaling });
given!(Machine { name, alias_of, cpus_maximum, deprecated });
given!(CpuModel { name, usable });
given!(Network { name, active, bridge });
given!(Link { name, active, mtu });
given!(Pool { name, kind, active, path, available_bytes });
given!(Device { name, kind, address, wwid, mediated_types });
given!(HugePages { size_kib, free });
given!(NumaNode { id, memory_kib, cpus });
given!(Namesake { name, uuid, state });
cases!(CpuComparison { Incompatible, Identical, Superset });
given!(Host {
    uri,
    name,
    uuid,
    hypervisor,
    hypervisor_version,
    library_version,
    architecture,
    cpu,
    cpus,
    memory_kib,
    free_memory_kib,
    maintenance,
    live_migration,
    transports,
    accelerators,
    machines,
    cpu_modes,
    cpu_models,
    cpu_comparison,
    cpu_comparison_reason,
    supports,
    networks,
    links,
    pools,
    devices,
    secrets,
    huge_pages,
    numa_nodes,
    namesakes,
    migrations
});
cases!(Sharing { Proven, Disproven, Unknown });
given!(Identity { kind, value });
given!(StorageSide { exists, identities, size_bytes, filesystem, pool, free_bytes });
given!(DiskStorage { target, source_path, destination_path, source, destination, sharing, sharing_evidence });
given!(Facts { phase, request, guest, target, source, destination, storage, attributes });
answered!(Rule { code, title, rationale, remediation, phases, settings_schema });
answered!(About { name, version, summary, documentation, needs, rules });
given!(Activation { code, settings });
answered!(SettingsError { pointer, message });
answered!(Finding { code, verdict, subject, message, remediation, evidence });
