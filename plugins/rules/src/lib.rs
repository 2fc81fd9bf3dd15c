//! The shipped rules: pure functions of the facts.
//!
//! The same source is built into the sandboxed packs and linked natively, and a test demands equal findings of both.
//! A rule must never read another rule's findings, keep state from one call to the next, or assume facts that it does
//! not have: a missing fact makes its verdict `unknown`, never `pass`.

#![no_std]

extern crate alloc;

mod case;
pub mod catalogue;
#[cfg(feature = "native")]
mod core_facts;
mod definition;
#[cfg(feature = "native")]
pub mod native;
mod offline;
mod pack;
mod packs;
mod report;
mod settings;
mod versions;

pub use case::Case;
pub use pack::{Pack, Rule};
pub use packs::{GUEST, HOSTS, PACKS, REQUEST, STORAGE};
pub use report::Report;
pub use settings::{Kind, Setting, Settings};

/// The version of every shipped pack.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
