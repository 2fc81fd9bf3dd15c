//! Networks, links, storage pools and devices that a host has and a guest may need.

use alloc::string::String;
use alloc::vec::Vec;

record! {
    /// A virtual network, by its XML (`/network`) and state.
    Network {
        /// `/network/name`. Empty: absent.
        name: String,
        /// `virNetworkIsActive`. Always true where only XML was read.
        active: bool,
        /// Device of the host behind it: `/network/bridge/@name`. Empty: absent, as for a simulated network.
        bridge: String,
    }
}

record! {
    /// A network device of the host, from its interface XML (`/interface`, nested ones too) and its node device XML
    /// (`/device/capability[@type='net']`).
    Link {
        /// Such as `eth0`: `@name` of an `interface`, or the node device's `interface`. A device without one is left
        /// out.
        name: String,
        /// `link/@state` is `up`, or `virInterfaceIsActive` reports 1. False: `down`, `lowerlayerdown`, `notpresent` or
        /// `dormant`. None: unknown, as for a bridge without a port.
        active: Option<bool>,
        /// Largest packet in bytes: `mtu/@size` of the interface XML. None: not reported.
        mtu: Option<u32>,
    }
}

record! {
    /// A storage pool, by its XML (`/pool`) and state.
    Pool {
        /// `/pool/name`. Empty: absent.
        name: String,
        /// `dir`, `netfs`, `logical`, `rbd` …: `/pool/@type`. Empty: absent.
        kind: String,
        /// `virStoragePoolIsActive`. Where only XML was read: `/pool/capacity` is above 0.
        active: bool,
        /// Directory of its volumes on the host: `/pool/target/path`. Empty: absent, as for a pool without a directory.
        path: String,
        /// Free room in bytes: `/pool/available`. None: absent or not a size.
        available_bytes = "available-bytes": Option<u64>,
    }
}

record! {
    /// A node device, by its XML: `/device`.
    Device {
        /// libvirt's, such as `pci_0000_06_02_0`: `/device/name`. Empty: absent.
        name: String,
        /// `pci`, `usb_device`, `storage`, `net` …: `@type` of the first `/device/capability`. Empty: absent.
        kind: String,
        /// A PCI device's as `0000:06:02.0`, from its `capability`; of others the first `/device/devnode`. Empty:
        /// absent.
        address: String,
        /// Identity of storage: what follows `/wwn-` in a `/device/devnode`, else `capability/serial`. Empty: neither
        /// is reported.
        wwid: String,
        /// Kinds of mediated devices that it can make: `@id` of every `type` below `capability`. Empty: none.
        mediated_types = "mediated-types": Vec<String>,
    }
}
