//! Hosts, guests, links and faults in virtual time.
//!
//! [`world`] stands behind the same port as libvirt, so that [`simulation`] drives the very machine that moves real
//! guests. Inside the world, [`qemu`] copies memory page by page as QEMU's own loop does, and [`scenario`] reads the
//! files that describe a migration for the simulator and for real hosts alike. [`fidelity`] holds the engine against
//! recordings of real QEMU.
//!
//! Three more engines run the same loop for other purposes: [`lumped`] draws counts instead of pages, so that its cost
//! does not grow with memory; [`mean`] is its expectation, without chance; [`replay`] takes a recording's own counts.
//!
//! Everything is deterministic from a scenario and a seed. This crate must never read a clock, start a thread, or draw
//! a random number that does not come from the seed.

#![forbid(unsafe_code)]

pub mod fidelity;
pub mod lumped;
pub mod mean;
pub mod network;
pub mod qemu;
pub mod random;
pub mod replay;
pub mod scenario;
pub mod simulation;
pub mod versions;
pub mod world;

pub use scenario::{Scenario, ScenarioError};
pub use simulation::Simulation;
