//! How the operator wants the guest migrated.
//!
//! Values come from the options of `whimbrel migrate` and `check`, or from the same fields of a service request. A
//! field that no option sets is false, empty or none unless a facts document says otherwise. Requests of facts that
//! were made without those options (from XML files, or of the core's own facts) have `live` and `persist_destination`
//! alone.

use alloc::string::String;
use alloc::vec::Vec;

cases! {
    /// Whether disks are copied with the guest.
    #[derive(Default)]
    StorageCopy {
        /// No disk: all are shared, or are not to be copied.
        #[default]
        None = "none",
        /// The whole content, `VIR_MIGRATE_NON_SHARED_DISK`.
        Full = "full",
        /// The top layers alone, `VIR_MIGRATE_NON_SHARED_INC`. No option sets it.
        Incremental = "incremental",
    }
}

record! {
    /// The operator's options for one migration.
    Request {
        /// The guest runs while it is copied (`VIR_MIGRATE_LIVE`). False only with `--offline`.
        live: bool,
        /// `--offline`: the definition of a guest that is off is moved. False: not given.
        offline: bool,
        /// `--postcopy`, or `--at-timeout postcopy`: post-copy may be started. False: not given.
        postcopy: bool,
        /// QEMU's `postcopy-preempt`: pages that the guest waits for overtake others. No option sets it; false.
        postcopy_preempt = "postcopy-preempt": bool,
        /// `full` with `--copy-disks`, unless all disks prove to be shared; else `none`.
        storage_copy = "storage-copy": StorageCopy,
        /// Targets of the disks to copy, such as `vda`: from `--copy-disks`, or those not proven to be shared. Empty:
        /// all that can be copied, where `storage_copy` is not `none`.
        copied_disks = "copied-disks": Vec<String>,
        /// `--unsafe`: libvirt's check of shared storage is overruled. False: not given.
        allow_unsafe = "allow-unsafe": bool,
        /// The source's daemon connects to the destination's (`VIR_MIGRATE_PEER2PEER`). True in
        /// every request that is judged before a migration.
        peer_to_peer = "peer-to-peer": bool,
        /// Memory goes through libvirt's connection (`VIR_MIGRATE_TUNNELLED`). No option sets it; false.
        tunnelled: bool,
        /// Number of connections at once: `--parallel`. None: not given, one connection.
        parallel_connections = "parallel-connections": Option<u32>,
        /// `xbzrle`, `mt`, `zlib` or `zstd`; `--xbzrle` gives the first. Empty: none.
        compression: Vec<String>,
        /// Memory is sent without a copy in the kernel (`VIR_MIGRATE_ZEROCOPY`). No option sets it; false.
        zero_copy = "zero-copy": bool,
        /// The migration stream is encrypted (`VIR_MIGRATE_TLS`). No option sets it; false.
        tls: bool,
        /// Memory goes over RDMA. No option sets it; false.
        rdma: bool,
        /// `--auto-converge`: the guest is slowed down when it dirties memory faster than it is copied. False: not
        /// given.
        auto_converge = "auto-converge": bool,
        /// QEMU's `dirty-limit`: the guest's dirty rate is limited instead. No option sets it; false.
        dirty_limit = "dirty-limit": bool,
        /// A disk's I/O error ends the migration (`VIR_MIGRATE_ABORT_ON_ERROR`). No option sets it; false.
        abort_on_error = "abort-on-error": bool,
        /// The destination stores the definition (`VIR_MIGRATE_PERSIST_DEST`). True in every
        /// request of Whimbrel, which applies it to persistent guests alone.
        persist_destination = "persist-destination": bool,
        /// The source's definition is removed at the end (`VIR_MIGRATE_UNDEFINE_SOURCE`). True in every request that is
        /// judged before a migration.
        undefine_source = "undefine-source": bool,
        /// `--xml`: a definition for the destination is given. False: not given.
        destination_xml = "destination-xml": bool,
        /// A definition to be stored on the destination is given; Whimbrel takes that of `--xml`. False: not given.
        persistent_xml = "persistent-xml": bool,
        /// Where memory is sent, such as `tcp://192.0.2.12`: `--migrate-uri`. None: not given, to the destination's
        /// host name.
        migrate_uri = "migrate-uri": Option<String>,
        /// MiB per second at most: `--bandwidth`. None: not given.
        bandwidth_mib_per_second = "bandwidth-mib-per-second": Option<u64>,
        /// Downtime at most, in milliseconds: `--downtime`. None: not given.
        downtime_limit_ms = "downtime-limit-ms": Option<u64>,
        /// Percent of CPU time that auto-converge takes at first. No option sets it; none: the hypervisor's default.
        throttle_initial_percent = "throttle-initial-percent": Option<u32>,
        /// Percent that each further step of auto-converge takes. No option sets it; none: the hypervisor's default.
        throttle_increment_percent = "throttle-increment-percent": Option<u32>,
        /// Bytes for earlier versions of pages. No option sets it; none: the hypervisor's default.
        xbzrle_cache_bytes = "xbzrle-cache-bytes": Option<u64>,
        /// 0 to 9. No option sets it; none: the hypervisor's default.
        zlib_level = "zlib-level": Option<u32>,
        /// 0 to 20. No option sets it; none: the hypervisor's default.
        zstd_level = "zstd-level": Option<u32>,
        /// Milliseconds between measurements of the dirty rate, 1 to 1000. No option sets it; none: the hypervisor's
        /// default.
        dirty_limit_period_ms = "dirty-limit-period-ms": Option<u32>,
    }
}
