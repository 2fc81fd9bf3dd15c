//! The forecast beside migrations that it does not touch: its outlook at each stage, and what came true.
//!
//! Split conformal: on one half of the seeds the factor is found by which the raw interval of the time left must be
//! widened to cover four of five; on the other half it is scored.

use std::num::NonZeroU64;

use serde::Serialize;
use whimbrel_core::Instant;
use whimbrel_policy::forecast::{Model, Plan, Verdict};
use whimbrel_policy::policies::StaticLimit;
use whimbrel_policy::{Beforehand, Intent, Seen, Start};

use crate::grid::Case;
use crate::migration::{Ended, Observer, Run, run_measured};
use crate::model_beside::ModelBeside;

/// Stages: the number of ended passes, the last one for that and more. A forecast before the first byte is of stage 0.
const STAGES: u64 = 5;
const MOST_PER_RUN: usize = 12;

/// One forecast, and what came true.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Outlook {
    /// Ended passes; 4 stands for that many and more.
    pub stage: u64,
    /// When, in ms from the start.
    pub at_ms: u64,
    /// The chance to meet the intent, in millionths.
    pub meets_ppm: u64,
    /// The chance to complete within the deadline, whatever the downtime, in millionths.
    pub converges_ppm: u64,
    /// The same before calibration.
    pub raw_converges_ppm: u64,
    /// Time left, raw: 10 %, 50 %, 90 %.
    pub left_ms: Option<[u64; 3]>,
    /// Whether the verdict was that nothing suffices.
    pub is_hopeless: bool,
    /// Whether the migration met its intent.
    pub met: bool,
    /// Whether it completed within the deadline.
    pub converged: bool,
    /// Time that was left; `None` if it never completed.
    pub was_left_ms: Option<u64>,
}

/// The calibration of one stage.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Calibration {
    /// Ended passes.
    pub stage: u64,
    /// Forecasts with an interval on migrations that completed, of the second half.
    pub count: usize,
    /// Of the chance to meet the intent, in the second half.
    pub meets: Score,
    /// Of the chance to complete within the deadline.
    pub converges: Score,
    /// Part of the second half that the raw interval covers.
    pub raw_coverage: f64,
    /// Factors from the first half, in thousandths.
    pub low_permille: u64,
    /// The same for the upper end.
    pub high_permille: u64,
    /// Part of the second half that the widened interval covers.
    pub coverage: f64,
}

/// How good a chance was.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Score {
    /// Its mean squared error.
    pub brier: f64,
    /// The same of the base rate alone.
    pub brier_of_base_rate: f64,
}

impl Score {
    /// Of chances in millionths, each with whether it came true.
    fn of(chances: impl Iterator<Item = (u64, bool)>) -> Self {
        let (mut all, mut came_true, mut squares) = (0, 0, 0.0);
        for (ppm, is_true) in chances {
            #[expect(clippy::cast_precision_loss, reason = "millionths")]
            let error = ppm as f64 / 1e6 - f64::from(u8::from(is_true));
            squares += error * error;
            all += 1;
            came_true += usize::from(is_true);
        }
        let base = share(came_true, all);
        Self { brier: squares / count(all.max(1)), brier_of_base_rate: base * (1.0 - base) }
    }

    /// The part of the base rate's error that the chance avoids: 1 is perfect, 0 no better than the base rate.
    #[must_use]
    pub fn skill(&self) -> f64 {
        1.0 - self.brier / self.brier_of_base_rate.max(f64::MIN_POSITIVE)
    }
}

/// The outlooks of a case under a static limit, after its dirty rate was measured over these intervals; the first one is
/// then that before the first byte.
#[must_use]
pub fn outlooks(case: &Case, limit_ms: u64, measured_ms: &[NonZeroU64]) -> Vec<Outlook> {
    let mut listener = Listener { intent: case.intent, beside: ModelBeside::default(), outlooks: Vec::new() };
    let run = run_measured(case, &mut StaticLimit::new(limit_ms), &mut listener, measured_ms);
    listener.outlooks.iter().map(|outlook| outlook.with(&run, &case.intent)).collect()
}

impl Outlook {
    fn with(self, run: &Run, intent: &Intent) -> Self {
        let completed = run.ended == Ended::Completed;
        let was_left_ms = completed.then(|| run.total_ms.saturating_sub(self.at_ms));
        let converged = completed && intent.finish_within_ms.is_none_or(|end_ms| run.total_ms <= end_ms);
        Self { met: run.meets_intent, converged, was_left_ms, ..self }
    }
}

/// Forecasts beside the policy.
#[derive(Debug)]
struct Listener {
    intent: Intent,
    beside: ModelBeside,
    outlooks: Vec<Outlook>,
}

impl Observer for Listener {
    fn starts(&mut self, before: &Beforehand, start: &Start) {
        self.beside.starts(before, start);
        self.outlooks
            .extend(self.beside.model().and_then(|model| outlook(model, Instant::BEGIN, &self.intent)));
    }

