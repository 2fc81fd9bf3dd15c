//! The executor: drives real or simulated hypervisors with the migration state machine of `whimbrel-core`.

pub mod cli;
pub mod copying;
pub mod drive;
pub mod hosts;
pub mod inventory;
#[cfg(feature = "libvirt")]
pub mod libvirt;
pub mod owner;
pub mod preflight;
pub mod private;
mod redacted;
pub mod service;
pub mod simulated;
pub mod uri;
pub mod watch;
