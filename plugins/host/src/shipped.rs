//! The packs inside the program, so rules work without any file.

use crate::host::{Allocation, Cache, Host, HostError, Limits, Pack};

/// A component that was built from `plugins/packs` and committed; `cargo xtask rules` rebuilds it and compares.
#[derive(Clone, Copy, Debug)]
pub struct Shipped {
    /// The feature of `plugins/packs` that builds it.
    pub name: &'static str,
    /// The component's bytes.
    pub bytes: &'static [u8],
    /// The same rules, linked natively.
    pub native: &'static whimbrel_rules::Pack,
}

/// Every shipped pack, in the order in which they report.
pub const SHIPPED: [Shipped; 4] = [
    Shipped {
        name: "guest",
        bytes: include_bytes!("../../shipped/guest.wasm"),
        native: &whimbrel_rules::GUEST,
    },
    Shipped {
        name: "hosts",
        bytes: include_bytes!("../../shipped/hosts.wasm"),
        native: &whimbrel_rules::HOSTS,
    },
    Shipped {
        name: "storage",
        bytes: include_bytes!("../../shipped/storage.wasm"),
        native: &whimbrel_rules::STORAGE,
    },
    Shipped {
        name: "request",
        bytes: include_bytes!("../../shipped/request.wasm"),
        native: &whimbrel_rules::REQUEST,
    },
];

/// The digests of the shipped packs, as they were committed.
pub const LOCK: &str = include_str!("../../shipped/rules.lock");

/// Every shipped pack, in a sandbox of its own. A pack is compiled when a rule of it is evaluated for the first time, or
/// by [`RuleSet::compile`](crate::RuleSet::compile): its description is known without that.
///
/// # Errors
/// When this machine cannot run them.
pub fn load(limits: Limits, allocation: Allocation, cache: Option<Cache>) -> Result<Vec<Pack>, HostError> {
    let host = Host::for_shipped(limits, allocation, cache)?;
    SHIPPED.iter().map(|pack| host.defer(pack.bytes, pack.native.about())).collect()
}
