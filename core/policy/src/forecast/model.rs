//! Everything that was learned of one migration, folded from its observations.

use alloc::vec::Vec;

use whimbrel_core::Instant;
use whimbrel_core::convergence::Statistics;

use super::Plan;
use super::rollout::{Setting, Throttling};
use crate::action::{Action, ActionResult};
use crate::bandwidth::Bandwidth;
use crate::curve::{DirtyCurve, Interval};
use crate::fixed_downtime::FixedDowntime;
use crate::number::{real, scaled};
use crate::observation::{Beforehand, Seen, SyncSeen};
use crate::start::Start;
use crate::throttle_response::ThrottleResponse;

/// Ends of passes that are remembered for the verdict.
const ENDS_KEPT: usize = 5;

/// What is known of a migration and its guest.
#[derive(Clone, Debug)]
pub struct Model {
    pub(super) curve: DirtyCurve,
    pub(super) bandwidth: Bandwidth,
    fixed: FixedDowntime,
    response: ThrottleResponse,
    start: Start,
    memory_bytes: u64,
    pub(super) limit_ms: u64,
    throttle_percent: u64,
    latest: Option<(u64, Statistics)>,
    /// Instant and remaining memory at the last sync, of any kind.
    synced: Option<(u64, u64)>,
    /// Syncs after that of the setup.
    pub(super) syncs: u64,
    /// Whether the guest is stopped until it has moved.
    pub(super) is_paused: bool,
    ends: u64,
    /// Instants of the first and the last end of a pass.
    ended_ms: Option<(u64, u64)>,
    pub(super) recent_ends: Vec<u64>,
    /// Dirtied bytes a second between the last two syncs.
    pub(super) dirty_rate: Option<u64>,
}

impl Model {
    /// Before the first byte.
    #[must_use]
    pub fn new(before: &Beforehand, start: Start, fixed: FixedDowntime, response: ThrottleResponse) -> Self {
        let mut curve = DirtyCurve::new(before.memory_bytes);
        for rate in &before.dirty_rates {
            curve.measured(rate.interval_ms, rate.bytes_per_second);
        }
        Self {
            curve,
            bandwidth: Bandwidth::expecting(before.link_bytes_per_second),
            fixed,
            response,
            start,
            memory_bytes: before.memory_bytes,
            limit_ms: start.downtime_limit_ms,
            throttle_percent: 0,
            latest: None,
            synced: None,
            syncs: 0,
            is_paused: false,
            ends: 0,
            ended_ms: None,
            recent_ends: Vec::new(),
            dirty_rate: before.dirty_rates.last().map(|rate| rate.bytes_per_second),
        }
    }

    /// One observation. Intents are the caller's to keep.
    pub fn on(&mut self, now: Instant, seen: Seen<'_>) {
        let now_ms = now.as_ms();
        match seen {
            Seen::Sync(sync) => {
                self.poll(now_ms, &sync.statistics);
                self.sync(now_ms, sync);
            }
            Seen::Poll(statistics) => self.poll(now_ms, statistics),
            Seen::Answered(Action::DowntimeLimit { ms }, ActionResult::Done) => self.limit_ms = ms,
            Seen::Answered(Action::Bandwidth { bytes_per_second }, ActionResult::Done) => {
                self.bandwidth.limited_to(bytes_per_second);
            }
            Seen::Answered(Action::Pause, ActionResult::Done) => self.is_paused = true,
            Seen::Answered(..) | Seen::Intent(_) => {}
        }
    }

    /// Passes that have ended.
    #[must_use]
    pub fn ends(&self) -> u64 {
        self.ends
    }

    /// Since the migration began, as of the last observation.
    #[must_use]
    pub fn elapsed_ms(&self) -> u64 {
        self.latest.map_or(0, |(at_ms, _)| at_ms)
    }

    /// From the first end of a pass to the last.
    #[must_use]
    pub fn ends_span_ms(&self) -> u64 {
        self.ended_ms.map_or(0, |(first, last)| last - first)
    }

    /// The dirty curve as it is known.
    #[must_use]
    pub fn curve(&self) -> &DirtyCurve {
        &self.curve
    }

    /// The bandwidth as it is known.
    #[must_use]
    pub fn bandwidth(&self) -> &Bandwidth {
        &self.bandwidth
    }

    /// The downtime limit in force, in ms.
    #[must_use]
    pub fn limit_ms(&self) -> u64 {
        self.limit_ms
    }

    /// The guest was stopped, or runs again.
    pub fn set_paused(&mut self, is_paused: bool) {
        self.is_paused = is_paused;
    }

    /// Whether all that is known of the guest's writes was measured before the start.
    pub(super) fn is_measured_only(&self) -> bool {
        self.syncs == 0 && self.curve.is_known()
    }

