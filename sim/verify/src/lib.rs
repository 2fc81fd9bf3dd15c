//! Holds the control machine and the simulator to what they promise.
//!
//! [`explore`] tries the shipped control machine against every behaviour of its surroundings, [`fuzz`] drives whole
//! migrations with randomly drawn faults, and [`fidelity`] holds the engines against recordings of real QEMU.
//!
//! Everything is deterministic from what is given and a seed. This crate must never change what it judges: it has
//! neither a switch in the core or the simulator nor a copy of their code. It must never be a dependency of either.

#![forbid(unsafe_code)]

pub mod explore;
pub mod fidelity;
pub mod fuzz;
