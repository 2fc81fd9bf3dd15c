//! The devices of a guest.

use alloc::string::String;
use alloc::vec::Vec;

record! {
    /// Disk.
    Disk {
        /// Target.
        target: String,
        /// Bus.
        bus: String,
        /// `disk`, `cdrom`, `floppy` or `lun`.
        device: String,
        /// `file`, `block`, `network`, `volume`, `nvme`, `vhostuser`, `dir` or `vhostvdpa`.
        kind: String,
        /// Path, or name on the network; none for an empty drive.
        source: Option<String>,
        /// Protocol.
        protocol: String,
        /// Format.
        format: String,
        /// Cache.
        cache: String,
        /// Read only.
        read_only = "read-only": bool,
        /// Shareable.
        shareable: bool,
        /// Transient.
        transient: bool,
        /// Serial.
        serial: String,
        /// Wwn.
        wwn: String,
        /// Size bytes.
        size_bytes = "size-bytes": Option<u64>,
        /// Reservations.
        reservations: bool,
        /// Encrypted.
        encrypted: bool,
        /// The block job that works on it; empty when there is none.
        busy: Option<String>,
        /// Pool.
        pool: String,
        /// Backing.
        backing: Vec<String>,
    }
}

record! {
    /// Network card.
    NetworkCard {
        /// `network`, `bridge`, `direct`, `hostdev`, `user`, `vdpa`, `ethernet` …
        kind: String,
        /// Source.
        source: String,
        /// Mac.
        mac: String,
        /// Model.
        model: String,
        /// Backend.
        backend: String,
        /// Mtu.
        mtu: Option<u32>,
        /// A standby takes over while it is unplugged.
        transient: bool,
    }
}

record! {
    /// Host device.
    HostDevice {
        /// `pci`, `usb`, `scsi`, `scsi_host`, `mdev` or `capabilities`.
        kind: String,
        /// Address.
        address: String,
        /// Model.
        model: String,
        /// Transient.
        transient: bool,
    }
}

record! {
    /// Filesystem.
    Filesystem {
        /// Driver.
        driver: String,
        /// Source.
        source: String,
        /// Target.
        target: String,
    }
}

record! {
    /// Tpm.
    Tpm {
        /// Model.
        model: String,
        /// Backend.
        backend: String,
        /// Secret.
        secret: Option<String>,
    }
}

record! {
    /// Shared memory.
    SharedMemory {
        /// Name.
        name: String,
        /// Model.
        model: String,
        /// Role.
        role: String,
    }
}

record! {
    /// Graphics.
    Graphics {
        /// Kind.
        kind: String,
        /// Listen.
        listen: String,
        /// Clipboard.
        clipboard: bool,
    }
}

record! {
    /// Character device.
    CharacterDevice {
        /// Kind.
        kind: String,
        /// Backend.
        backend: String,
        /// Path.
        path: String,
    }
}
