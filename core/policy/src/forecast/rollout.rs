//! One particle through QEMU's loop: passes of bursts, a sync at the end of each, switchover below the threshold.
//!
//! It follows the loop of the simulator's lumped engine, with expectations instead of draws: a sync sees everything that
//! was written since the one before, pages that were sent in between included.

use alloc::vec::Vec;

use super::chance::normal;
use super::{Plan, beyond};
use crate::curve::{Class, touched};
use crate::number::{real, whole};
use crate::throttle_response::ThrottleResponse;

/// QEMU's loop checks what remains after a burst of at most this.
const BURST_S: f64 = 0.05;
/// Passes that are played. Afterwards the trend decides.
const PASSES: u64 = 48;
/// Passes of each of the two blocks whose means are compared for the trend.
const BLOCK: u64 = 16;
/// A gap to the threshold that shrank by less than this from block to block is a plateau.
const PLATEAU: f64 = 0.98;
/// A gap that changes by less than this part of itself in two passes one after the other has settled.
const SETTLED: f64 = 1e-5;
/// With auto-converge a long pass is synced every 5 s (QEMU 9.2).
const PERIOD_S: f64 = 5.0;
/// What a guest loses while its memory follows it, relative to the time that takes. A starting value, not measured.
const POSTCOPY_LOSS: f64 = 0.5;
const MOST_THROTTLE: u64 = 99;

/// What all particles have in common. Bytes, seconds.
#[derive(Clone, Debug)]
pub(super) struct Setting {
    pub(super) plan: Plan,
    pub(super) bandwidth: f64,
    pub(super) bandwidth_error: f64,
    pub(super) curve_error: f64,
    pub(super) fixed_ms: [u64; 3],
    pub(super) limit_s: f64,
    pub(super) remaining: f64,
    pub(super) synced_remaining: f64,
    pub(super) since_sync_s: f64,
    pub(super) response: ThrottleResponse,
    pub(super) throttling: Option<Throttling>,
    pub(super) classes: Vec<Class>,
    /// The longest interval that shows them, while no sync does: beyond it nothing is known.
    pub(super) longest_s: Option<f64>,
    pub(super) memory: f64,
}

/// Auto-converge's steps, and where they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Throttling {
    pub(super) percent: u64,
    pub(super) initial: u64,
    pub(super) increment: u64,
}

/// How a particle ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ending {
    pub(super) left_ms: u64,
    pub(super) downtime_ms: u64,
    pub(super) bytes: u64,
    pub(super) work_lost_ms: u64,
}

/// A particle on its way.
struct Particle<'a> {
    setting: &'a Setting,
    bandwidth: f64,
    /// Of this particle's guest, relative to the curve.
    writes: f64,
    fixed_ms: u64,
    classes: Vec<Class>,
    throttling: Option<Throttling>,
    high_periods: f64,
    /// Seconds, dirtied and sent bytes since the throttle's rule was last applied.
    period: [f64; 3],
    seconds: f64,
    bytes: f64,
    lost_s: f64,
}

/// Plays one particle; `None` if it does not complete within the horizon.
pub(super) fn play(setting: &Setting, number: u64, horizon_s: f64) -> Option<Ending> {
    let mut particle = Particle::new(setting, number);
    match setting.plan {
        Plan::Postcopy => Some(particle.moved_first()),
        Plan::Pause => Some(particle.stopped_first()),
        Plan::AsIs | Plan::Limit { .. } | Plan::RestartThrottled => particle.run(horizon_s),
    }
    .filter(|ending| real(ending.left_ms) <= horizon_s * 1000.0)
}

impl<'a> Particle<'a> {
    fn new(setting: &'a Setting, number: u64) -> Self {
        let [low, middle, high] = setting.fixed_ms;
        let fixed_ms = match number % 8 {
            0 => low,
            7 => high,
            _ => middle,
        };
        let error = |index| libm::exp(setting.curve_error * normal(number, index));
        let bandwidth = libm::exp(setting.bandwidth_error * 0.5 * normal(number, 1));
        Self {
            setting,
            bandwidth: setting.bandwidth * bandwidth,
            writes: error(2),
            fixed_ms,
            classes: match setting.longest_s {
                Some(longest_s) => beyond::classes(&setting.classes, longest_s, setting.memory, number),
                None => setting.classes.clone(),
            },
            throttling: setting.throttling,
            high_periods: 0.0,
            period: [0.0; 3],
            seconds: 0.0,
            bytes: 0.0,
            lost_s: 0.0,
        }
    }

