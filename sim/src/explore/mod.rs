//! Exhaustive exploration: the shipped control machine against every behaviour of the hypervisors, the hosts, the link, the
//! operator and its own death.
//!
//! ```text
//!  control (as it ships) ─▶ desk (what is out) ─▶ model (two hosts, without time)
//!         ▲                        │                     │
//!         └──── answers, hints ────┴───── timers ────────┘
//! ```
//!
//! Every state that can be reached is met once ([`search`]); in each one every move is made: commands carried out in any
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
mod parting;
mod scope;
mod search;
mod slices;
mod state;
mod table;
mod violation;

pub use course::{Astray, Course, follow};
pub use hypervisors::Step;
pub use parting::{Break, Mend};
pub use scope::Scope;
pub use search::{Bounds, Coverage, Finding, explore};
pub use slices::{Slice, slices};
pub use state::{LateCommand, Move, Place};
pub use violation::{Leftover, Violation};

/// A way that chance takes from the beginning: `choose` gets the number of moves there are and says which is made.
pub fn wander(scope: &Scope, most: usize, mut choose: impl FnMut(usize) -> usize) -> Vec<Move> {
    let mut state = state::State::new(scope);
    let mut way = Vec::new();
    while way.len() < most {
        let mut moves = Vec::new();
        state.for_each_move(scope, |what| moves.push(what));
        moves.retain(|what| matches!(state.after(*what, scope), state::Outcome::To(_)));
        let Some(what) = (!moves.is_empty()).then(|| choose(moves.len())).and_then(|place| moves.get(place))
        else {
            break;
        };
        if let state::Outcome::To(next) = state.after(*what, scope) {
            state = next;
        }
        way.push(*what);
    }
    way
}
