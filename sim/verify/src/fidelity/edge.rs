//! Edge cases: those in which QEMU itself, or chance, scatters more than a target allows, compared as distributions.
//!
//! A case may be classified as one only by a rule that is reported here with its reason; it is then kept out of means
//! and maxima, and never out of sight.

use serde::Serialize;

use super::constants::Host;
use super::estimates::{binomial_interval, count, median, quantile, rank_test};
use super::recording::Case;
use super::run::Run;
use super::targets::{PAGES_MAX, TIME_FLOOR_MS, TIME_MAX};
use whimbrel_sim::qemu::Engine;

/// The requested rate.
pub(super) const AS_ASKED: u64 = 1000;
/// Seeds to find out on which side of its threshold a case is.
const SEEDS_AT_EACH_SIDE: u64 = 8;
/// The band around the threshold, in thousandths of the rate.
const SIDES_PERMILLE: [u64; 2] = [950, 1050];

/// An edge case, compared as a distribution.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EdgeReport {
    /// Its name.
    pub name: String,
    /// Why it is one.
    pub reason: String,
    /// Runs that completed, and runs, of the recordings.
    pub recorded_completed: [usize; 2],
    /// The chance of completing by the recordings: Wilson's interval at 95 %.
    pub completes_interval: [f64; 2],
    /// The part of the simulated migrations that completed.
    pub simulated_completes: f64,
    /// Whether that is within the interval.
    pub completes_within: bool,
    /// Recorded total times, in ms.
    pub recorded_ms: Vec<f64>,
    /// Tenth, middle and ninetieth of a hundred simulated total times, in ms; none if none completed.
    pub simulated_ms: Option<[f64; 3]>,
    /// How likely so different times are by chance (rank test).
    pub time_p: Option<f64>,
    /// How likely so different numbers of pages are by chance (rank test).
    pub pages_p: Option<f64>,
}

/// Why a case is an edge case, if it is one.
pub(super) fn reason(case: &Case, simulated: &[Run], host: &Host, engine: Engine) -> Option<String> {
    let recorded: Vec<Run> = case.repeats.iter().map(|repeat| repeat.run).collect();
    if ends_both_ways(&recorded) {
        return Some("recorded repeats end both ways".to_owned());
    }
    if let Some(what) = scatter(&recorded, 0.0) {
        return Some(format!("recorded repeats scatter: {what}"));
    }
    if recorded.len() == 1
        && let Some(what) = scatter(simulated, 0.1)
    {
        return Some(format!("one repeat only, and simulated ones scatter: {what}"));
    }
    let extremes = host.fastest_and_slowest().map(|host| Run::simulate(case, &host, engine, 1, AS_ASKED));
    if let Some(what) = time_scatter(&extremes, 0.0) {
        return Some(format!("idle runs leave the speed of copying open, and by that: {what}"));
    }
    if case.is_idle() || case.setup.workload.is_some() {
        return None;
    }
    let seeds = SEEDS_AT_EACH_SIDE.min(simulated.len() as u64);
    let [slower, faster] = SIDES_PERMILLE.map(|permille| {
        let runs = (1..=seeds).map(|seed| Run::simulate(case, host, engine, seed, permille));
        2 * runs.filter(|run| run.completed).count() as u64 >= seeds
    });
    (slower != faster)
        .then(|| "within 5 % of its threshold: simulated at 95 and 105 % of its rate".to_owned())
}

fn ends_both_ways(runs: &[Run]) -> bool {
    runs.iter().any(|run| run.completed) && runs.iter().any(|run| !run.completed)
}

/// What scatters by more than a target allows, from one quantile to the other.
fn scatter(runs: &[Run], below: f64) -> Option<String> {
    let pages = || {
        let (width, middle) = spread(pages(runs), below)?;
        (width > PAGES_MAX * middle).then(|| format!("{width:.0} pages of {middle:.0}"))
    };
    time_scatter(runs, below).or_else(pages)
}