    fn on(&mut self, now: Instant, seen: Seen<'_>) {
        let Some(model) = self.beside.on(now, seen) else { return };
        if self.outlooks.len() < MOST_PER_RUN {
            self.outlooks.extend(outlook(model, now, &self.intent));
        }
    }
}

fn outlook(model: &Model, now: Instant, intent: &Intent) -> Option<Outlook> {
    let (forecast, raw) = (model.forecast(Plan::AsIs, intent)?, model.raw_forecast(Plan::AsIs, intent)?);
    let verdict = model.assess(intent).verdict;
    Some(Outlook {
        stage: model.ends().min(STAGES - 1),
        at_ms: now.as_ms(),
        meets_ppm: forecast.meets_intent_ppm,
        converges_ppm: forecast.converges_ppm,
        raw_converges_ppm: raw.converges_ppm,
        left_ms: raw.left_ms,
        is_hopeless: matches!(verdict, Verdict::Never { .. } | Verdict::LinkTooSlow),
        met: false,
        converged: false,
        was_left_ms: None,
    })
}

/// The chances before the first byte that fit best what came true, if no particle converges and if all do, in millionths:
/// least squares over the raw chances. `None` without such outlooks, or if all have the same chance.
#[must_use]
pub fn chances_before_ppm(outlooks: &[Outlook]) -> Option<[u64; 2]> {
    let before = || outlooks.iter().filter(|outlook| outlook.stage == 0);
    #[expect(clippy::cast_precision_loss, reason = "millionths")]
    let points = || before().map(|one| (one.raw_converges_ppm as f64, f64::from(u8::from(one.converged))));
    let all = count(before().count().max(1));
    let (mean, base) =
        (points().map(|(x, _)| x).sum::<f64>() / all, points().map(|(_, y)| y).sum::<f64>() / all);
    let spread: f64 = points().map(|(x, _)| (x - mean).powi(2)).sum();
    let slope = points().map(|(x, y)| (x - mean) * (y - base)).sum::<f64>() / spread;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and a million")]
    let at = |ppm: f64| ((base + slope * (ppm - mean)).clamp(0.0, 1.0) * 1e6).round() as u64;
    (spread > 0.0).then(|| [at(0.0), at(1e6)])
}

/// Calibrates on the outlooks of the first half, and scores on those of the second.
#[must_use]
pub fn calibrate(first: &[Outlook], second: &[Outlook]) -> Vec<Calibration> {
    (0..STAGES)
        .filter_map(|stage| {
            let of = |outlooks: &[Outlook]| -> Vec<Outlook> {
                outlooks.iter().filter(|outlook| outlook.stage == stage).copied().collect()
            };
            stage_calibration(stage, &of(first), &of(second))
        })
        .collect()
}

fn stage_calibration(stage: u64, first: &[Outlook], second: &[Outlook]) -> Option<Calibration> {
    let timed = |outlooks: &[Outlook]| -> Vec<(u64, u64, u64)> {
        let both = outlooks.iter().filter_map(|outlook| outlook.left_ms.zip(outlook.was_left_ms));
        both.map(|([low, _, high], was)| (low.max(1), high.max(1), was)).collect()
    };
    let (fitted, scored) = (timed(first), timed(second));
    if fitted.is_empty() || scored.is_empty() {
        return None;
    }
    let ratio =
        |was: u64, end: u64| u64::try_from(u128::from(was) * 1000 / u128::from(end)).unwrap_or(u64::MAX);
    let low_permille = quantile(fitted.iter().map(|(low, _, was)| ratio(*was, *low)), 10).min(1_000);
    let high_permille = quantile(fitted.iter().map(|(_, high, was)| ratio(*was, *high)), 90).max(1_000);
    let covered = |low_permille: u64, high_permille: u64| {
        let inside = scored.iter().filter(|(low, high, was)| {
            u128::from(*was) * 1000 >= u128::from(*low) * u128::from(low_permille)
                && u128::from(*was) * 1000 <= u128::from(*high) * u128::from(high_permille)
        });
        share(inside.count(), scored.len())
    };
    Some(Calibration {
        stage,
        count: scored.len(),
        meets: Score::of(second.iter().map(|outlook| (outlook.meets_ppm, outlook.met))),
        converges: Score::of(second.iter().map(|outlook| (outlook.converges_ppm, outlook.converged))),
        raw_coverage: covered(1_000, 1_000),
        low_permille,
        high_permille,
        coverage: covered(low_permille, high_permille),
    })
}

fn quantile(values: impl Iterator<Item = u64>, percent: usize) -> u64 {
    let mut values: Vec<u64> = values.collect();
    values.sort_unstable();
    values.get(values.len().saturating_sub(1) * percent / 100).copied().unwrap_or(1_000)
}

#[expect(clippy::cast_precision_loss, reason = "counts of runs")]
pub(crate) fn count(number: usize) -> f64 {
    number as f64
}

pub(crate) fn share(part: usize, all: usize) -> f64 {
    count(part) / count(all.max(1))
}
