//! Hosts, guests, links and faults in virtual time.
//!
//! [`world`] stands behind the same port as libvirt, so that [`simulation`] drives the very machine that moves real
//! guests. Inside the world, [`qemu`] copies a [`guest`]'s memory as QEMU's own loop does, and [`scenario`] reads the
//! files that describe a migration for the simulator and for real hosts alike. The crate `whimbrel-verify` holds the
//! engines against recordings of real QEMU.
//!
//! One loop serves every engine: page by page, by counts of pages that are drawn, and by their expectation
//! ([`qemu::Engine`]). [`batch`] runs them to the end many times over; [`replay`] takes a recording's own counts.
//!
//! Everything is deterministic from a scenario and a seed. This crate must never read a clock, start a thread, or draw
//! a random number that does not come from the seed.

#![forbid(unsafe_code)]

pub mod batch;
pub mod driver;
pub mod fleet;
pub mod guest;
pub mod kit;
mod memory;
pub mod network;
pub mod qemu;
pub mod random;
pub mod replay;
mod sampling;
pub mod scenario;
pub mod simulation;
mod slab;
pub mod versions;
pub mod world;

pub use whimbrel_oracle as oracle;

pub use scenario::{Scenario, ScenarioError};
pub use simulation::Simulation;

/// The page of the package, so that its example is tried.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
