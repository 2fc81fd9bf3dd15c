//! The devices of a guest, as its domain XML defines them.
//!
//! Paths in a record's fields are relative to the record's own element. An empty text means that the attribute or
//! element is absent; where the definition was not read at all ([`Domain::accelerator`](crate::Domain::accelerator) is
//! empty), the lists of devices are empty and unknown.

use alloc::string::String;
use alloc::vec::Vec;

record! {
    /// Domain XML, `/domain/devices/disk`.
    Disk {
        /// Device name in the definition, such as `vda`: `target/@dev`. Empty: absent.
        target: String,
        /// `virtio`, `scsi`, `sata` …: `target/@bus`. Empty: absent.
        bus: String,
        /// `disk`, `cdrom`, `floppy` or `lun`: `@device`. An absent attribute is read as `disk`.
        device: String,
        /// `file`, `block`, `network`, `volume`, `nvme`, `vhostuser`, `dir` or `vhostvdpa`: `@type`. An absent
        /// attribute is read as `file`.
        kind: String,
        /// Path, `pool/volume`, name on the network, or address: the first that `source` has of `@pool` with `@volume`,
        /// `@file`, `@dev`, `@dir`, `@name`, `@path`, `address`. None: it has none of them, as an empty drive.
        source: Option<String>,
        /// Network protocol such as `rbd`, `iscsi` or `nbd`: `source/@protocol`. Empty: absent, not a network disk.
        protocol: String,
        /// Image type such as `raw` or `qcow2`: `driver/@type`. Empty: absent; the rules take it for `raw`.
        format: String,
        /// Host cache mode such as `none` or `writeback`: `driver/@cache`. Empty: absent, the hypervisor's default.
        cache: String,
        /// True with the element `readonly`, and for every `cdrom`. False: neither.
        read_only = "read-only": bool,
        /// Several guests may use it at once: the element `shareable`. False: absent.
        shareable: bool,
        /// Changes are dropped when the guest stops: the element `transient`. False: absent.
        transient: bool,
        /// Number that the guest sees on the device: `serial`. Empty: absent.
        serial: String,
        /// World Wide Name that the guest sees: `wwn`. Empty: absent.
        wwn: String,
        /// Capacity in bytes as the guest sees it: `virDomainGetBlockInfo` on the source. None: unknown (empty drive,
        /// query failed, or facts made of XML files alone).
        size_bytes = "size-bytes": Option<u64>,
        /// SCSI persistent reservations through a helper: `source/reservations`. False: absent.
        reservations: bool,
        /// The element `encryption`, in the disk or in `source`. False: absent from both.
        encrypted: bool,
        /// The block job on it: `mirror/@job` (`copy` without the attribute), else `virDomainGetBlockJobInfo`: `pull`,
        /// `copy`, `commit`, `active-commit`, `backup`, `unknown`. Empty: no job. None: unknown.
        busy: Option<String>,
        /// Storage pool of a volume: `source/@pool`. Empty: absent, not a volume.
        pool: String,
        /// Layers below the image, nearest first, each as in `source`: the nested `backingStore/source`. Empty: the
        /// definition lists none, which does not prove that there is none.
        backing: Vec<String>,
    }
}

record! {
    /// Domain XML, `/domain/devices/interface`.
    NetworkCard {
        /// `network`, `bridge`, `direct`, `hostdev`, `user`, `vdpa`, `ethernet` …: `@type`. Empty: absent.
        kind: String,
        /// Network, bridge or host device that it is connected to: the first that `source` has of `@network`,
        /// `@bridge`, `@dev`, `@path`, `@portgroup`. Empty: none of them.
        source: String,
        /// Ethernet address: `mac/@address`. Empty: absent.
        mac: String,
        /// Emulated hardware such as `virtio`: `model/@type`. Empty: absent.
        model: String,
        /// Program behind the interface, such as `passt`: `backend/@type`. Empty: absent.
        backend: String,
        /// Largest packet in bytes: `mtu/@size`. None: absent, or not a number.
        mtu: Option<u32>,
        /// A standby card takes over while this one is unplugged: `teaming/@type` is `transient`. False: it is not.
        transient: bool,
    }
}

record! {
    /// Domain XML, `/domain/devices/hostdev`.
    HostDevice {
        /// `pci`, `usb`, `scsi`, `scsi_host` or `mdev`: `@type`; `capabilities` where that is the `@mode`. Empty:
        /// absent.
        kind: String,
        /// `source/address`: a PCI one as `0000:06:02.0`, others as `name=value` pairs. Without it, all attribute
        /// values below `source`, joined by colons. Empty: `source` is absent or has none.
        address: String,
        /// Programming interface of a mediated device, such as `vfio-pci`: `@model`. Empty: absent.
        model: String,
        /// A standby card takes over while this one is unplugged: `teaming/@type` is `transient`. False: it is not.
        transient: bool,
    }
}

record! {
    /// Domain XML, `/domain/devices/filesystem`.
    Filesystem {
        /// How the host serves it, such as `virtiofs` or `path`: `driver/@type`. Empty: absent.
        driver: String,
        /// The exported directory, file or device on the host, read from `source` as [`Disk::source`]. Empty: absent.
        source: String,
        /// Tag by which the guest mounts it: `target/@dir`. Empty: absent.
        target: String,
    }
}

record! {
    /// Domain XML, `/domain/devices/tpm`.
    Tpm {
        /// Emulated hardware such as `tpm-crb` or `tpm-tis`: `@model`. Empty: absent.
        model: String,
        /// `emulator`, `passthrough` or `external`: `backend/@type`. Empty: absent.
        backend: String,
        /// UUID of the libvirt secret that encrypts its state: `backend/encryption/@secret`. None: not encrypted; an
        /// empty text: encrypted, without the attribute.
        secret: Option<String>,
    }
}

record! {
    /// Domain XML, `/domain/devices/shmem`.
    SharedMemory {
        /// The region on the host that guests share: `@name`. Empty: absent.
        name: String,
        /// Such as `ivshmem-plain` or `ivshmem-doorbell`: `model/@type`. Empty: absent.
        model: String,
        /// `master` or `peer`: `@role`. Empty: absent.
        role: String,
    }
}

record! {
    /// Domain XML, `/domain/devices/graphics`.
    Graphics {
        /// Protocol such as `vnc` or `spice`: `@type`. Empty: absent.
        kind: String,
        /// Address on the host: `@listen`; child elements `listen` are not read. Empty: absent.
        listen: String,
        /// Copy and paste with the viewer: the element `clipboard`, unless its `@copypaste` is `no`. False: absent or
        /// `no`.
        clipboard: bool,
    }
}

record! {
    /// Domain XML, `/domain/devices/serial`, `parallel`, `console` or `channel`.
    CharacterDevice {
        /// Name of the element: `serial`, `parallel`, `console` or `channel`. Never empty.
        kind: String,
        /// Where its data goes on the host, such as `pty`, `unix` or `file`: `@type`. Empty: absent.
        backend: String,
        /// File, socket or device on the host: `source/@path`. Empty: absent.
        path: String,
    }
}
