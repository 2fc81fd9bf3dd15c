//! The invariants about copies, asserted where the orders are given, in release builds too.
//!
//! An assertion that fails here stops the engine before it can harm the guest: the guest stays as it is.

use super::sighting::Sighting;
use super::signal::{Order, Orders};
use crate::port::{CopyState, Side};

/// Orders a resume. The other copy must have been seen absent (invariant 1: two copies never run).
pub(super) fn resume(side: Side, sighting: Sighting, orders: &mut Orders) {
    assert!(
        sighting.side(side.other()) == CopyState::Absent,
        "invariant 1: no resume on the {side} while the copy across is {}",
        sighting.side(side.other())
    );
    orders.give(Order::Resume(side));
}

/// Orders a destroy. The other copy must have been seen running, and this one not (invariant 2: the last copy is
/// never destroyed).
pub(super) fn destroy(side: Side, sighting: Sighting, orders: &mut Orders) {
    assert!(
        sighting.side(side.other()) == CopyState::Running,
        "invariant 2: no destroy on the {side} while the copy across is {}",
        sighting.side(side.other())
    );
    let this = sighting.side(side);
    assert!(
        matches!(this, CopyState::Stopped | CopyState::Paused | CopyState::Incoming),
        "invariant 2: no destroy on the {side} of a copy that is {this}"
    );
    orders.give(Order::Destroy(side));
}