    /// Whether the guest is stopped until it has moved.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.is_paused
    }

    /// Whether it was begun without auto-converge, so that beginning again with it would change something.
    pub(super) fn can_begin_throttled(&self) -> bool {
        self.start.auto_converge.is_none()
    }

    /// The fixed part of the downtime.
    #[must_use]
    pub fn fixed(&self) -> &FixedDowntime {
        &self.fixed
    }

    /// Memory that is to be sent as of the last observation; before it, all.
    #[must_use]
    pub fn remaining_bytes(&self) -> u64 {
        self.latest
            .filter(|(_, statistics)| statistics.knows_memory())
            .map_or(self.memory_bytes, |(_, statistics)| statistics.memory_remaining_bytes)
    }

    fn poll(&mut self, now_ms: u64, statistics: &Statistics) {
        if let Some(bandwidth) = statistics.bandwidth_bytes_per_second
            && statistics.memory_sent_bytes > 0
        {
            self.bandwidth.sample(now_ms, bandwidth);
        }
        self.latest = Some((now_ms, *statistics));
    }

    fn sync(&mut self, now_ms: u64, sync: &SyncSeen) {
        let throttle_percent =
            core::mem::replace(&mut self.throttle_percent, sync.statistics.throttle_percent);
        let before = self.synced.replace((now_ms, sync.remaining_bytes));
        // The sync of the setup marks all of the memory.
        let Some((_, remaining_before)) = before.filter(|_| sync.iteration > 1) else { return };
        self.syncs = self.syncs.saturating_add(1);
        // Of several syncs each had its part.
        let syncs = sync.unseen.saturating_add(1);
        let seconds = real(sync.interval_ms / syncs) / 1000.0 * self.response.speed(throttle_percent);
        let unsent = sync.remaining_bytes.saturating_sub(sync.dirtied_bytes);
        let unsent_share = real(unsent) / real(remaining_before.max(1));
        let dirtied_bytes = sync.dirtied_bytes / syncs;
        self.curve.sync(&Interval { guest_seconds: seconds, dirtied_bytes, unsent_share });
        self.dirty_rate = Some(scaled(sync.dirtied_bytes, 1000, sync.interval_ms.max(1)));
        if sync.kind.is_end() {
            self.ends += 1;
            self.ended_ms = Some((self.ended_ms.map_or(now_ms, |(first, _)| first), now_ms));
            if self.recent_ends.len() == ENDS_KEPT {
                self.recent_ends.remove(0);
            }
            self.recent_ends.push(sync.remaining_bytes);
        }
    }

    /// What a rollout needs; `None` while bandwidth or dirty curve are not known.
    pub(super) fn setting(&self, plan: Plan) -> Option<Setting> {
        // A guest that is stopped already dirties nothing, whatever else is done.
        let plan = match plan {
            Plan::AsIs | Plan::Limit { .. } if self.is_paused => Plan::Pause,
            plan => plan,
        };
        let bandwidth = self.bandwidth.median().filter(|bandwidth| *bandwidth > 0)?;
        if !self.curve.is_known() && !matches!(plan, Plan::Postcopy | Plan::Pause) {
            return None;
        }
        let promised = self.bandwidth.promised().unwrap_or(bandwidth);
        let (now_ms, remaining) = (self.elapsed_ms(), self.remaining_bytes());
        let (synced_ms, synced_remaining) = self.synced.unwrap_or((now_ms, remaining));
        let total: f64 = self.curve.classes().map(|class| class.bytes).sum();
        let mut classes: Vec<_> = self.curve.classes().filter(|class| class.bytes > total * 1e-3).collect();
        let limit_ms = if let Plan::Limit { ms } = plan { ms } else { self.limit_ms };
        let throttling = |percent| {
            let steps = self.start.auto_converge.unwrap_or_default();
            Throttling { percent, initial: steps.initial_percent, increment: steps.increment_percent }
        };
        let mut setting = Setting {
            plan,
            bandwidth: real(bandwidth),
            // One standard deviation lies at the 16 % quantile; the promise is the 20 % one.
            bandwidth_error: (1.0 - real(promised) / real(bandwidth)).clamp(0.01, 0.5),
            curve_error: self.curve.relative_error(),
            fixed_ms: [10, 50, 90].map(|percent| self.fixed.quantile_ms(percent)),
            limit_s: real(limit_ms) / 1000.0,
            remaining: real(remaining),
            synced_remaining: real(synced_remaining.max(1)),
            since_sync_s: real(now_ms.saturating_sub(synced_ms)) / 1000.0,
            response: self.response,
            throttling: self.start.auto_converge.map(|_| throttling(self.throttle_percent)),
            classes: Vec::new(),
            longest_s: self.curve.longest_seconds().filter(|_| self.syncs == 0),
            memory: real(self.memory_bytes),
        };
        if plan == Plan::RestartThrottled {
            for class in &mut classes {
                class.dirty_share = 1.0;
            }
            setting.throttling = Some(throttling(0));
            setting.since_sync_s = 0.0;
            setting.remaining = real(self.memory_bytes);
            setting.synced_remaining = real(self.memory_bytes.max(1));
        }
        setting.classes = classes;
        Some(setting)
    }
}
