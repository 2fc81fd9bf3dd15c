//! The shipped `Migration` beside the explored machine: every way that chance takes must lead both to the same place.

#![cfg(test)]

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};
use whimbrel_core::control::AdjustmentKind;
use whimbrel_core::{GuestRun, journal};
use whimbrel_verify::explore::{Divergence, Move, Scope, Violation, Walk};

/// The explored machine with two hosts, as far as a clock lets it go.
struct Explored;

impl ReferenceStateMachine for Explored {
    type State = Walk;
    type Transition = Move;

    fn init_state() -> BoxedStrategy<Walk> {
        let guest = prop::sample::select(vec![GuestRun::Running, GuestRun::Paused, GuestRun::NotRunning]);
        (0_u8..4, 0_u8..4, guest, any::<[bool; 3]>())
            .prop_map(|(faults, requests, guest, [persistent, disks, limits])| {
                let is_off = guest == GuestRun::NotRunning;
                let scope = Scope {
                    guest,
                    persistent: persistent || is_off,
                    disks: disks && !is_off,
                    limits,
                    postcopy: !is_off,
                    ..Scope::everything(faults, requests)
                };
                Walk::new(&scope).unwrap()
            })
            .boxed()
    }

    fn transitions(walk: &Walk) -> BoxedStrategy<Move> {
        match walk.moves() {
            // Nothing comes after the end; this is never made.
            moves if moves.is_empty() => Just(Move::Begin).boxed(),
            moves => {
                let weighed: Vec<_> = moves.into_iter().map(|what| (weight(what), Just(what))).collect();
                prop::strategy::Union::new_weighted(weighed).boxed()
            }
        }
    }

    fn preconditions(walk: &Walk, what: &Move) -> bool {
        !is_impossible(&walk.clone().make(*what)) || walk.moves().is_empty()
    }

    fn apply(mut walk: Walk, what: &Move) -> Walk {
        // What a move breaks is the other's to say.
        let _ = walk.make(*what);
        walk
    }
}

/// What ends most migrations soon comes seldom, so that they come far.
const fn weight(what: Move) -> u32 {
    match what {
        Move::Begin
        | Move::CarryOut(_)
        | Move::Deliver(_)
        | Move::Step(_)
        | Move::Judge(true)
        | Move::React(AdjustmentKind::Postcopy) => 40,
        Move::Restart | Move::Repair(_) | Move::CarryOutLate(_) | Move::React(_) => 10,
        Move::Timer(_) => 3,
        Move::Hint(_) | Move::Cancel | Move::Lose(_) | Move::Break(_) | Move::Die(_) | Move::Judge(false) => {
            1
        }
    }
}

/// The machine as it ships, which is compared with the explored one after every move.
struct Shipped;

impl StateMachineTest for Shipped {
    type SystemUnderTest = Walk;
    type Reference = Explored;

    fn init_test(walk: &Walk) -> Walk {
        walk.clone()
    }

    fn apply(mut walk: Walk, _: &Walk, what: Move) -> Walk {
        let made = walk.make(what);
        assert!(is_impossible(&made) || made == Ok(None), "{what:?}: {made:?}\n{}", walk.journal());
        walk
    }

    /// What was written down on the way leads to the same place.
    fn teardown(walk: Walk, _: Walk) {
        let replayed = journal::replay(walk.journal(), |_, _, _| ()).unwrap();
        assert_eq!(replayed.migration.control(), walk.control());
    }
}

fn is_impossible(made: &Result<Option<Violation>, Divergence>) -> bool {
    matches!(made, Err(Divergence::Impossible(_)))
}

prop_state_machine! {
    #![proptest_config(ProptestConfig {
        cases: 4_000,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(1),
        ..ProptestConfig::default()
    })]

    #[test]
    fn the_shipped_machine_goes_every_way_as_it_was_explored(sequential 1..120 => Shipped);
}
