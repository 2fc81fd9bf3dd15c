//! One downtime limit from beginning to end. The best of them in hindsight is what regret is measured against.

use whimbrel_core::Instant;

use crate::decision::Decision;
use crate::intent::Intent;
use crate::observation::{Beforehand, Seen};
use crate::policy::Policy;
use crate::start::Start;

/// A limit that never changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StaticLimit {
    ms: u64,
}

impl StaticLimit {
    /// Of this many ms.
    #[must_use]
    pub const fn new(ms: u64) -> Self {
        Self { ms }
    }

    /// The limits among which the best is chosen in hindsight, for an intent: from 60 ms up to 93 % of its downtime. The
    /// rest is left for the fixed part.
    #[must_use]
    pub fn candidates_ms(intent: &Intent) -> [u64; 7] {
        let most_ms = intent.max_downtime_ms * 93 / 100;
        let rungs_ms = super::ladder::rungs_ms(intent);
        let [first, second, third, fourth, fifth, _] = rungs_ms;
        [60, first, second, third, fourth, fifth, most_ms].map(|ms| ms.min(most_ms))
    }
}

impl Policy for StaticLimit {
    fn start(&mut self, _: &Beforehand, _: &Intent) -> Start {
        Start::with_limit(self.ms)
    }

    fn on(&mut self, _: Instant, _: Seen<'_>) -> Decision {
        Decision::WAIT
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::Script;

    #[test]
    fn candidates_are_in_order_within_the_intent() {
        for max_downtime_ms in [100, 500, 1_000, 5_000] {
            let intent = Intent { max_downtime_ms, ..Intent::default() };
            let candidates = StaticLimit::candidates_ms(&intent);
            assert!(candidates.is_sorted(), "{candidates:?}");
            assert_eq!(candidates.last(), Some(&(max_downtime_ms * 93 / 100)));
        }
        let played = Script::new(4_096, 100).sync(41_000, 900).play(&mut StaticLimit::new(70), 60_000);
        assert_eq!((played.start.downtime_limit_ms, played.actions.len()), (70, 0));
    }
}
