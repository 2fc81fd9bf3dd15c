//! Exhaustive exploration: the shipped control machine against every behaviour of the hypervisors, the hosts, the link, the
//! operator and its own death.
//!
//! ```text
//!  control (as it ships) ─▶ desk (what is out) ─▶ model (two hosts, without time)
//!         ▲                        │                     │
//!         └──── answers, hints ────┴───── timers ────────┘
//! ```
//!
//! Every state that can be reached is met once (`search`); in each one every move is made: commands carried out in any
//! order, late or never, answers delayed, overtaken or lost, hints that are lies, timers that run out at any time, anything
//! breaking, the driver killed between any two inputs. What must never happen is asserted at every move ([`Violation`]),
//! and from every state a fair way on must end.
//!
//! What is assumed, because no protocol could do without it, stands in `docs/safety.md`.

mod calm;
mod carrying_out;
mod course;
mod desk;
mod hypervisors;
mod model;
mod moves;
mod others;
mod parting;
mod scope;
mod search;
mod slices;
mod state;
mod table;
mod violation;

pub use course::{Astray, Course, Walk, follow};
pub use desk::Act;
pub use hypervisors::Step;
pub use moves::{LateCommand, Move, Place};
pub use parting::{Break, Mend};
pub use scope::{Machine, Scope};
pub use search::{Bounds, Coverage, Finding, explore};
pub use slices::{Slice, slices};
pub use violation::{Leftover, Violation};
