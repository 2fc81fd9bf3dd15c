//! The shipped control machine, explored.

#![cfg(test)]

use proptest::prelude::*;
use whimbrel_core::GuestRun;
use whimbrel_sim::explore::{Astray, Scope, follow, wander};

/// Goes a way that the numbers choose, with the shipped machine beside it.
fn go(scope: &Scope, choices: &[u16]) -> Result<(), Astray> {
    let mut choices = choices.iter();
    let (way, broken) =
        wander(scope, 400, |moves| choices.next().map_or(0, |choice| usize::from(*choice) % moves));
    assert_eq!(broken, None);
    // A way that a clock cannot go is followed as far as it can be gone.
    match follow(scope, &way) {
        Ok(course) => {
            assert_eq!(course.violation, None);
            Ok(())
        }
        Err(Astray::Impossible(_)) => Ok(()),
        Err(astray) => Err(astray),
    }
}

proptest! {
    #[test]
    fn the_shipped_machine_goes_every_way_as_it_was_explored(
        faults in 0_u8..4,
        requests in 0_u8..4,
        guest in prop::sample::select(vec![GuestRun::Running, GuestRun::Paused]),
        persistent: bool,
        disks: bool,
        limits: bool,
        choices in prop::collection::vec(any::<u16>(), 1..200),
    ) {
        let scope = Scope { guest, persistent, disks, limits, ..Scope::everything(faults, requests) };
        prop_assert_eq!(go(&scope, &choices), Ok(()));
    }
}
