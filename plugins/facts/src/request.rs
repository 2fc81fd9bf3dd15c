//! What the operator asks for.

use alloc::string::String;
use alloc::vec::Vec;

cases! {
    /// Storage copy.
    #[derive(Default)]
    StorageCopy {
        /// None.
        #[default]
        None = "none",
        /// Full.
        Full = "full",
        /// Incremental.
        Incremental = "incremental",
    }
}

record! {
    /// What the operator asks for.
    Request {
        /// Live.
        live: bool,
        /// Offline.
        offline: bool,
        /// Postcopy.
        postcopy: bool,
        /// Postcopy preempt.
        postcopy_preempt = "postcopy-preempt": bool,
        /// Storage copy.
        storage_copy = "storage-copy": StorageCopy,
        /// Targets of the disks to copy; empty means all that can be.
        copied_disks = "copied-disks": Vec<String>,
        /// Allow unsafe.
        allow_unsafe = "allow-unsafe": bool,
        /// Peer to peer.
        peer_to_peer = "peer-to-peer": bool,
        /// Tunnelled.
        tunnelled: bool,
        /// Parallel connections.
        parallel_connections = "parallel-connections": Option<u32>,
        /// `xbzrle`, `mt`, `zlib` or `zstd`.
        compression: Vec<String>,
        /// Zero copy.
        zero_copy = "zero-copy": bool,
        /// Tls.
        tls: bool,
        /// Rdma.
        rdma: bool,
        /// Auto converge.
        auto_converge = "auto-converge": bool,
        /// Dirty limit.
        dirty_limit = "dirty-limit": bool,
        /// Abort on error.
        abort_on_error = "abort-on-error": bool,
        /// Persist destination.
        persist_destination = "persist-destination": bool,
        /// Undefine source.
        undefine_source = "undefine-source": bool,
        /// Destination xml.
        destination_xml = "destination-xml": bool,
        /// Persistent xml.
        persistent_xml = "persistent-xml": bool,
        /// Migrate uri.
        migrate_uri = "migrate-uri": Option<String>,
        /// Bandwidth mib per second.
        bandwidth_mib_per_second = "bandwidth-mib-per-second": Option<u64>,
        /// Downtime limit ms.
        downtime_limit_ms = "downtime-limit-ms": Option<u64>,
        /// Throttle initial percent.
        throttle_initial_percent = "throttle-initial-percent": Option<u32>,
        /// Throttle increment percent.
        throttle_increment_percent = "throttle-increment-percent": Option<u32>,
        /// Xbzrle cache bytes.
        xbzrle_cache_bytes = "xbzrle-cache-bytes": Option<u64>,
        /// Zlib level.
        zlib_level = "zlib-level": Option<u32>,
        /// Zstd level.
        zstd_level = "zstd-level": Option<u32>,
        /// Dirty limit period ms.
        dirty_limit_period_ms = "dirty-limit-period-ms": Option<u32>,
    }
}
