//! The storage behind each disk, as both hosts report it.

use alloc::string::String;
use alloc::vec::Vec;

cases! {
    /// Whether both hosts reach the same files, by a probe: a file is made beside the disk on the source and searched
    /// for on the destination.
    #[derive(Default)]
    Sharing {
        /// The destination saw the file.
        Proven = "proven",
        /// The destination did not see it, has no such directory, or shares the directory without the disk's file in
        /// it.
        Disproven = "disproven",
        /// Not probed (not permitted, not a file, no storage pool there), or the probe failed.
        #[default]
        Unknown = "unknown",
    }
}

record! {
    /// A name that no other piece of storage has. Two hosts that report the same one reach the same storage; see
    /// [`sameness`](crate::sameness) for the exceptions.
    Identity {
        /// `wwid`, `multipath`, `serial`, `iscsi`, `lvm`, `nvme`, `volume-key`, or the protocol of a network disk, such
        /// as `rbd`.
        kind: String,
        /// Of a device: from its node device XML (`devnode`, `serial`) or its volume's key. Of a network disk: sorted
        /// servers joined by commas, a space and the name, from `/domain/devices/disk/source`.
        value: String,
    }
}

record! {
    /// A disk's storage as one host reports it.
    StorageSide {
        /// From its storage pool or node device; true on the source for a guest that has it open. None: unknown.
        exists: Option<bool>,
        /// Of block devices and network disks. Empty: none is known, as for every file.
        identities: Vec<Identity>,
        /// Bytes as a guest sees them: `virDomainGetBlockInfo` on the source, else of the volume or of the node device.
        /// None: unknown.
        size_bytes = "size-bytes": Option<u64>,
        /// Kind of the file system, such as `nfs`, by the definition of the pool that mounts it. Empty: unknown, as for a
        /// pool that is a directory.
        filesystem: String,
        /// Storage pool whose directory the file is in. Empty: none, or unknown.
        pool: String,
        /// Bytes that this pool has left: `/pool/available`. None: unknown, or no pool.
        free_bytes = "free-bytes": Option<u64>,
    }
}

record! {
    /// The storage of one disk, or of one layer below it, on both hosts.
    DiskStorage {
        /// The disk's, such as `vda`; `vda[1]` is the first layer below it. Empty: the definition names none.
        target: String,
        /// [`Disk::source`](crate::Disk::source) in the guest's definition, or the layer's path. Empty drives have no
        /// entry.
        source_path = "source-path": String,
        /// The same in the definition for the destination, or as on the source without one. Empty: an empty drive
        /// there.
        destination_path = "destination-path": String,
        /// What the source reports. All fields empty: unknown.
        source: StorageSide,
        /// What the destination reports. All fields empty: unknown.
        destination: StorageSide,
        /// Result of the probe: whether the one host reads what the other one writes.
        sharing: Sharing,
        /// Why the result is so, as a sentence for the operator. Empty: not a file on both hosts, so no probe was made.
        sharing_evidence = "sharing-evidence": String,
    }
}
