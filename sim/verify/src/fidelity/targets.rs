//! What is to be reached on recorded runs, and whether it is.
//!
//! The numbers are goals that stood before the recordings did; none may be moved because it was missed.

use serde::Serialize;

use super::report::{CaseReport, Summary};
use whimbrel_sim::qemu::Engine;

const PAGES_MEAN: f64 = 0.003;
/// Error in pages of a single case.
pub(super) const PAGES_MAX: f64 = 0.015;
const TIME_MEDIAN: f64 = 0.01;
const TIME_MEDIAN_OF_MEAN_ENGINE: f64 = 0.03;
/// Error in total time of a single case, or else this many ms.
pub(super) const TIME_MAX: f64 = 0.05;
pub(super) const TIME_FLOOR_MS: f64 = 50.0;
const SYNCS_OUTSIDE: f64 = 0.05;
const DOWNTIME_MAX: f64 = 0.25;
const DOWNTIME_FLOOR_MS: f64 = 5.0;

/// One target.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Target {
    /// What is meant.
    pub name: &'static str,
    /// The most that is allowed; of `syncs_in_range_share` the least.
    pub limit: f64,
    /// What was reached; none if no case has such a number.
    pub value: Option<f64>,
    /// Whether it was.
    pub met: bool,
}

/// How much wider than the page engine's an engine's targets are; none for one that has a single target.
fn width(engine: Engine) -> Option<f64> {
    match engine {
        Engine::Page => Some(1.0),
        Engine::Lumped => Some(2.0),
        Engine::Mean => None,
    }
}

/// The targets of an engine over the cases that count.
pub(super) fn targets(engine: Engine, summary: &Summary, cases: &[&CaseReport]) -> Vec<Target> {
    let Some(width) = width(engine) else {
        return vec![at_most("time_error_median", TIME_MEDIAN_OF_MEAN_ENGINE, summary.time_error_median)];
    };
    let beyond = |is_beyond: fn(&CaseReport, f64) -> bool| {
        let number = cases.iter().filter(|case| is_beyond(case, width)).count();
        Some(super::estimates::count(number))
    };
    let least = 1.0 - SYNCS_OUTSIDE * width;
    vec![
        at_most("wrong_verdicts", 0.0, Some(super::estimates::count(summary.wrong_verdicts))),
        at_most("pages_error_mean", PAGES_MEAN * width, summary.pages_error_mean),
        at_most("pages_error_max", PAGES_MAX * width, summary.pages_error_max),
        at_most("time_error_median", TIME_MEDIAN * width, summary.time_error_median),
        at_most("cases_beyond_time", 0.0, beyond(time_is_beyond)),
        Target {
            name: "syncs_in_range_share",
            limit: least,
            value: summary.syncs_in_range_share,
            met: summary.syncs_in_range_share.is_none_or(|share| share >= least),
        },
        at_most("cases_beyond_downtime", 0.0, beyond(downtime_is_beyond)),
    ]
}

fn at_most(name: &'static str, limit: f64, value: Option<f64>) -> Target {
    Target { name, limit, value, met: value.is_none_or(|value| value <= limit) }
}

/// Whether the total time is off by more than a part of it and more than some ms.
pub(super) fn time_is_beyond(case: &CaseReport, width: f64) -> bool {
    let part = case.time_error.is_some_and(|error| error.abs() > TIME_MAX * width);
    part && case.time_error_ms.is_some_and(|error_ms| error_ms.abs() > TIME_FLOOR_MS * width)
}

/// Whether the downtime is off by more than a part of it and more than some ms. Where the recorded ones themselves lie
/// farther apart than that, whether it is outside all of them by as much.
pub(super) fn downtime_is_beyond(case: &CaseReport, width: f64) -> bool {
    let (Some(recorded_ms), Some(simulated_ms)) = (case.recorded.downtime_ms, case.simulated.downtime_ms)
    else {
        return false;
    };
    let allowed_ms = (DOWNTIME_MAX * recorded_ms).max(DOWNTIME_FLOOR_MS) * width;
    let least_ms = case.recorded.downtime_min_ms.unwrap_or(recorded_ms);
    let most_ms = case.recorded.downtime_max_ms.unwrap_or(recorded_ms);
    let (low_ms, high_ms) =
        if most_ms - least_ms > allowed_ms { (least_ms, most_ms) } else { (recorded_ms, recorded_ms) };
    simulated_ms < low_ms - allowed_ms || simulated_ms > high_ms + allowed_ms
}
