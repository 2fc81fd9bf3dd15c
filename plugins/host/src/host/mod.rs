//! The host of rule packs: components in sandboxes, with the facts as their only input.
//!
//! A pack is never trusted. It is inspected before it is compiled, runs in a new store for every call, within limits of
//! fuel, memory, stack, tables and output, and every violation becomes a finding that fails. Nothing
//! here links a clock, a file or a network into a pack.

mod cache;
mod engine;
mod inspect;
mod pack;
mod sandbox;
mod trusted;
mod turns;

pub use cache::Cache;
pub use engine::{Allocation, Host, HostError, Limits};

pub use inspect::{CONTRACT, Inspection, Refusal, inspect};
pub use pack::Pack;
pub use sandbox::{Answer, Stop};

/// SHA-256 in hexadecimal.
#[must_use]
pub fn digest(bytes: &[u8]) -> String {
    use sha2::Digest as _;
    hexadecimal(sha2::Sha256::new_with_prefix(bytes))
}

fn hexadecimal(hasher: sha2::Sha256) -> String {
    use sha2::Digest as _;
    use std::fmt::Write as _;
    hasher.finalize().iter().fold(String::with_capacity(64), |mut text, byte| {
        // Writing into a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
