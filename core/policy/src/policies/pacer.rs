//! Pacer: steers the bandwidth such that the migration ends at the intent's time, not earlier.
//!
//! Source: Zheng, Ng, Sripanidkulchai and Liu, IEEE TNSM 2013, 10.1109/tnsm.2013.111013.130522, by its abstract and its
//! description elsewhere (secondary reading): every round the rest of the work is predicted from the remaining memory and
//! the average dirty rate, and the speed set to it over the time left. The round of 5 s and the slack of a tenth are this
//! crate's choice.

use whimbrel_core::Instant;

use crate::action::Action;
use crate::decision::Decision;
use crate::intent::Intent;
use crate::number::scaled;
use crate::observation::{Beforehand, Seen};
use crate::policy::Policy;
use crate::start::Start;

const ROUND_MS: u64 = 5_000;
/// The plan ends this much before the deadline, in percent of it.
const SLACK_PERCENT: u64 = 10;
/// No speed below this part of the link, in percent: a pass that takes for ever finds everything dirty again.
const LEAST_PERCENT: u64 = 5;
/// Without a deadline.
const DEFAULT_MS: u64 = 600_000;

/// The controller of one migration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pacer {
    finish_ms: u64,
    link: u64,
    next_ms: u64,
    speed: u64,
}

impl Pacer {
    /// For the intent's deadline.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The speed that sends everything in the time left: what remains, and what is dirtied meanwhile.
    fn needed(&self, now_ms: u64, remaining: u64, dirty_rate: u64) -> u64 {
        let left_ms = self.finish_ms.saturating_sub(now_ms).max(1);
        let speed = scaled(remaining, 1000, left_ms).saturating_add(dirty_rate);
        let least = scaled(self.link, LEAST_PERCENT, 100);
        // Everything that the link has is no limit at all.
        if self.link > 0 && speed >= self.link { 0 } else { speed.max(least).max(1 << 20) }
    }
}

impl Policy for Pacer {
    fn start(&mut self, before: &Beforehand, intent: &Intent) -> Start {
        let finish_ms = intent.finish_within_ms.unwrap_or(DEFAULT_MS);
        self.finish_ms = scaled(finish_ms, 100 - SLACK_PERCENT, 100);
        self.link = before.link_bytes_per_second.unwrap_or(0);
        self.next_ms = ROUND_MS;
        let dirty_rate = before.dirty_rates.last().map_or(0, |rate| rate.bytes_per_second);
        self.speed = self.needed(0, before.memory_bytes, dirty_rate);
        Start { bandwidth_bytes_per_second: self.speed, ..Start::with_limit(intent.max_downtime_ms.min(300)) }
    }

    fn on(&mut self, now: Instant, seen: Seen<'_>) -> Decision {
        let Seen::Poll(statistics) = seen else { return Decision::WAIT };
        let now_ms = now.as_ms();
        if now_ms < self.next_ms {
            return Decision::WAIT;
        }
        self.next_ms = now_ms + ROUND_MS;
        let dirty_rate = statistics.dirty_rate_bytes_per_second().unwrap_or(0);
        let speed = self.needed(now_ms, statistics.memory_remaining_bytes, dirty_rate);
        // A change of less than a twentieth is none.
        if speed.abs_diff(self.speed) <= self.speed / 20 {
            return Decision::WAIT;
        }
        self.speed = speed;
        Decision::act(Action::Bandwidth { bytes_per_second: speed }, "the time left needs this speed")
    }

    fn poll_ms(&self) -> u64 {
        1_000
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::Script;

    const MIB: u64 = 1 << 20;

    #[test]
    fn the_speed_follows_the_time_left() {
        let intent = Intent { finish_within_ms: Some(100_000), ..Intent::default() };
        let script = Script::new(900, 20).intent(intent).sync(45_000, 400);
        let played = script.play(&mut Pacer::new(), 60_000);
        // 900 MiB in 90 s are 10 MiB/s.
        assert_eq!(played.start.bandwidth_bytes_per_second, 10 * MIB);
        let speeds: std::vec::Vec<u64> = played
            .actions
            .iter()
            .map(|(_, action)| match action {
                Action::Bandwidth { bytes_per_second } => bytes_per_second / MIB,
                _ => panic!("{action}"),
            })
            .collect();
        // The link sends twice as fast as needed, so that less and less is; then 400 MiB are dirty in 45 s.
        assert_eq!(speeds[..3], [9, 8, 8]);
        assert!(speeds.iter().any(|speed| *speed >= 17), "{speeds:?}");
    }

    #[test]
    fn a_deadline_that_cannot_be_met_has_no_limit() {
        let intent = Intent { finish_within_ms: Some(10_000), ..Intent::default() };
        let played = Script::new(9_000, 20).intent(intent).play(&mut Pacer::new(), 60_000);
        assert_eq!((played.start.bandwidth_bytes_per_second, played.actions.len()), (0, 0));
    }
}
