//! What a host has that a guest may need.

use alloc::string::String;
use alloc::vec::Vec;

record! {
    /// Network.
    Network {
        /// Name.
        name: String,
        /// Active.
        active: bool,
        /// Bridge.
        bridge: String,
    }
}

record! {
    /// Link.
    Link {
        /// Name.
        name: String,
        /// Active.
        active: Option<bool>,
        /// Mtu.
        mtu: Option<u32>,
    }
}

record! {
    /// Pool.
    Pool {
        /// Name.
        name: String,
        /// Kind.
        kind: String,
        /// Active.
        active: bool,
        /// Path.
        path: String,
        /// Available bytes.
        available_bytes = "available-bytes": Option<u64>,
    }
}

record! {
    /// Device.
    Device {
        /// Name.
        name: String,
        /// Kind.
        kind: String,
        /// Address.
        address: String,
        /// Wwid.
        wwid: String,
        /// Mediated types.
        mediated_types = "mediated-types": Vec<String>,
    }
}
