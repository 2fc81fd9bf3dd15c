//! Exhaustive exploration: the shipped control machine against every behaviour of the hypervisors, the hosts, the link,
//! the operator and its own death.
//!
//! ```text
//!  control (as it ships) ─▶ in_flight (commands) ─▶ model (two hosts, without time)
//!         ▲                        │                     │
//!         └──── answers, hints ────┴───── timers ────────┘
//! ```
//!
//! Every reachable state is visited once (`search`); in each one every move is made: commands executed in any order,
//! late or never, answers delayed, overtaken or lost, false hints, timers that elapse at any time, any disruption, the
//! driver killed between any two inputs. The invariants are asserted at every move ([`Violation`]), and from every
//! state a fair schedule is run to termination (`liveness`).
//!
//! The assumptions, without which no protocol could work, are in `docs/safety.md`.

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
pub use search::{Bounds, Coverage, Finding, explore, explore_watched};
pub use slices::{Slice, slices};
pub use violation::{Leftover, Violation};
