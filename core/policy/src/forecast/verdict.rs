//! The verdict: whether the migration converges, or what would be needed, in one sentence with its numbers.

use core::fmt;

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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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
    /// No limit within the intent suffices; throttling the guest would.
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Numbers {
    /// Dirtied between the last two syncs, in bytes a second.
    pub dirty_rate: Option<u64>,
    /// Of the link, in bytes a second.
    pub bandwidth: Option<u64>,
    /// The downtime limit in force.
    pub limit_ms: u64,
    /// Least and most memory that the last ends of passes left; `None` before two.
    pub left_bytes: Option<(u64, u64)>,
    /// To be sent now.
    pub remaining_bytes: u64,
    /// Passes that have ended.
    pub ends: u64,
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
        let numbers = self.numbers(intent);
        let (verdict, forecast) = self.judge(intent, &numbers);
        Assessment { verdict, forecast, numbers }
    }

    fn judge(&self, intent: &Intent, numbers: &Numbers) -> (Verdict, Option<Forecast>) {
        let least_ms = numbers.bandwidth.and_then(|bandwidth| implied_ms(numbers.remaining_bytes, bandwidth));
        if let (Some(least_ms), Some(left_ms)) = (least_ms, numbers.until_deadline_ms)
            && least_ms > left_ms.saturating_add(intent.max_downtime_ms)
            && !self.bandwidth.has_collapsed()
        {
            return (Verdict::LinkTooSlow, None);
        }
        let Some(as_is) = self.forecast(Plan::AsIs, intent) else { return (Verdict::Open, None) };
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
            let Some(forecast) = self.forecast(Plan::Limit { ms }, intent) else { continue };
            if forecast.meets_intent_ppm >= LIKELY_PPM {
                return (Verdict::NeedsLimit { ms }, Some(forecast));
            }
            best = best.max(forecast.meets_intent_ppm);
        }
        if let Some(throttled) = self.forecast(Plan::RestartThrottled, intent)
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
    fn limits_to_try(&self, intent: &Intent) -> impl Iterator<Item = u64> {
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
            until_deadline_ms: intent.finish_within_ms.map(|end_ms| end_ms.saturating_sub(self.elapsed_ms())),
            max_downtime_ms: intent.max_downtime_ms,
        }
    }
}

impl fmt::Display for Assessment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let numbers = &self.numbers;
        let Some(bandwidth) = numbers.bandwidth else { return f.write_str("nothing was sent yet") };
        match self.verdict {
            Verdict::LinkTooSlow => {
                let seconds =
                    implied_ms(numbers.remaining_bytes, bandwidth).map_or(0, |ms| ms.div_ceil(1000));
                let left_s = grouped(numbers.until_deadline_ms.unwrap_or(0) / 1000);
                let seconds = grouped(seconds);
                let [remaining, bandwidth] = [numbers.remaining_bytes, bandwidth].map(Mib);
                return write!(
                    f,
                    "{remaining} MiB at {bandwidth} MiB/s take {seconds} s at least, and {left_s} s are left"
                );
            }
            Verdict::Open if numbers.ends == 0 => {
                let [remaining, bandwidth] = [numbers.remaining_bytes, bandwidth].map(Mib);
                return write!(
                    f,
                    "the first pass is not over: {remaining} MiB are left, at {bandwidth} MiB/s"
                );
            }
            _ => {}
        }
        if let Some(rate) = numbers.dirty_rate {
            write!(f, "dirties {} of {} MiB/s; ", Mib(rate), Mib(bandwidth))?;
        }
        numbers.allowance(f, bandwidth)?;
        self.conclusion(f)
    }
}

impl Assessment {
    fn conclusion(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.verdict {
            Verdict::Open => f.write_str(": open")?,
            Verdict::Converges => f.write_str(": converges as it is")?,
            Verdict::NeedsLimit { ms } => write!(f, ": a limit of {ms} ms would suffice")?,
            Verdict::NeedsThrottle => write!(
                f,
                ": no limit up to {} ms suffices, throttling would",
                grouped(self.numbers.max_downtime_ms)
            )?,
            Verdict::Never { .. } => write!(
                f,
                ": no limit up to {} ms suffices, unless the guest changes",
                grouped(self.numbers.max_downtime_ms)
            )?,
            Verdict::LinkTooSlow => {}
        }
        let Some([low, middle, high]) = self.forecast.and_then(|forecast| forecast.left_ms) else {
            return Ok(());
        };
        if matches!(self.verdict, Verdict::Converges | Verdict::NeedsLimit { .. }) {
            let [low, middle, high] = [low, middle, high].map(|ms| ms.div_ceil(1000));
            write!(f, ", in about {} s", grouped(middle))?;
            if low < high {
                write!(f, " ({} s to {} s)", grouped(low), grouped(high))?;
            }
        }
        Ok(())
    }
}

impl Numbers {
    /// What the limit allows, beside what recent passes left.
    fn allowance(&self, f: &mut fmt::Formatter<'_>, bandwidth: u64) -> fmt::Result {
        let allowed = crate::number::scaled(bandwidth, self.limit_ms, 1000);
        write!(f, "{} ms allow {} MiB", grouped(self.limit_ms), Mib(allowed))?;
        match self.left_bytes {
            Some((least, most)) if least >> 20 == most >> 20 => {
                write!(f, ", recent passes left {} MiB", Mib(most))
            }
            Some((least, most)) => write!(f, ", recent passes left {}–{} MiB", Mib(least), Mib(most)),
            None => write!(f, ", {} MiB are left", Mib(self.remaining_bytes)),
        }
    }
}

/// Bytes in whole MiB.
struct Mib(u64);

impl fmt::Display for Mib {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        grouped(self.0 >> 20).fmt(f)
    }
}

/// A number with a comma between its thousands.
fn grouped(number: u64) -> impl fmt::Display {
    Grouped(number)
}

struct Grouped(u64);

impl fmt::Display for Grouped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 < 1_000 {
            return write!(f, "{}", self.0);
        }
        Self(self.0 / 1_000).fmt(f)?;
        write!(f, ",{:03}", self.0 % 1_000)
    }
}
