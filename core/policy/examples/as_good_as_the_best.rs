//! A policy of one's own, with its test: it waits for the best of the first five passes, and then takes the next that is
//! as good. Run it with `cargo run -p whimbrel-policy --example as_good_as_the_best`.

use whimbrel_core::Instant;
use whimbrel_policy::script::Script;
use whimbrel_policy::{Action, Beforehand, Decision, Intent, Policy, Seen, Start};

const PASSES: u64 = 5;

/// Remembers the least that a pass left.
#[derive(Debug, Default)]
struct AsGoodAsTheBest {
    passes: u64,
    best_bytes: Option<u64>,
}

impl Policy for AsGoodAsTheBest {
    fn start(&mut self, _: &Beforehand, _: &Intent) -> Start {
        Start::with_limit(100)
    }

    fn on(&mut self, _: Instant, seen: Seen<'_>) -> Decision {
        let Seen::Sync(sync) = seen else { return Decision::WAIT };
        if !sync.kind.is_end() {
            return Decision::WAIT;
        }
        self.passes += 1;
        let best = self.best_bytes.map_or(sync.remaining_bytes, |best| best.min(sync.remaining_bytes));
        self.best_bytes = Some(best);
        if self.passes > PASSES && sync.remaining_bytes <= best {
            return Decision::act(Action::SWITCH_OVER, "as good as the best of the first passes");
        }
        Decision::WAIT
    }
}

pub(crate) fn main() {
    let script = Script::new(4_096, 100).syncs(41_000, 10_000, &[900, 700, 800, 750, 900, 850, 690, 600]);
    let played = script.play(&mut AsGoodAsTheBest::default(), 200_000);
    assert_eq!(played.actions.first(), Some(&(101_000, Action::SWITCH_OVER)));
}
