//! Drives migrations with the state machine of `whimbrel-core`: the loop, the port to two hosts, the journal, and the
//! interface that every kind of host implements.
//!
//! Drivers of hypervisors implement [`HostDriver`](hosts::HostDriver) in crates of their own, and a program registers those
//! that it has. Nothing here may name one of them, validate a migration, or wait for a host on the thread of the loop.

pub mod copying;
mod date;
pub mod dirty_rate;
pub mod file_lock;
pub mod host_key;
pub mod hosts;
pub mod inventory;
pub mod owner;
pub mod panics;
pub mod private;
pub mod projection;
mod redacted;
pub mod route;
pub mod running;
mod session;
pub mod survey;
pub mod uri;

pub use date::{date_of, today};
pub use session::*;
