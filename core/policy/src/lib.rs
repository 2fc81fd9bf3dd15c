//! Convergence of a live migration: the guest's dirty curve, a forecast with a one-sentence verdict, and policies.
//!
//! A [`Policy`] is a small pure object: statistics at syncs and at polls in, actions out. It stands beside the machine of
//! `whimbrel-core`, which checks each action's age and order and never relies on a policy for safety. The [`catalog`] has
//! the policies of many managers by name, each with its source and a test that replays its published schedule.
//!
//! This crate must never read a clock, perform IO, draw a random number that is not keyed by a fixed seed, sum in an
//! order that differs between runs, or use an exponential other than `libm`'s: the same inputs give the same bits on
//! every machine.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod action;
mod bandwidth;
pub mod catalog;
pub mod curve;
mod decision;
mod fixed_downtime;
pub mod follow;
pub mod forecast;
mod intent;
mod number;
mod observation;
pub mod policies;
mod policy;
pub mod script;
mod start;
mod throttle_response;

pub use action::{Action, ActionResult};
pub use bandwidth::Bandwidth;
pub use decision::Decision;
pub use fixed_downtime::FixedDowntime;
pub use intent::{Allowed, Intent, Otherwise};
pub use observation::{Beforehand, DirtyRate, Seen, SyncSeen};
pub use policy::Policy;
pub use start::{AutoConverge, Start};
pub use throttle_response::ThrottleResponse;
pub use whimbrel_core::convergence::SyncKind;

/// The page of the package, so that its example is tried.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
