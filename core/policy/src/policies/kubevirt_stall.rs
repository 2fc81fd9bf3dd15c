//! KubeVirt's stall detector (VEP 248): at each iteration it compares the remaining memory with the best of older ones,
//! and acts at local minima.
//!
//! Source: kubevirt/kubevirt `d923fdb`, `pkg/virt-launcher/virtwrap/stall-detector.go`; kubevirt/enhancements 248,
//! `vep.md` and `migration-hyperparameters.md` (beta): margin 4 %, window 40 s, switchover timeout 60 s, EWMA 0.4,
//! pre-copy possible up to 1.5 times the largest downtime, patience halved, completion timeout factor 2, largest downtime
//! 900 ms, first limit the lesser of that and 300 ms.

use alloc::vec::Vec;

use whimbrel_core::Instant;

use super::gib;
use super::kubevirt_legacy::Disruption;
use crate::action::Action;
use crate::decision::Decision;
use crate::intent::Intent;
use crate::number::scaled;
use crate::observation::{Beforehand, Seen, SyncSeen, implied_ms};
use crate::policy::Policy;
use crate::start::Start;

const MARGIN_PERCENT: u64 = 4;
const WINDOW_MS: u64 = 40_000;
const SWITCHOVER_TIMEOUT_MS: u64 = 60_000;
const EWMA_PERCENT: u64 = 40;
const POSSIBLE_PERCENT: u64 = 150;
const TIMEOUT_FACTOR: u64 = 2;
const MAX_DOWNTIME_MS: u64 = 900;
const FIRST_MS: u64 = 300;
/// `completionTimeoutPerGiB`.
const COMPLETION_S: u64 = 150;
/// Iterations that are remembered.
const KEPT: usize = 4_096;

/// The detector of one migration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KubeVirtStall {
    max_downtime_ms: u64,
    disruption: Disruption,
    acceptable_ms: u64,
    follows_intent: bool,
    bandwidth: Option<u64>,
    /// Instant and remaining bytes at iterations.
    seen: Vec<(u64, u64)>,
    stall: Option<Stall>,
    /// Until when the soft switchover may take.
    soft_until_ms: Option<u64>,
    is_over: bool,
}

/// A stall under way.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stall {
    best_bytes: u64,
    /// The stalled iterations, least last.
    minima: Vec<u64>,
    patience_ms: u64,
    until_ms: u64,
}

impl KubeVirtStall {
    /// With the proposal's beta values.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The same with the intent's downtime and deadline in place of 900 ms and 150 s for each GiB.
    #[must_use]
    pub fn following_the_intent() -> Self {
        Self { follows_intent: true, ..Self::default() }
    }
}

impl Policy for KubeVirtStall {
    fn start(&mut self, before: &Beforehand, intent: &Intent) -> Start {
        let budget_ms = COMPLETION_S * 1000 * (gib(before.memory_bytes) + gib(before.disk_bytes));
        self.max_downtime_ms = if self.follows_intent { intent.max_downtime_ms } else { MAX_DOWNTIME_MS };
        self.acceptable_ms = intent.finish_within_ms.filter(|_| self.follows_intent).unwrap_or(budget_ms);
        self.disruption = Disruption::of(before, intent);
        Start {
            postcopy: self.disruption == Disruption::Postcopy,
            ..Start::with_limit(self.max_downtime_ms.min(FIRST_MS))
        }
    }

    fn on(&mut self, now: Instant, seen: Seen<'_>) -> Decision {
        match seen {
            Seen::Sync(sync) if !self.is_over => self.iteration(now.as_ms(), sync),
            Seen::Poll(statistics) if !self.is_over => {
                if let Some(sample) = statistics.bandwidth_bytes_per_second {
                    let mixed = |before: u64| {
                        scaled(sample, EWMA_PERCENT, 100).saturating_add(scaled(
                            before,
                            100 - EWMA_PERCENT,
                            100,
                        ))
                    };
                    self.bandwidth = Some(self.bandwidth.map_or(sample, mixed));
                }
                self.timeouts(now.as_ms())
            }
            _ => Decision::WAIT,
        }
    }
}

impl KubeVirtStall {
    fn iteration(&mut self, now_ms: u64, sync: &SyncSeen) -> Decision {
        // The first one marks all of the memory.
        if sync.iteration < 2 {
            return Decision::WAIT;
        }
        let remaining = sync.remaining_bytes;
        let older = |at_ms: u64| at_ms.saturating_add(WINDOW_MS) < now_ms;
        let outside = self.seen.iter().filter(|(at_ms, _)| older(*at_ms)).map(|(_, bytes)| *bytes).min();
        let recent = self.seen.iter().filter(|(at_ms, _)| !older(*at_ms)).map(|(_, bytes)| *bytes).min();
        if self.seen.len() < KEPT {
            self.seen.push((now_ms, remaining));
        }
        let Some(outside) = outside else { return Decision::WAIT };
        if self.stall.is_none() && remaining < scaled(outside, 100 - MARGIN_PERCENT, 100) {
            return Decision::WAIT;
        }
        let stall = self.stall.get_or_insert_with(|| Stall {
            best_bytes: recent.map_or(outside, |recent| recent.min(outside)),
            minima: Vec::new(),
            patience_ms: WINDOW_MS,
            until_ms: now_ms.saturating_add(WINDOW_MS),
        });
        stall.push(now_ms, remaining);
        if remaining > scaled(stall.best_bytes, 100 + MARGIN_PERCENT, 100) {
            return Decision::WAIT;
        }
        self.at_minimum(now_ms, remaining)
    }

