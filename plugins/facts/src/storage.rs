//! What both hosts say of the storage behind each disk.

use alloc::string::String;
use alloc::vec::Vec;

cases! {
    /// Sharing.
    #[derive(Default)]
    Sharing {
        /// Proven.
        Proven = "proven",
        /// Disproven.
        Disproven = "disproven",
        /// Unknown.
        #[default]
        Unknown = "unknown",
    }
}

record! {
    /// What tells a piece of storage from every other: `wwid`, `multipath`, `serial`, `iscsi`, `rbd`, `nfs` …
    Identity {
        /// Kind.
        kind: String,
        /// Value.
        value: String,
    }
}

record! {
    /// What one host says of a disk's storage.
    StorageSide {
        /// Exists.
        exists: Option<bool>,
        /// Identities.
        identities: Vec<Identity>,
        /// Size bytes.
        size_bytes = "size-bytes": Option<u64>,
        /// Filesystem.
        filesystem: String,
        /// Pool.
        pool: String,
        /// Free bytes.
        free_bytes = "free-bytes": Option<u64>,
    }
}

record! {
    /// Disk storage.
    DiskStorage {
        /// Target.
        target: String,
        /// Source path.
        source_path = "source-path": String,
        /// Destination path.
        destination_path = "destination-path": String,
        /// Source.
        source: StorageSide,
        /// Destination.
        destination: StorageSide,
        /// What a probe found: whether what one host writes the other one reads.
        sharing: Sharing,
        /// Sharing evidence.
        sharing_evidence = "sharing-evidence": String,
    }
}
