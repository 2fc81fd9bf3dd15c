//! KubeVirt's dynamic downtime (VEP 291) on top of the legacy monitor.
//!
//! Source: kubevirt/enhancements 249 and 291, kubevirt/kubevirt pull request 17480 as described there (secondary
//! reading for the code): from 150 ms in 7 even steps to `maxDowntimeMs` (900), from the third iteration on, each at
//! least 10 s after the one before. Published: total time 112.4 s to 92.2 s, downtime 451 ms to 611 ms.

use whimbrel_core::Instant;

use super::kubevirt_legacy::KubeVirtLegacy;
use crate::decision::Decision;
use crate::intent::Intent;
use crate::observation::{Beforehand, Seen};
use crate::policy::Policy;
use crate::start::Start;

const INITIAL_MS: u64 = 150;
const MAX_MS: u64 = 900;
const STEPS: u64 = 7;
const FROM_ITERATION: u64 = 3;
const COOL_DOWN_MS: u64 = 10_000;

/// The legacy monitor with a downtime that rises.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KubeVirtDowntime {
    legacy: KubeVirtLegacy,
    steps: u64,
    last_ms: Option<u64>,
}

impl KubeVirtDowntime {
    /// With the proposal's values.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl Policy for KubeVirtDowntime {
    fn start(&mut self, before: &Beforehand, intent: &Intent) -> Start {
        Start { downtime_limit_ms: INITIAL_MS, ..self.legacy.start(before, intent) }
    }

    fn on(&mut self, now: Instant, seen: Seen<'_>) -> Decision {
        let decision = self.legacy.on(now, seen);
        let Seen::Poll(statistics) = seen else { return decision };
        let has_cooled = self.last_ms.is_none_or(|last_ms| now.as_ms() >= last_ms + COOL_DOWN_MS);
        if decision.action.is_some()
            || statistics.iteration < FROM_ITERATION
            || self.steps >= STEPS
            || !has_cooled
        {
            return decision;
        }
        self.steps += 1;
        self.last_ms = Some(now.as_ms());
        Decision::limit(INITIAL_MS + (MAX_MS - INITIAL_MS) * self.steps / STEPS, "another iteration")
    }

    fn poll_ms(&self) -> u64 {
        self.legacy.poll_ms()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::Action;
    use crate::script::Script;

    #[test]
    fn it_rises_in_seven_steps_of_ten_seconds_from_the_third_iteration() {
        let script = Script::new(8_192, 110).sync(74_600, 4_000).syncs(111_000, 30_000, &[3_000; 30]);
        let played = script.play(&mut KubeVirtDowntime::new(), 400_000);
        assert_eq!(played.start.downtime_limit_ms, 150);
        let steps = [257, 364, 471, 578, 685, 792, 900];
        let at = (111_200..).step_by(10_000);
        let expected = at.zip(steps.map(|ms| Action::DowntimeLimit { ms }));
        assert!(played.actions.iter().copied().eq(expected), "{:?}", played.actions);
    }
}
