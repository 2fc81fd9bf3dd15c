//! oVirt and VDSM: a list of steps, one at each wake-up at which the copy has reached its iteration.
//!
//! Source: oVirt/vdsm `fd4b0df`, `lib/vdsm/virt/migration.py` (monitor and schedule) and ovirt-engine `0111fc6`,
//! `0000_config.sql` (the policies). The monitor wakes every 10 s. When the iteration has advanced since, it takes the
//! head of the list; if its limit is less than the iterations so far, it carries it out. It is driven by the count, not by
//! progress: "Minimal downtime" ends at about the eighth iteration although the remainder may still fall (inferred from
//! the loop). The limits of the legacy schedule are from memory; its downtimes are read.

use alloc::vec;
use alloc::vec::Vec;

use whimbrel_core::Instant;

use crate::action::Action;
use crate::decision::Decision;
use crate::intent::Intent;
use crate::number::{real, whole};
use crate::observation::{Beforehand, Seen};
use crate::policy::Policy;
use crate::start::{AutoConverge, Start};

/// The monitor's period.
const WAKES_MS: u64 = 10_000;
/// The cache of XBZRLE, QEMU's default.
const CACHE_BYTES: u64 = 64 << 20;
/// `migration_downtime` and `migration_downtime_steps` of the legacy schedule.
const LEGACY_MS: u64 = 500;
const LEGACY_STEPS: u64 = 5;

/// oVirt's migration policies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Schedule {
    /// "Minimal downtime".
    MinimalDowntime,
    /// "Suspend workload if needed".
    SuspendWorkload,
    /// "Post-copy migration".
    Postcopy,
    /// "Very large VMs" (from 4.7 on).
    VeryLarge,
    /// No policy: VDSM's own exponential steps.
    Legacy,
}

/// VDSM's monitor of one migration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OVirt {
    schedule: Schedule,
    /// Last first: (more iterations than this, action). No limit is -1.
    steps: Vec<(i64, Action)>,
    first_iteration: Option<u64>,
    last_iteration: u64,
    next_wake_ms: u64,
}

impl OVirt {
    /// With this policy.
    #[must_use]
    pub fn new(schedule: Schedule) -> Self {
        Self { schedule, steps: Vec::new(), first_iteration: None, last_iteration: 0, next_wake_ms: WAKES_MS }
    }
}

impl Schedule {
    /// The first downtime limit, and the steps.
    fn steps(self) -> (u64, Vec<(i64, Action)>) {
        let limits = |limits: &[(i64, u64)]| -> Vec<_> {
            limits.iter().map(|(after, ms)| (*after, Action::DowntimeLimit { ms: *ms })).collect()
        };
        let five_seconds = (-1, Action::DowntimeLimit { ms: 5_000 });
        let (first_ms, mut steps, last) = match self {
            Self::MinimalDowntime => {
                (100, limits(&[(1, 150), (2, 200), (3, 300), (4, 400), (6, 500)]), vec![])
            }
            Self::SuspendWorkload => {
                (100, limits(&[(1, 150), (2, 200), (3, 300), (4, 400), (6, 500)]), vec![five_seconds])
            }
            Self::Postcopy => (100, limits(&[(1, 150), (2, 200)]), vec![(-1, Action::Postcopy)]),
            Self::VeryLarge => {
                (300, limits(&[(1, 400), (2, 500), (3, 700), (4, 1_000), (6, 1_500)]), vec![five_seconds])
            }
            Self::Legacy => {
                let [first, second, third, fourth, last] = legacy_downtimes_ms();
                (first, limits(&[(1, second), (2, third), (3, fourth), (4, last), (42, last)]), vec![])
            }
        };
        steps.extend(last);
        steps.push((-1, Action::Cancel));
        steps.reverse();
        (first_ms, steps)
    }
}

/// offset + base^i, with offset = D / steps and base = (D − offset)^(1 / (steps − 1)); of each the whole part.
fn legacy_downtimes_ms() -> [u64; 5] {
    let offset = LEGACY_MS / LEGACY_STEPS;
    let base = libm::pow(real(LEGACY_MS - offset), 1.0 / real(LEGACY_STEPS - 1));
    [0.0, 1.0, 2.0, 3.0, 4.0].map(|step| offset + whole(libm::floor(libm::pow(base, step) + 1e-9)))
}

