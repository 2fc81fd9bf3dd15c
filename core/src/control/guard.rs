//! The invariants about copies, asserted where the orders are given, in release builds too.
//!
//! An assertion that fails here stops the engine before it can harm the guest: the guest stays as it is.

use super::Ledger;
use super::sighting::Sighting;
use super::signal::{Order, Orders};
use crate::port::{CopyState, Side};

/// Orders a resume. The other host must have been seen without the guest in memory (invariant 1: two copies never run),
/// and the source's copy must not have been left by a post-copy (invariant 3).
pub(super) fn resume(side: Side, sighting: Sighting, ledger: &Ledger, orders: &mut Orders) {
    let across = sighting.side(side.other());
    assert!(across.is_gone(), "invariant 1: no resume on the {side} while the copy across is {across}");
    assert!(
        side == Side::Destination || ledger.may_resume_source(),
        "invariant 3: no resume on the source when post-copy was asked for or seen"
    );
    orders.give(Order::Resume(side));
}

/// Orders a destroy. The other copy must have been seen running, whole, and this one not (invariant 2: the last copy is
/// never destroyed).
pub(super) fn destroy(side: Side, sighting: Sighting, orders: &mut Orders) {
    let (this, across) = (sighting.side(side), sighting.side(side.other()));
    assert!(
        across == CopyState::Running,
        "invariant 2: no destroy on the {side} while the copy across is {across}"
    );
    let is_leftover = matches!(this, CopyState::Stopped | CopyState::Paused | CopyState::Incoming)
        || side == Side::Source && this.is_half();
    assert!(is_leftover, "invariant 2: no destroy on the {side} of a copy that is {this}");
    orders.give(Order::Destroy(side));
}

/// Orders a definition dropped. This host must have been seen with nothing but that, and the other with the guest
/// running, or off and defined (invariant 2, for a guest that is off).
pub(super) fn undefine(side: Side, sighting: Sighting, orders: &mut Orders) {
    let (this, across) = (sighting.side(side), sighting.side(side.other()));
    assert!(
        this == CopyState::Defined && matches!(across, CopyState::Running | CopyState::Defined),
        "invariant 2: no undefine on the {side} of a guest that is {this} there and {across} across"
    );
    orders.give(Order::Undefine(side));
}

/// Orders the removal of the disks that the migration made. The destination must have been seen without the guest: it
/// could be using them.
pub(super) fn remove_disks(there: CopyState, orders: &mut Orders) {
    assert!(there.is_gone(), "invariant 2: no removal of disks while the copy on the destination is {there}");
    orders.give(Order::RemoveDisks);
}
