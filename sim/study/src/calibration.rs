//! The forecast beside migrations that it does not touch: its outlook at each stage, and what came true.
//!
//! Split conformal: on one half of the seeds the factor is found by which the raw interval of the time left must be
//! widened to cover four of five; on the other half it is scored.

use serde::Serialize;
use whimbrel_core::Instant;
use whimbrel_policy::forecast::{Plan, Verdict};
use whimbrel_policy::policies::StaticLimit;
use whimbrel_policy::{Beforehand, Intent, Seen, Start};

use crate::grid::Case;
use crate::migration::{Ended, Observer, Run, run_observed};
use crate::model_beside::ModelBeside;

/// Stages: the number of ended passes, the last one for that and more.
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
    /// Time left, raw: 10 %, 50 %, 90 %.
    pub left_ms: Option<[u64; 3]>,
    /// Whether the verdict was that nothing suffices.
    pub is_hopeless: bool,
    /// Whether the migration met its intent.
    pub met: bool,
    /// Time that was left; `None` if it never completed.
    pub was_left_ms: Option<u64>,
}

/// The calibration of one stage.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Calibration {
    /// Ended passes.
    pub stage: u64,
    /// Forecasts with an interval on migrations that completed, of both halves.
    pub count: usize,
    /// Mean squared error of the chance to meet the intent.
    pub brier: f64,
    /// The same of the base rate alone.
    pub brier_of_base_rate: f64,
    /// Part of the second half that the raw interval covers.
    pub raw_coverage: f64,
    /// Factors from the first half, in thousandths.
    pub low_permille: u64,
    /// The same for the upper end.
    pub high_permille: u64,
    /// Part of the second half that the widened interval covers.
    pub coverage: f64,
}

/// The outlooks of a case under a static limit.
#[must_use]
pub fn outlooks(case: &Case, limit_ms: u64) -> Vec<Outlook> {
    let mut listener = Listener { intent: case.intent, beside: ModelBeside::default(), outlooks: Vec::new() };
    let run = run_observed(case, &mut StaticLimit::new(limit_ms), &mut listener);
    listener.outlooks.iter().map(|outlook| outlook.with(&run)).collect()
}

impl Outlook {
    fn with(self, run: &Run) -> Self {
        let completed = run.ended == Ended::Completed;
        let was_left_ms = completed.then(|| run.total_ms.saturating_sub(self.at_ms));
        Self { met: run.meets_intent, was_left_ms, ..self }
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
    }

    fn on(&mut self, now: Instant, seen: Seen<'_>) {
        let Some(model) = self.beside.on(now, seen) else { return };
        if self.outlooks.len() >= MOST_PER_RUN {
            return;
        }
        let Some(forecast) = model.raw_forecast(Plan::AsIs, &self.intent) else { return };
        let verdict = model.assess(&self.intent).verdict;
        self.outlooks.push(Outlook {
            stage: model.ends().min(STAGES - 1),
            at_ms: now.as_ms(),
            meets_ppm: forecast.meets_intent_ppm,
            left_ms: forecast.left_ms,
            is_hopeless: matches!(verdict, Verdict::Never { .. } | Verdict::LinkTooSlow),
            met: false,
            was_left_ms: None,
        });
    }
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
    let all: Vec<&Outlook> = first.iter().chain(second).collect();
    let base = share(all.iter().filter(|outlook| outlook.met).count(), all.len());
    #[expect(clippy::cast_precision_loss, reason = "millionths")]
    let chance = |outlook: &Outlook| outlook.meets_ppm as f64 / 1e6;
    let truth = |outlook: &Outlook| f64::from(u8::from(outlook.met));
    let error = all.iter().map(|outlook| (chance(outlook) - truth(outlook)).powi(2)).sum::<f64>();
    Some(Calibration {
        stage,
        count: fitted.len() + scored.len(),
        brier: error / count(all.len()),
        brier_of_base_rate: base * (1.0 - base),
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
