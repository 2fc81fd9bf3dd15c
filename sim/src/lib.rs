//! whimbrel-sim.

pub mod qemu;
pub mod random;