impl Policy for OVirt {
    fn start(&mut self, _: &Beforehand, _: &Intent) -> Start {
        let (first_ms, steps) = self.schedule.steps();
        self.steps = steps;
        let suspends = self.schedule == Schedule::SuspendWorkload;
        Start {
            auto_converge: (self.schedule != Schedule::Legacy).then(AutoConverge::default),
            xbzrle_cache_bytes: suspends.then_some(CACHE_BYTES),
            postcopy: self.schedule == Schedule::Postcopy,
            ..Start::with_limit(first_ms)
        }
    }

    fn on(&mut self, now: Instant, seen: Seen<'_>) -> Decision {
        let Seen::Poll(statistics) = seen else { return Decision::WAIT };
        if now.as_ms() < self.next_wake_ms {
            return Decision::WAIT;
        }
        self.next_wake_ms = now.as_ms().saturating_add(WAKES_MS);
        let first = *self.first_iteration.get_or_insert(statistics.iteration);
        if statistics.iteration <= self.last_iteration {
            return Decision::WAIT;
        }
        self.last_iteration = statistics.iteration;
        let passed = i64::try_from(statistics.iteration - first).unwrap_or(i64::MAX);
        match self.steps.pop_if(|(after, _)| *after < passed) {
            Some((_, action)) => Decision::act(action, "the copy has reached the step's iteration"),
            None => Decision::WAIT,
        }
    }

    fn poll_ms(&self) -> u64 {
        WAKES_MS
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::Script;

    /// A pass each 12 s: every wake-up but each sixth sees one more iteration.
    fn actions(schedule: Schedule) -> (Start, Vec<Action>) {
        let script = Script::new(4_096, 100).syncs(41_000, 12_000, &[1_200; 60]);
        let played = script.play(&mut OVirt::new(schedule), 700_000);
        (played.start, played.actions.into_iter().map(|(_, action)| action).collect())
    }

    fn limits(ms: &[u64]) -> Vec<Action> {
        ms.iter().map(|ms| Action::DowntimeLimit { ms: *ms }).collect()
    }

    #[test]
    fn each_schedule_is_carried_out_in_order() {
        let end = |mut steps: Vec<Action>, last: Action| {
            steps.push(last);
            steps
        };
        let minimal = limits(&[150, 200, 300, 400, 500]);
        let (start, steps) = actions(Schedule::MinimalDowntime);
        assert_eq!((start.downtime_limit_ms, start.auto_converge.is_some()), (100, true));
        assert_eq!(steps, end(minimal.clone(), Action::Cancel));
        let (start, steps) = actions(Schedule::SuspendWorkload);
        assert!(start.xbzrle_cache_bytes.is_some());
        assert_eq!(steps, end(limits(&[150, 200, 300, 400, 500, 5_000]), Action::Cancel));
        let (start, steps) = actions(Schedule::Postcopy);
        assert!(start.postcopy);
        assert_eq!(steps[..3], end(limits(&[150, 200]), Action::Postcopy));
        let (start, steps) = actions(Schedule::VeryLarge);
        assert_eq!(start.downtime_limit_ms, 300);
        assert_eq!(steps, end(limits(&[400, 500, 700, 1_000, 1_500, 5_000]), Action::Cancel));
    }

    #[test]
    fn a_step_waits_for_its_iteration_and_takes_one_wake_up() {
        let script = Script::new(4_096, 100).syncs(41_000, 12_000, &[1_200; 60]);
        let played = script.play(&mut OVirt::new(Schedule::MinimalDowntime), 700_000);
        // Iteration 1 is observed at 10 s; iteration 3, two more, at 60 s, and from then on one with each pass.
        let at: Vec<u64> = played.actions.iter().map(|(at_ms, _)| *at_ms).collect();
        assert_eq!(at, [60_000, 70_000, 80_000, 90_000, 120_000, 130_000]);
    }

    #[test]
    fn the_legacy_steps_are_exponential() {
        assert_eq!(legacy_downtimes_ms(), [101, 104, 120, 189, 500]);
        let (start, steps) = actions(Schedule::Legacy);
        assert_eq!((start.downtime_limit_ms, start.auto_converge), (101, None));
        assert_eq!(steps, [limits(&[104, 120, 189, 500, 500]), vec![Action::Cancel]].concat());
    }
}