    fn run(&mut self, horizon_s: f64) -> Option<Ending> {
        let (mut remaining, mut synced) = (self.setting.remaining, self.setting.synced_remaining);
        let mut since_s = self.setting.since_sync_s;
        let mut gaps = [0.0; 2];
        let mut unchanged = 0;
        for pass in 0..PASSES {
            let threshold = self.bandwidth * self.setting.limit_s;
            let burst = self.bandwidth * BURST_S;
            let bursts = libm::ceil((remaining - threshold) / burst).max(0.0);
            let left = (remaining - bursts * burst).max(0.0);
            let pass_s = (remaining - left) / self.bandwidth;
            self.pass(pass_s, remaining - left);
            let speed = self.throttling.map_or(1.0, |now| self.setting.response.speed(now.percent));
            let dirtied = self.dirtied((since_s + pass_s) * speed, left / synced.max(1.0)) * self.writes;
            self.throttle(pass_s, dirtied, remaining - left);
            since_s = 0.0;
            let change = left + dirtied - remaining;
            remaining = left + dirtied;
            synced = remaining;
            if self.seconds > horizon_s {
                return None;
            }
            if remaining < threshold {
                return Some(self.switched_over(remaining));
            }
            // A fixed point: the passes that are left would be as this one, and their trend a plateau.
            let is_unchanged = self.can_settle() && change.abs() < (remaining - threshold) * SETTLED;
            unchanged = if is_unchanged { unchanged + 1 } else { 0 };
            if unchanged >= 2 {
                return None;
            }
            let block = PASSES.saturating_sub(pass).saturating_sub(1) / BLOCK;
            if let Some(gap) = gaps.get_mut(usize::try_from(block).unwrap_or(usize::MAX)) {
                *gap += remaining - threshold;
            }
            // A pass of no length brings the guest's time no further.
            if pass_s <= 0.0 {
                self.seconds += BURST_S;
            }
        }
        self.trend(gaps, remaining, horizon_s)
    }

    /// Whether the gap to the threshold shrinks, and how long it takes then.
    fn trend(&mut self, [after, before]: [f64; 2], remaining: f64, horizon_s: f64) -> Option<Ending> {
        if before <= 0.0 || after >= before * PLATEAU {
            return None;
        }
        let threshold = self.bandwidth * self.setting.limit_s;
        let gap = after / real(BLOCK) / threshold.max(1.0);
        let blocks = libm::log((gap / 0.02).max(1.0)) / -libm::log(after / before);
        let seconds = blocks * real(BLOCK) * remaining / self.bandwidth;
        if self.seconds + seconds > horizon_s {
            return None;
        }
        self.pass(seconds, seconds * self.bandwidth);
        Some(self.switched_over(threshold))
    }

    /// Whether nothing but the passes themselves changes what follows: no step of a throttle is to come.
    fn can_settle(&self) -> bool {
        self.throttling.is_none_or(|now| now.percent >= MOST_THROTTLE)
    }

    fn pass(&mut self, seconds: f64, bytes: f64) {
        self.seconds += seconds;
        self.bytes += bytes;
        self.lost_s += self.throttling.map_or(0.0, |now| real(now.percent) / 100.0 * seconds);
    }

    /// Dirtied in an interval, with a share of what was dirty before unsent; the shares of the classes move on.
    fn dirtied(&mut self, guest_seconds: f64, unsent_share: f64) -> f64 {
        let unsent_share = unsent_share.min(1.0);
        let mut sum = 0.0;
        for class in &mut self.classes {
            let unsent = unsent_share * class.dirty_share;
            let dirtied = (1.0 - unsent) * touched(class.rate * guest_seconds);
            class.dirty_share = unsent + dirtied;
            sum += class.bytes * dirtied;
        }
        sum
    }

    /// QEMU's rule: a period is over at the first sync after a second; the second one with more dirtied than half of
    /// what was sent is a step. Once the guest is throttled, a long pass has a sync every 5 s.
    fn throttle(&mut self, pass_s: f64, dirtied: f64, sent: f64) {
        let Some(now) = &mut self.throttling else { return };
        let [seconds, dirtied_before, sent_before] = self.period;
        let (seconds, dirtied, sent) = (seconds + pass_s, dirtied_before + dirtied, sent_before + sent);
        self.period = [seconds, dirtied, sent];
        if seconds <= 1.0 {
            return;
        }
        self.period = [0.0; 3];
        if dirtied * 2.0 <= sent {
            return;
        }
        self.high_periods += if now.percent > 0 { (pass_s / PERIOD_S).max(1.0) } else { 1.0 };
        while self.high_periods >= 2.0 {
            self.high_periods -= 2.0;
            let step = if now.percent == 0 { now.initial } else { now.increment };
            now.percent = (now.percent + step).min(MOST_THROTTLE);
        }
    }

    fn switched_over(&self, remaining: f64) -> Ending {
        let downtime_ms = whole(remaining / self.bandwidth * 1000.0) + self.fixed_ms;
        self.ending(downtime_ms, remaining, downtime_ms)
    }

    fn moved_first(&self) -> Ending {
        let follows_ms = whole(self.setting.remaining / self.bandwidth * 1000.0);
        let lost_ms = whole(real(follows_ms) * POSTCOPY_LOSS) + self.fixed_ms;
        let ending = self.ending(self.fixed_ms, self.setting.remaining, lost_ms);
        Ending { left_ms: ending.left_ms + follows_ms, ..ending }
    }

    fn stopped_first(&self) -> Ending {
        self.switched_over(self.setting.remaining)
    }

    fn ending(&self, downtime_ms: u64, last_bytes: f64, lost_ms: u64) -> Ending {
        Ending {
            left_ms: whole(self.seconds * 1000.0) + downtime_ms,
            downtime_ms,
            bytes: whole(self.bytes + last_bytes),
            work_lost_ms: whole(self.lost_s * 1000.0) + lost_ms,
        }
    }
}
