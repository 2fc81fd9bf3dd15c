//! The verdict: whether the migration converges, or what would be needed, in one sentence with its numbers.

use serde::{Deserialize, Serialize};

use super::outlook::Forecasts;
use super::{CERTAIN_PPM, Forecast, Model, Plan};
use crate::intent::Intent;
use crate::observation::implied_ms;

/// A migration of which nine in ten particles meet the intent is reported to meet it.
const LIKELY_PPM: u64 = CERTAIN_PPM / 10 * 9;
/// Fewer observations of the dirty curve decide nothing.
const LEAST_OBSERVATIONS: usize = 2;
/// Below this nothing is promised.
const UNLIKELY_PPM: u64 = CERTAIN_PPM / 50;
/// "Never" is said after two ended passes, and is no ground for an action before a third that lies a minute after the
/// first: a prototype's "never" was wrong in 7 % of the cases by the first rule, in 0.6 % by the second, almost all of
/// them guests that calmed down later.
const TOLD_AFTER: u64 = 2;
const SURE_AFTER: u64 = 3;
const SURE_AFTER_MS: u64 = 60_000;
/// Limits are proposed in steps of this.
const STEP_MS: u64 = 50;
/// This many limits are tried.
const TRIES: u64 = 4;

/// What is to be expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Verdict {
    /// Too little was seen.
    Open,
    /// It meets the intent as it is.
    Converges,
    /// It would, under another downtime limit within the intent.
    NeedsLimit {
        /// The limit.
        ms: u64,
    },
    /// No limit within the intent suffices; another beginning with auto-converge would.
    NeedsThrottle,
    /// The link cannot carry what remains until the deadline, whatever the guest does.
    LinkTooSlow,
    /// Nothing suffices, unless the guest changes.
    Never {
        /// Whether an action may follow from it, or only a report.
        is_sure: bool,
    },
}

/// The numbers of a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Numbers {
    /// Dirtied between the last two syncs, in bytes a second.
    #[serde(rename = "dirty_rate_bytes_per_second")]
    pub dirty_rate: Option<u64>,
    /// Of the link, in bytes a second.
    #[serde(rename = "bandwidth_bytes_per_second")]
    pub bandwidth: Option<u64>,
    /// The downtime limit in force.
    #[serde(rename = "downtime_limit_ms")]
    pub limit_ms: u64,
    /// Least and most memory that the last ends of passes left; `None` before two.
    pub left_bytes: Option<(u64, u64)>,
    /// To be sent now.
    pub remaining_bytes: u64,
    /// Passes that have ended.
    #[serde(rename = "passes")]
    pub ends: u64,
    /// Syncs that were seen after that of the setup, ends of passes included.
    pub syncs: u64,
    /// Whether the guest is stopped until it has moved.
    pub is_paused: bool,
    /// Until the deadline; `None` without one.
    pub until_deadline_ms: Option<u64>,
    /// The longest downtime of the intent.
    pub max_downtime_ms: u64,
}

/// The verdict with its forecast and numbers. Its `Display` is the sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Assessment {
    /// The verdict.
    pub verdict: Verdict,
    /// The forecast of the plan that the verdict names; of no change where it names none.
    pub forecast: Option<Forecast>,
    /// The numbers.
    pub numbers: Numbers,
}

impl Model {
    /// The verdict under an intent, as of the last observation.
    #[must_use]
    pub fn assess(&self, intent: &Intent) -> Assessment {
        self.assess_by(&mut Forecasts::new(self, intent))
    }

    pub(super) fn assess_by(&self, forecasts: &mut Forecasts<'_>) -> Assessment {
        let numbers = self.numbers(forecasts.intent);
        let (verdict, forecast) = self.judge(forecasts, &numbers);
        Assessment { verdict, forecast, numbers }
    }