    /// At a local minimum of a stall.
    fn at_minimum(&mut self, now_ms: u64, remaining: u64) -> Decision {
        let Some(implied) = self.bandwidth.and_then(|bandwidth| implied_ms(remaining, bandwidth)) else {
            return Decision::WAIT;
        };
        let budget_ms = self.acceptable_ms.saturating_mul(TIMEOUT_FACTOR).saturating_sub(now_ms);
        if self.soft_until_ms.is_some() || implied > budget_ms {
            return Decision::WAIT;
        }
        if self.disruption != Disruption::Refused {
            return self.disrupt();
        }
        if implied <= scaled(self.max_downtime_ms, POSSIBLE_PERCENT, 100) {
            self.soft_until_ms = Some(now_ms.saturating_add(SWITCHOVER_TIMEOUT_MS));
            return Decision::limit(self.max_downtime_ms, "a local minimum of a stall");
        }
        self.is_over = true;
        Decision::act(Action::Cancel, "stalled far above the largest downtime")
    }

    fn timeouts(&mut self, now_ms: u64) -> Decision {
        let is_late = now_ms > self.acceptable_ms.max(1);
        let soft_is_over = self.soft_until_ms.is_some_and(|until_ms| now_ms > until_ms);
        if !is_late && !soft_is_over {
            return Decision::WAIT;
        }
        if self.disruption != Disruption::Refused {
            return self.disrupt();
        }
        self.is_over = true;
        Decision::act(Action::Cancel, if is_late { "completion timeout" } else { "switchover timeout" })
    }

    fn disrupt(&mut self) -> Decision {
        self.is_over = true;
        let action =
            if self.disruption == Disruption::Postcopy { Action::Postcopy } else { Action::SWITCH_OVER };
        Decision::act(action, "stalled, and a disruption is permitted")
    }
}

impl Stall {
    /// One more stalled iteration; a patience that is over takes the least of them for the best.
    fn push(&mut self, now_ms: u64, remaining: u64) {
        let place = self.minima.partition_point(|other| *other > remaining);
        self.minima.insert(place, remaining);
        if now_ms >= self.until_ms
            && let Some(least) = self.minima.pop()
        {
            self.best_bytes = least;
            self.patience_ms /= 2;
            self.until_ms = now_ms.saturating_add(self.patience_ms);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intent::Allowed;
    use crate::script::Script;

    /// 900 Mb/s; after the first pass a plateau, with a spike, read off the proposal's kernel compile.
    fn kernel_compile() -> Script {
        let plateau = [1_860, 1_270, 1_240, 1_275, 1_245, 1_250, 1_260, 1_300, 1_275, 1_275, 1_570, 1_680];
        Script::new(4_198, 107).syncs(37_000, 12_000, &plateau)
    }

    #[test]
    fn a_stall_far_above_the_downtime_is_ended() {
        let played = kernel_compile().play(&mut KubeVirtStall::new(), 200_000);
        assert_eq!(played.start.downtime_limit_ms, 300);
        // At 97 s the 1,270 MiB of 49 s are older than the window, and 1,250 are no progress; they are within 4 % of the
        // best, and imply 11.7 s.
        assert_eq!(played.actions, [(97_000, Action::Cancel)]);
    }

    #[test]
    fn a_disruption_comes_at_the_local_minimum_instead() {
        let intent = |allowed| Intent { allowed, ..Intent::default() };
        let postcopy = kernel_compile().intent(intent(Allowed { postcopy: true, ..Allowed::default() }));
        assert_eq!(postcopy.play(&mut KubeVirtStall::new(), 200_000).actions, [(97_000, Action::Postcopy)]);
        let hard = kernel_compile().intent(intent(Allowed { pause: true, ..Allowed::default() }));
        assert_eq!(hard.play(&mut KubeVirtStall::new(), 200_000).actions, [(97_000, Action::SWITCH_OVER)]);
    }

    #[test]
    fn a_stall_near_the_downtime_raises_the_limit_and_waits_a_minute() {
        // Redis on the edge: 125 MiB, which imply 1.1 s, for ever.
        let script = Script::new(1_024, 114).sync(9_000, 400).syncs(13_000, 1_200, &[125; 200]);
        let played = script.play(&mut KubeVirtStall::new(), 150_000);
        // The first iteration of 125 MiB leaves the window of 40 s with the one at 53.8 s.
        let soft = (53_800, Action::DowntimeLimit { ms: 900 });
        assert_eq!(played.actions, [soft, (114_000, Action::Cancel)]);
    }

    #[test]
    fn progress_is_no_stall() {
        let falling: Vec<u64> = (0..30).map(|n| 2_000 - n * 60).collect();
        let script = Script::new(4_096, 100).syncs(41_000, 12_000, &falling);
        assert_eq!(script.play(&mut KubeVirtStall::new(), 380_000).actions, []);
    }

    #[test]
    fn a_worse_minimum_is_good_enough_once_patience_is_over() {
        // The best was 1,000 MiB and never comes again: after 40 s 1,300 MiB count.
        let mut course = [1_500; 24];
        course[0] = 1_000;
        course[12] = 1_300;
        let script = Script::new(4_096, 100).syncs(41_000, 10_000, &course);
        let played = script.play(&mut KubeVirtStall::new(), 300_000);
        assert_eq!(played.actions.len(), 1);
        assert!(played.actions[0].0 > 130_000, "{:?}", played.actions);
    }
}