fn time_scatter(runs: &[Run], below: f64) -> Option<String> {
    let (width_ms, middle_ms) = spread(times(runs), below)?;
    let is_wide = width_ms > TIME_FLOOR_MS && width_ms > TIME_MAX * middle_ms;
    is_wide.then(|| format!("{width_ms:.0} ms of {middle_ms:.0}"))
}

/// From one quantile to the other, and the middle.
fn spread(values: Vec<f64>, below: f64) -> Option<(f64, f64)> {
    let low = quantile(values.clone(), below)?;
    let high = quantile(values.clone(), 1.0 - below)?;
    Some((high - low, median(values)?))
}

/// Total times of what completed.
fn times(runs: &[Run]) -> Vec<f64> {
    runs.iter().filter(|run| run.completed).filter_map(|run| run.total_ms).map(float).collect()
}

/// Pages of what completed, or of all if nothing did.
fn pages(runs: &[Run]) -> Vec<f64> {
    let completed = runs.iter().any(|run| run.completed);
    runs.iter().filter(|run| run.completed == completed).map(|run| float(run.normal_pages)).collect()
}

impl EdgeReport {
    pub(super) fn of(name: &str, reason: String, recorded: &[Run], simulated: &[Run]) -> Self {
        let completed = |runs: &[Run]| runs.iter().filter(|run| run.completed).count();
        let (least, most) = binomial_interval(completed(recorded), recorded.len());
        let share = count(completed(simulated)) / count(simulated.len().max(1));
        let simulated_times = times(simulated);
        let at = |part| quantile(simulated_times.clone(), part);
        let simulated_ms = match (at(0.1), at(0.5), at(0.9)) {
            (Some(low), Some(middle), Some(high)) => Some([low, middle, high]),
            _ => None,
        };
        Self {
            name: name.to_owned(),
            reason,
            recorded_completed: [completed(recorded), recorded.len()],
            completes_interval: [least, most],
            simulated_completes: share,
            completes_within: (least..=most).contains(&share),
            time_p: rank_test(&times(recorded), &simulated_times),
            pages_p: rank_test(&pages(recorded), &pages(simulated)),
            recorded_ms: times(recorded),
            simulated_ms,
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "pages and ms of a migration stay far below 2^52")]
fn float(value: u64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(completed: bool, total_ms: u64, normal_pages: u64) -> Run {
        Run {
            completed,
            total_ms: Some(total_ms),
            downtime_ms: None,
            normal_pages,
            zero_pages: None,
            transferred_bytes: None,
            syncs: 3,
        }
    }

    #[test]
    fn scatter_is_more_than_a_target() {
        let of = |one: (u64, u64), other: (u64, u64)| {
            scatter(&[run(true, one.0, one.1), run(true, other.0, other.1)], 0.0)
        };
        assert_eq!(of((2000, 1000), (2099, 1000)), None);
        assert_eq!(of((2000, 1000), (2110, 1000)).as_deref(), Some("110 ms of 2055"));
        assert_eq!(of((100, 1000), (150, 1000)), None, "50 ms are allowed whatever the part");
        assert_eq!(of((2000, 1000), (2000, 1016)).as_deref(), Some("16 pages of 1008"));
        assert!(ends_both_ways(&[run(true, 1, 1), run(false, 1, 1)]));
    }

    #[test]
    fn distributions_are_compared() {
        let recorded = [run(true, 900, 10), run(false, 5000, 99)];
        let simulated: Vec<Run> = (0..20).map(|n| run(n < 15, 800 + n * 10, 10)).collect();
        let edge = EdgeReport::of("a", "why".to_owned(), &recorded, &simulated);
        assert!(edge.recorded_completed == [1, 2] && (edge.simulated_completes - 0.75).abs() < 1e-9);
        assert!(edge.completes_within && edge.time_p.unwrap() > 0.3, "{edge:?}");
        assert!((edge.simulated_ms.unwrap()[1] - 870.0).abs() < 1e-9);
        let far = EdgeReport::of("a", "why".to_owned(), &[run(true, 9000, 10); 3], &simulated);
        assert!(far.time_p.unwrap() < 0.05, "{far:?}");
    }
}
