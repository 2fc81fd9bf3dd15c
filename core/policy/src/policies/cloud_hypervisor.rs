//! Cloud Hypervisor: switches over when the estimate fits the downtime, less its measured fixed part; and Cyberus' throttle.
//!
//! Source: cloud-hypervisor `ae44c29`, `vmm/src/lib.rs` (downtime 300 ms, timeout 3,600 s, then cancel or ignore), its
//! issue 8899 for the fixed part; cyberus-technology's fork, pull request 13 (secondary reading): from the fourth
//! iteration on 10 % more throttle every second iteration, up to 99 %. The estimate is taken once a pass, from the bytes
//! of the pass to come and the bandwidth of the last one; nothing is dirtied counts as converged.

use whimbrel_core::Instant;

use crate::action::Action;
use crate::decision::Decision;
use crate::intent::Intent;
use crate::observation::{Beforehand, Seen, SyncSeen};
use crate::policy::Policy;
use crate::start::Start;

/// A limit under which no pass ends early: the switchover is this policy's.
const PASS_MS: u64 = 1;
const DOWNTIME_MS: u64 = 300;
const TIMEOUT_MS: u64 = 3_600_000;
const THROTTLE_FROM: u64 = 4;
const THROTTLE_EVERY: u64 = 2;
const THROTTLE_STEP: u64 = 10;
const THROTTLE_MOST: u64 = 99;

/// The convergence loop of one migration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CloudHypervisor {
    fixed_downtime_ms: u64,
    /// At the timeout the guest is moved anyway, instead of the migration cancelled.
    ignores_timeout: bool,
    is_over: bool,
}

impl CloudHypervisor {
    /// Upstream, with a measured fixed part of the downtime; zero where it is not subtracted.
    #[must_use]
    pub const fn new(fixed_downtime_ms: u64) -> Self {
        Self { fixed_downtime_ms, ignores_timeout: false, is_over: false }
    }

    /// With the timeout strategy `ignore`.
    #[must_use]
    pub const fn ignoring_the_timeout(self) -> Self {
        Self { ignores_timeout: true, ..self }
    }

    fn pass_ended(&mut self, sync: &SyncSeen) -> Decision {
        let budget_ms = DOWNTIME_MS.saturating_sub(self.fixed_downtime_ms);
        let fits = sync.remaining_bytes == 0 || sync.implied_downtime_ms().is_some_and(|ms| ms <= budget_ms);
        if !fits {
            return Decision::WAIT;
        }
        self.is_over = true;
        Decision::act(Action::SWITCH_OVER, "the estimate fits the downtime")
    }
}

impl Policy for CloudHypervisor {
    fn start(&mut self, _: &Beforehand, _: &Intent) -> Start {
        Start::with_limit(PASS_MS)
    }

    fn on(&mut self, now: Instant, seen: Seen<'_>) -> Decision {
        if self.is_over {
            return Decision::WAIT;
        }
        if now.as_ms() > TIMEOUT_MS {
            self.is_over = true;
            let action = if self.ignores_timeout { Action::SWITCH_OVER } else { Action::Cancel };
            return Decision::act(action, "timeout");
        }
        match seen {
            Seen::Sync(sync) if sync.iteration > 1 => self.pass_ended(sync),
            _ => Decision::WAIT,
        }
    }
}

/// The same with a throttle by iterations. libvirt has no call for that: it runs in the simulator only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cyberus {
    loop_: CloudHypervisor,
    percent: u64,
}

impl Cyberus {
    /// With the fork's steps.
    #[must_use]
    pub const fn new() -> Self {
        Self { loop_: CloudHypervisor::new(0), percent: 0 }
    }
}

impl Default for Cyberus {
    fn default() -> Self {
        Self::new()
    }
}

impl Policy for Cyberus {
    fn start(&mut self, before: &Beforehand, intent: &Intent) -> Start {
        self.loop_.start(before, intent)
    }

    fn on(&mut self, now: Instant, seen: Seen<'_>) -> Decision {
        let decision = self.loop_.on(now, seen);
        let Seen::Sync(sync) = seen else { return decision };
        // The fork counts passes: the first ends with the second sync.
        let passes = sync.iteration - 1;
        let is_due = passes >= THROTTLE_FROM && (passes - THROTTLE_FROM).is_multiple_of(THROTTLE_EVERY);
        if decision.action.is_some() || !is_due || self.percent >= THROTTLE_MOST {
            return decision;
        }
        self.percent = (self.percent + THROTTLE_STEP).min(THROTTLE_MOST);
        Decision::act(Action::Throttle { percent: self.percent }, "two more iterations")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::Script;

    #[test]
    fn it_moves_when_the_estimate_fits() {
        // 30 MiB at 100 MiB/s are 300 ms.
        let script =
            Script::new(4_096, 100).sync(41_000, 500).sync(46_000, 31).sync(47_000, 30).sync(48_000, 20);
        let at = |mut policy: CloudHypervisor| script.play(&mut policy, 60_000).actions;
        assert_eq!(at(CloudHypervisor::new(0)), [(47_000, Action::SWITCH_OVER)]);
        assert_eq!(at(CloudHypervisor::new(80)), [(48_000, Action::SWITCH_OVER)], "220 ms are left");
    }

    #[test]
    fn the_timeout_cancels_or_is_ignored() {
        let script = Script::new(4_096, 100).syncs(41_000, 60_000, &[3_000; 70]);
        let last = |mut policy: CloudHypervisor| script.play(&mut policy, 3_700_000).actions;
        assert_eq!(last(CloudHypervisor::new(0)), [(3_600_400, Action::Cancel)]);
        let ignoring = CloudHypervisor::new(0).ignoring_the_timeout();
        assert_eq!(last(ignoring), [(3_600_400, Action::SWITCH_OVER)]);
    }

    #[test]
    fn the_throttle_rises_every_second_iteration_from_the_fourth() {
        let script = Script::new(4_096, 100).syncs(41_000, 10_000, &[900; 26]);
        let played = script.play(&mut Cyberus::new(), 400_000);
        let expected = (1..=10)
            .map(|step| (71_000 + 20_000 * (step - 1), Action::Throttle { percent: (10 * step).min(99) }));
        assert!(played.actions.iter().copied().eq(expected), "{:?}", played.actions);
    }
}
