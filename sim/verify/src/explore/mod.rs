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

mod conformance;
mod effects;
mod faults;
mod in_flight;
mod liveness;
mod model;
mod moves;
mod others;
mod protocol;
mod scope;
mod search;
mod slices;
mod state;
mod violation;
mod visited;

pub use conformance::{ConformanceRun, Divergence, Walk, follow};
pub use faults::{Disruption, Repair};
pub use in_flight::Act;
pub use moves::{LateCommand, Move, Slot};
pub use protocol::Step;
pub use scope::{Machine, Scope};
pub use search::{Bounds, Coverage, Finding, explore};
pub use slices::{Slice, slices};
pub use violation::{Leftover, Violation};
