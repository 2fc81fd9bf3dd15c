//! whimbrel-sim.

pub mod qemu;
pub mod random;
pub mod scenario;
