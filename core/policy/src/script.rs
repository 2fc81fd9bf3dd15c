//! Replays a written course of syncs to a policy, and collects its actions with their instants.
//!
//! Each policy's test replays its published schedule this way; a policy of one's own is tested the same. The script does
//! not react: an action changes nothing in it.

use alloc::vec::Vec;

use whimbrel_core::Instant;
use whimbrel_core::convergence::Statistics;

use crate::SyncKind;
use crate::action::{Action, ActionResult};
use crate::decision::Decision;
use crate::intent::Intent;
use crate::observation::{Beforehand, Seen, SyncSeen};
use crate::policy::Policy;
use crate::start::Start;

const MIB: u64 = 1 << 20;
const PAGE_BYTES: u64 = 4096;

/// A course of syncs over a link of one bandwidth. Between two syncs the remaining memory falls at that bandwidth, down
/// to one page.
#[derive(Clone, Debug)]
pub struct Script {
    before: Beforehand,
    intent: Intent,
    bandwidth: u64,
    syncs: Vec<Point>,
}

#[derive(Clone, Copy, Debug)]
struct Point {
    at_ms: u64,
    remaining_bytes: u64,
    kind: SyncKind,
}

/// A policy's start, and its actions with their instants in ms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Played {
    /// The options that it started with.
    pub start: Start,
    /// Its actions.
    pub actions: Vec<(u64, Action)>,
}

impl Script {
    /// A guest of so much memory on a link of this many MiB a second. The sync of the setup is at 0 ms.
    #[must_use]
    pub fn new(memory_mib: u64, bandwidth_mib_per_second: u64) -> Self {
        let bandwidth = bandwidth_mib_per_second * MIB;
        let before = Beforehand {
            memory_bytes: memory_mib * MIB,
            link_bytes_per_second: Some(bandwidth),
            ..Beforehand::default()
        };
        let setup = Point { at_ms: 0, remaining_bytes: memory_mib * MIB, kind: SyncKind::Unknown };
        Self { before, intent: Intent::default(), bandwidth, syncs: [setup].into() }
    }

    /// The same under another intent.
    #[must_use]
    pub fn intent(mut self, intent: Intent) -> Self {
        self.intent = intent;
        self
    }

    /// The same with other facts about the guest.
    #[must_use]
    pub fn before(mut self, change: impl FnOnce(&mut Beforehand)) -> Self {
        change(&mut self.before);
        self
    }

    /// Then a pass ends, and so much remains.
    #[must_use]
    pub fn sync(mut self, at_ms: u64, remaining_mib: u64) -> Self {
        self.syncs.push(Point { at_ms, remaining_bytes: remaining_mib * MIB, kind: SyncKind::End });
        self
    }

    /// Then passes end in even distances, one for each number.
    #[must_use]
    pub fn syncs(mut self, from_ms: u64, every_ms: u64, remaining_mib: &[u64]) -> Self {
        for (at_ms, remaining) in
            (from_ms..).step_by(usize::try_from(every_ms).unwrap_or(1)).zip(remaining_mib)
        {
            self = self.sync(at_ms, *remaining);
        }
        self
    }

    /// Plays it until an instant, or until the policy ends the migration or starts it again.
    pub fn play(&self, policy: &mut dyn Policy, until_ms: u64) -> Played {
        let start = policy.start(&self.before, &self.intent);
        let mut actions = Vec::new();
        let mut now_ms = 0;
        let mut syncs = self.syncs.iter().enumerate().peekable();
        while now_ms <= until_ms {
            while let Some((index, point)) = syncs.next_if(|(_, point)| point.at_ms <= now_ms) {
                let seen = self.seen(index, point);
                let decision = policy.on(Instant::from_ms(point.at_ms), Seen::Sync(&seen));
                if take(policy, point.at_ms, decision, &mut actions) {
                    return Played { start, actions };
                }
            }
            let decision = policy.on(Instant::from_ms(now_ms), Seen::Poll(&self.statistics(now_ms)));
            if take(policy, now_ms, decision, &mut actions) {
                return Played { start, actions };
            }
            now_ms += policy.poll_ms().max(1);
        }
        Played { start, actions }
    }

