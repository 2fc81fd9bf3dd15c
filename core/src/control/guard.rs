//! The invariants about copies, asserted where the orders are given, in release builds too.
//!
//! An assertion that fails here stops the engine before it can harm the guest: the guest stays as it is.

use super::Ledger;
use super::observations::HostObservations;
use super::signal::{Order, Orders};
use crate::port::{CopyState, Side};

/// Orders a resume. The other host must have been seen without the guest in memory (invariant 1: two copies never run),
/// and the source's copy must not have been left by a post-copy (invariant 3), nor be older than the disks (invariant
/// 4).
pub(super) fn resume(side: Side, observations: HostObservations, ledger: &Ledger, orders: &mut Orders) {
    let across = observations.side(side.other());
    assert!(across.is_gone(), "invariant 1: no resume on the {side} while the copy across is {across}");
    assert!(
        side == Side::Destination || ledger.may_resume_source(across),
        "invariants 3 and 4: no resume on the source after post-copy, or when the destination may have run the guest"
    );
    orders.give(Order::Resume(side));
}

/// Orders a destroy. The other copy must have been seen running, whole, and this one not (invariant 2: the last copy is
/// never destroyed).
pub(super) fn destroy(side: Side, observations: HostObservations, orders: &mut Orders) {
    let (this, across) = (observations.side(side), observations.side(side.other()));
    assert!(
        across == CopyState::Running,
        "invariant 2: no destroy on the {side} while the copy across is {across}"
    );
    // Half of a guest in post-copy is no leftover: it may hold memory that the other half misses.
    let is_leftover = matches!(this, CopyState::Stopped | CopyState::Paused | CopyState::Incoming);
    assert!(is_leftover, "invariant 2: no destroy on the {side} of a copy that is {this}");
    orders.give(Order::Destroy(side));
}

/// Orders a definition dropped. This host must have been seen with nothing but that, and the other with the guest
/// running, or off and defined (invariant 2, for a guest that is off).
pub(super) fn undefine(side: Side, observations: HostObservations, orders: &mut Orders) {
    let (this, across) = (observations.side(side), observations.side(side.other()));
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

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::vec::Vec;

    use super::*;
    use crate::control::{Found, Mark};
    use crate::facts::GuestRun;
    use crate::vocabulary::{AtTimeout, Changes, ControlOptions};

    fn ledger(postcopy_asked: bool) -> Ledger {
        let options = ControlOptions { postcopy: true, offline: false, at_timeout: AtTimeout::Cancel };
        let mut ledger = Ledger::new(Changes::EMPTY, options);
        ledger.note_found(Found {
            run: GuestRun::Running,
            is_persistent: true,
            is_defined_there: false,
            makes_disks: false,
        });
        if postcopy_asked {
            ledger.mark(Mark::PostcopyAsked);
        }
        ledger
    }

    /// Every pair of states, of the side and of the other side, for which the guard gives the order.
    fn let_through(
        order: Order,
        side: Side,
        guard: impl Fn(HostObservations, &mut Orders),
    ) -> Vec<(CopyState, CopyState)> {
        let mut pairs = Vec::new();
        for this in CopyState::ALL {
            for across in CopyState::ALL {
                let observations = match side {
                    Side::Source => HostObservations::of(this, across),
                    Side::Destination => HostObservations::of(across, this),
                };
                let mut orders = Orders::default();
                if catch_unwind(AssertUnwindSafe(|| guard(observations, &mut orders))).is_ok() {
                    assert!(
                        orders.iter().any(|given| given == order),
                        "let through, but {order:?} was not given"
                    );
                    pairs.push((this, across));
                } else {
                    assert_eq!(orders.iter().count(), 0, "stopped, but something was ordered before");
                }
            }
        }
        pairs
    }

    #[test]
    fn a_resume_passes_only_when_the_copy_across_is_gone() {
        let resumes = |side| {
            let_through(Order::Resume(side), side, |observations, orders| {
                resume(side, observations, &ledger(false), orders);
            })
        };
        let there = resumes(Side::Destination);
        assert!(there.iter().all(|(_, across)| matches!(across, CopyState::Defined | CopyState::Absent)));
        assert_eq!(there.len(), 2 * CopyState::ALL.len());
        // A definition on the destination is stored in the step that starts the guest there.
        let here = resumes(Side::Source);
        assert!(here.iter().all(|(_, across)| *across == CopyState::Absent));
        assert_eq!(here.len(), CopyState::ALL.len());
    }

    #[test]
    fn no_resume_on_the_source_passes_once_the_destination_may_have_run() {
        let resumes = |ledger: Ledger| {
            let_through(Order::Resume(Side::Source), Side::Source, |observations, orders| {
                resume(Side::Source, observations, &ledger, orders);
            })
        };
        let mut ran = ledger(false);
        ran.mark(Mark::DestinationRan);
        assert_eq!(resumes(ran), []);
        let found = |is_persistent, is_defined_there| Found {
            run: GuestRun::Running,
            is_persistent,
            is_defined_there,
            makes_disks: false,
        };
        for (is_persistent, is_defined_there) in [(false, false), (true, true)] {
            let mut without_trace = ledger(false);
            without_trace.note_found(found(is_persistent, is_defined_there));
            assert_eq!(resumes(without_trace), [], "no definition would show that the guest ran there");
        }
    }

    #[test]
    fn after_post_copy_no_resume_on_the_source_passes() {
        let resumes = |side| {
            let_through(Order::Resume(side), side, |observations, orders| {
                resume(side, observations, &ledger(true), orders);
            })
        };
        assert_eq!(resumes(Side::Source), []);
        assert_eq!(resumes(Side::Destination).len(), 2 * CopyState::ALL.len());
    }

    #[test]
    fn a_destroy_passes_only_for_what_is_left_beside_a_guest_that_runs() {
        use CopyState::{Incoming, Paused, Running, Stopped};
        let destroys = |side| {
            let_through(Order::Destroy(side), side, |observations, orders| {
                destroy(side, observations, orders);
            })
        };
        let left = |states: &[CopyState]| states.iter().map(|state| (*state, Running)).collect::<Vec<_>>();
        assert_eq!(destroys(Side::Source), left(&[Stopped, Paused, Incoming]));
        assert_eq!(destroys(Side::Destination), left(&[Stopped, Paused, Incoming]));
    }

    #[test]
    fn a_definition_goes_only_beside_the_guest_or_its_other_definition() {
        use CopyState::{Defined, Running};
        for side in [Side::Source, Side::Destination] {
            let pairs = let_through(Order::Undefine(side), side, |observations, orders| {
                undefine(side, observations, orders);
            });
            assert_eq!(pairs, [(Defined, Running), (Defined, Defined)]);
        }
    }

    #[test]
    fn disks_go_only_where_the_guest_is_not() {
        let side = Side::Destination;
        let pairs = let_through(Order::RemoveDisks, side, |observations, orders| {
            remove_disks(observations.side(Side::Destination), orders);
        });
        assert!(pairs.iter().all(|(there, _)| matches!(there, CopyState::Defined | CopyState::Absent)));
        assert_eq!(pairs.len(), 2 * CopyState::ALL.len());
    }
}