    fn judge(&self, forecasts: &mut Forecasts<'_>, numbers: &Numbers) -> (Verdict, Option<Forecast>) {
        let intent = forecasts.intent;
        let least_ms = numbers.bandwidth.and_then(|bandwidth| implied_ms(numbers.remaining_bytes, bandwidth));
        if let (Some(least_ms), Some(left_ms)) = (least_ms, numbers.until_deadline_ms)
            && least_ms > left_ms.saturating_add(intent.max_downtime_ms)
            && !self.bandwidth.has_collapsed()
        {
            return (Verdict::LinkTooSlow, None);
        }
        let Some(as_is) = forecasts.of(Plan::AsIs) else { return (Verdict::Open, None) };
        // A guest that is stopped dirties nothing. Its downtime is what was requested.
        if self.is_paused {
            return (Verdict::Converges, Some(as_is));
        }
        // One observation does not show whether a shorter pass leaves less.
        if self.curve.observations() < LEAST_OBSERVATIONS {
            return (Verdict::Open, Some(as_is));
        }
        if as_is.meets_intent_ppm >= LIKELY_PPM {
            return (Verdict::Converges, Some(as_is));
        }
        if self.ends() == 0 {
            return (Verdict::Open, Some(as_is));
        }
        let mut best = as_is.meets_intent_ppm;
        for ms in self.limits_to_try(intent) {
            let Some(forecast) = forecasts.of(Plan::Limit { ms }) else { continue };
            if forecast.meets_intent_ppm >= LIKELY_PPM {
                return (Verdict::NeedsLimit { ms }, Some(forecast));
            }
            best = best.max(forecast.meets_intent_ppm);
        }
        if self.can_begin_throttled()
            && let Some(throttled) = forecasts.of(Plan::RestartThrottled)
            && throttled.meets_intent_ppm >= LIKELY_PPM
        {
            return (Verdict::NeedsThrottle, Some(throttled));
        }
        if best < UNLIKELY_PPM && self.ends() >= TOLD_AFTER {
            let is_sure = self.ends() >= SURE_AFTER && self.ends_span_ms() >= SURE_AFTER_MS;
            return (Verdict::Never { is_sure }, Some(as_is));
        }
        (Verdict::Open, Some(as_is))
    }

    /// Above the limit in force: the least that the last passes would have met, then larger ones, up to what leaves
    /// room for the fixed part of the downtime.
    pub(super) fn limits_to_try(&self, intent: &Intent) -> impl Iterator<Item = u64> + use<> {
        let most_ms = intent.max_downtime_ms.saturating_sub(self.fixed().quantile_ms(90));
        let left = self.recent_ends.iter().copied().max().unwrap_or(0);
        let implied = self.bandwidth().median().and_then(|bandwidth| implied_ms(left, bandwidth));
        let least_ms = implied.unwrap_or(0).max(self.limit_ms) / STEP_MS * STEP_MS + STEP_MS;
        let step_ms = (most_ms.saturating_sub(least_ms) / TRIES).max(1);
        let in_between = (0..TRIES).map(move |step| (least_ms + step * step_ms) / STEP_MS * STEP_MS);
        in_between.chain([most_ms]).filter(move |ms| *ms > 0 && *ms <= most_ms)
    }

    fn numbers(&self, intent: &Intent) -> Numbers {
        let ends = &self.recent_ends;
        let left_bytes = ends.iter().copied().min().zip(ends.iter().copied().max());
        Numbers {
            dirty_rate: self.dirty_rate,
            bandwidth: self.bandwidth().median(),
            limit_ms: self.limit_ms,
            left_bytes: left_bytes.filter(|_| ends.len() > 1),
            remaining_bytes: self.remaining_bytes(),
            ends: self.ends(),
            syncs: self.syncs,
            is_paused: self.is_paused,
            until_deadline_ms: intent.finish_within_ms.map(|end_ms| end_ms.saturating_sub(self.elapsed_ms())),
            max_downtime_ms: intent.max_downtime_ms,
        }
    }
}
