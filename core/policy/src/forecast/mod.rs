//! What will become of a migration: how long it takes, with which downtime, and how likely it meets the intent, as it is
//! and under each available action.
//!
//! A [`Model`] folds observations. A forecast plays a fixed number of particles through QEMU's loop (rollouts): each
//! particle has its own dirty rate and bandwidth within what was observed, from a generator keyed by constants. One
//! forecast costs some 10 µs to 200 µs; at most one for each second and pass is worth its time.

mod beyond;
mod calibration;
mod chance;
mod model;
mod outlook;
mod rollout;
mod verdict;
mod words;

pub(crate) use chance::uniform;

pub use calibration::{BEFORE_PPM, STRATA, Stratum};
pub use model::Model;
pub use outlook::Outlook;
pub use verdict::{Assessment, Numbers, Verdict};
pub(crate) use words::{Approximately, Percent, Short};

use alloc::vec::Vec;

use crate::intent::Intent;
use crate::number::real;
use rollout::Ending;

/// Particles of a forecast.
const PARTICLES: u64 = 32;
/// Without a deadline a forecast looks so far ahead.
pub const HORIZON_MS: u64 = 1_800_000;
/// A million, which is certainty.
pub(crate) const CERTAIN_PPM: u64 = 1_000_000;

/// What is done from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Plan {
    /// Nothing more.
    AsIs,
    /// Another downtime limit.
    Limit {
        /// The limit.
        ms: u64,
    },
    /// The migration is started again with auto-converge, under the limit in force.
    RestartThrottled,
    /// A switch to post-copy now.
    Postcopy,
    /// The guest is stopped now, until everything is sent.
    Pause,
}

/// A forecast under one plan. Times are from the instant of the forecast on; each triple is the 10 %, 50 % and 90 %
/// quantile of the particles that converge, and `None` where fewer than one in five does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forecast {
    /// The chance that it completes within the horizon (the intent's deadline, or half an hour), in millionths.
    pub converges_ppm: u64,
    /// The chance that downtime and deadline are met, in millionths.
    pub meets_intent_ppm: u64,
    /// Time left, in ms; the outer two calibrated ([`STRATA`]).
    pub left_ms: Option<[u64; 3]>,
    /// Downtime, in ms.
    pub downtime_ms: Option<[u64; 3]>,
    /// Memory still to be sent, in the middle of the particles.
    pub bytes: Option<u64>,
    /// Work that the guest loses by throttle, downtime and waiting, in ms of all its virtual CPUs, in the middle.
    pub work_lost_ms: Option<u64>,
}

impl Model {
    /// A forecast under a plan; `None` before bandwidth and dirty curve are known.
    #[must_use]
    pub fn forecast(&self, plan: Plan, intent: &Intent) -> Option<Forecast> {
        let raw = self.raw_forecast(plan, intent)?;
        // The remaining memory at the bandwidth: nothing of it depends on the guest's writes.
        let is_arithmetic = matches!(plan, Plan::Postcopy | Plan::Pause) || self.is_paused;
        if is_arithmetic {
            return Some(raw);
        }
        let chance = |ppm| if self.is_measured_only() { calibration::chance_before(ppm) } else { ppm };
        Some(Forecast {
            converges_ppm: chance(raw.converges_ppm),
            meets_intent_ppm: chance(raw.meets_intent_ppm),
            left_ms: raw.left_ms.map(|left| calibration::widened(left, self.ends())),
            ..raw
        })
    }

    /// The same before calibration, to measure it.
    #[must_use]
    pub fn raw_forecast(&self, plan: Plan, intent: &Intent) -> Option<Forecast> {
        let elapsed_ms = self.elapsed_ms();
        let left_ms = intent.finish_within_ms.map(|finish_ms| finish_ms.saturating_sub(elapsed_ms));
        let horizon_ms = left_ms.unwrap_or(HORIZON_MS);
        let setting = self.setting(plan)?;
        let mut ended: Vec<Ending> = (0..PARTICLES)
            .filter_map(|particle| rollout::play(&setting, particle, real(horizon_ms) / 1000.0))
            .collect();
        let count = u64::try_from(ended.len()).unwrap_or(0);
        let meets = |ending: &&Ending| ending.downtime_ms <= intent.max_downtime_ms;
        let meeting = u64::try_from(ended.iter().filter(meets).count()).unwrap_or(0);
        let mut quantiles = |of: fn(&Ending) -> u64| {
            ended.sort_unstable_by_key(of);
            let at = |percent: usize| ended.get(ended.len().saturating_sub(1) * percent / 100).map(of);
            let enough = count * 5 >= PARTICLES;
            if enough {
                at(10).zip(at(50)).zip(at(90)).map(|((low, mid), high)| [low, mid, high])
            } else {
                None
            }
        };
        let left = quantiles(|ending| ending.left_ms);
        Some(Forecast {
            converges_ppm: CERTAIN_PPM * count / PARTICLES,
            meets_intent_ppm: CERTAIN_PPM * meeting / PARTICLES,
            left_ms: left,
            downtime_ms: quantiles(|ending| ending.downtime_ms),
            bytes: quantiles(|ending| ending.bytes).map(|[_, middle, _]| middle),
            work_lost_ms: quantiles(|ending| ending.work_lost_ms).map(|[_, middle, _]| middle),
        })
    }
}