    fn seen(&self, index: usize, point: &Point) -> SyncSeen {
        let statistics = self.statistics(point.at_ms);
        let before = index.checked_sub(1).and_then(|before| self.syncs.get(before));
        let left = before.map_or(point.remaining_bytes, |before| self.left(before, point.at_ms));
        SyncSeen {
            iteration: statistics.iteration,
            unseen: 0,
            kind: point.kind,
            remaining_bytes: point.remaining_bytes,
            dirtied_bytes: point.remaining_bytes.saturating_sub(left),
            interval_ms: before.map_or(0, |before| point.at_ms - before.at_ms),
            statistics,
        }
    }

    /// What remains at an instant of what remained at a sync.
    fn left(&self, sync: &Point, at_ms: u64) -> u64 {
        let sent = self.bandwidth.saturating_mul(at_ms.saturating_sub(sync.at_ms)) / 1000;
        sync.remaining_bytes.saturating_sub(sent).max(PAGE_BYTES.min(sync.remaining_bytes))
    }

    /// The statistics of a query at an instant, a sync at that instant included.
    fn statistics(&self, at_ms: u64) -> Statistics {
        let mut statistics = Statistics {
            elapsed_ms: at_ms,
            memory_total_bytes: self.before.memory_bytes,
            page_size_bytes: PAGE_BYTES,
            bandwidth_bytes_per_second: (at_ms > 0).then_some(self.bandwidth),
            ..Statistics::default()
        };
        let mut before: Option<&Point> = None;
        for point in self.syncs.iter().take_while(|point| point.at_ms <= at_ms) {
            if let Some(before) = before {
                let left = self.left(before, point.at_ms);
                let ms = (point.at_ms - before.at_ms).max(1);
                let dirtied = point.remaining_bytes.saturating_sub(left);
                statistics.pages_sent += (before.remaining_bytes - left) / PAGE_BYTES;
                statistics.dirty_rate_pages_per_second = Some(dirtied / PAGE_BYTES * 1000 / ms);
            }
            statistics.iteration += 1;
            before = Some(point);
        }
        if let Some(last) = before {
            statistics.memory_remaining_bytes = self.left(last, at_ms);
            statistics.pages_sent += (last.remaining_bytes - statistics.memory_remaining_bytes) / PAGE_BYTES;
        }
        statistics.memory_sent_bytes = statistics.pages_sent * PAGE_BYTES;
        statistics
    }
}

/// Notes an action and reports its success; whether it ended the migration.
fn take(policy: &mut dyn Policy, at_ms: u64, decision: Decision, actions: &mut Vec<(u64, Action)>) -> bool {
    let Some(action) = decision.action else { return false };
    actions.push((at_ms, action));
    policy.on(Instant::from_ms(at_ms), Seen::Answered(action, ActionResult::Done));
    matches!(action, Action::Cancel | Action::Restart(_))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes down what it sees.
    #[derive(Debug, Default)]
    struct Witness {
        syncs: Vec<(u64, u64, u64)>,
        least_mib: u64,
    }

    impl Policy for Witness {
        fn start(&mut self, _: &Beforehand, _: &Intent) -> Start {
            self.least_mib = u64::MAX;
            Start::default()
        }

        fn on(&mut self, _: Instant, seen: Seen<'_>) -> Decision {
            match seen {
                Seen::Sync(sync) => {
                    self.syncs.push((sync.iteration, sync.dirtied_bytes / MIB, sync.interval_ms));
                }
                Seen::Poll(statistics) => {
                    self.least_mib = self.least_mib.min(statistics.memory_remaining_bytes / MIB);
                }
                Seen::Answered(..) | Seen::Intent(_) => {}
            }
            Decision::WAIT
        }
    }

    #[test]
    fn memory_falls_between_syncs_and_rises_at_them() {
        let script = Script::new(1000, 100).sync(9_000, 400).sync(11_000, 300);
        let mut witness = Witness::default();
        script.play(&mut witness, 12_000);
        // 900 of 1,000 MiB were sent by the second sync, 200 of 400 by the third.
        assert_eq!(witness.syncs, [(1, 0, 0), (2, 300, 9_000), (3, 100, 2_000)]);
        assert_eq!(witness.least_mib, 120, "the last poll before the second sync is at 8.8 s");
    }
}
