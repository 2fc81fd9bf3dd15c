//! Which guest is migrated next, and to where. The schedule knows limits, memory and the result of each migration, and
//! observes nothing itself: what its caller does not report did not happen.
//!
//! A guest takes its memory at the destination from the moment it is started there, as QEMU does, and keeps it wherever
//! a copy may be left. So no destination is ever given more than it has.
//!
//! Whether guests fit on a host together is decided in one place (`fit`), for the plan and for [`place`], which says
//! before an evacuation where its guests could go.
//!
//! Guests, sources and destinations are numbered from 0 in the order in which they are given. Memory is in MiB,
//! instants are nanoseconds of a clock that never goes back and is the same in every call. One query costs a pass over
//! the hosts and, on each source that is free, over the waiting guests that do not fit.
//!
//! This crate must never read a clock, draw random numbers, query a host, or decide by anything but integers: the same
//! calls give the same plan, in a simulation and in a service.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod ended;
mod fit;
mod order;
mod placement;
mod plan;

pub use ended::{After, Ended};
pub use fit::{Exclusive, Fit, Need, Pages, Room, Shortage, Weight, shortages};
pub use order::{Candidate, Order};
pub use placement::place;
pub use plan::{Limits, Schedule, Start, UnderWay};

/// The page of the package, so that its example is tried.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
