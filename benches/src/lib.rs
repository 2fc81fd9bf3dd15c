//! How fast Whimbrel is: what the benches and the comparison with `virsh` share.
//!
//! [`recorded`] makes migrations to go through again and again; [`figures`] makes few numbers out of many. Nothing here
//! is part of a migration, and no other crate may depend on it.

#![forbid(unsafe_code)]

pub mod figures;
pub mod recorded;
