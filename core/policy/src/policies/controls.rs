//! Controls: policies that every other one has to beat.

use whimbrel_core::Instant;

use crate::decision::Decision;
use crate::forecast::uniform;
use crate::intent::Intent;
use crate::number::{real, whole};
use crate::observation::{Beforehand, Seen};
use crate::policy::Policy;
use crate::start::Start;

/// Does nothing, with the intent's downtime as the limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NeverAct;

impl Policy for NeverAct {
    fn start(&mut self, _: &Beforehand, intent: &Intent) -> Start {
        Start::with_limit(intent.max_downtime_ms)
    }

    fn on(&mut self, _: Instant, _: Seen<'_>) -> Decision {
        Decision::WAIT
    }
}

/// Draws a limit within the intent at one sync in four, from a generator keyed by the iteration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Random {
    seed: u64,
    max_ms: u64,
}

impl Random {
    /// With its own seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self { seed, max_ms: 0 }
    }

    fn limit_ms(&self, iteration: u64) -> u64 {
        whole(real(self.max_ms) * uniform(self.seed, 2 * iteration)).max(1)
    }
}

impl Policy for Random {
    fn start(&mut self, _: &Beforehand, intent: &Intent) -> Start {
        self.max_ms = intent.max_downtime_ms;
        Start::with_limit(self.limit_ms(0))
    }

    fn on(&mut self, _: Instant, seen: Seen<'_>) -> Decision {
        match seen {
            Seen::Sync(sync) if uniform(self.seed, 2 * sync.iteration + 1) < 0.25 => {
                Decision::limit(self.limit_ms(sync.iteration), "chance")
            }
            _ => Decision::WAIT,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::Action;
    use crate::script::Script;

    #[test]
    fn chance_is_the_same_every_time_and_within_the_intent() {
        let script = Script::new(4_096, 100).syncs(41_000, 1_000, &[90; 200]);
        let played = script.play(&mut Random::new(1), 300_000);
        assert_eq!(played, script.play(&mut Random::new(1), 300_000));
        assert_ne!(played, script.play(&mut Random::new(2), 300_000));
        assert!((30..70).contains(&played.actions.len()), "{}", played.actions.len());
        let limits = played.actions.iter().map(|(_, action)| match action {
            Action::DowntimeLimit { ms } => *ms,
            other => panic!("{other}"),
        });
        assert!(limits.clone().all(|ms| (1..=1_000).contains(&ms)) && limits.max() > Some(800));
        assert_eq!(script.play(&mut NeverAct, 300_000).actions, []);
    }
}
