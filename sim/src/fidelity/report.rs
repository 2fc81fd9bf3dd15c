//! Recorded and simulated migrations side by side, and how far apart they are.
//!
//! Every case counts: none may be dropped because it is hard. Errors are signed fractions of the recorded median, so
//! 0.02 is 2 % too much; where either side has no such number there is no error, and never a zero.

use serde::Serialize;

use super::recording::Case;
use super::run::Run;
use crate::qemu::Engine;

/// Syncs by which a simulated migration may lie outside the recorded range: two repeats seldom show the whole range.
const SYNCS_BESIDE_RANGE: u64 = 1;

/// Everything that was compared.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// Simulated migrations a case, with the seeds from 1.
    pub seeds: u64,
    /// All cases together.
    pub summary: Summary,
    /// Each case, in the order of the recordings.
    pub cases: Vec<CaseReport>,
    /// The cases that the engine cannot be asked about.
    pub skipped: Vec<Skipped>,
}

/// All cases together; `None` where no case has such a number. Means, medians and maxima are of absolute values.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// Cases compared.
    pub cases: usize,
    /// Mean error in pages.
    pub pages_error_mean: Option<f64>,
    /// Largest error in pages.
    pub pages_error_max: Option<f64>,
    /// Median error in total time, over the cases that completed.
    pub time_error_median: Option<f64>,
    /// Largest error in total time.
    pub time_error_max: Option<f64>,
    /// Part of the cases whose syncs are in QEMU's own range.
    pub syncs_in_range_share: Option<f64>,
    /// Cases that complete on one side only.
    pub wrong_verdicts: usize,
}

/// One case.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CaseReport {
    /// Its name.
    pub name: String,
    /// Whether most seeds end as most recordings did. A case that QEMU itself ended both ways lies on the edge, and any
    /// verdict on it is right.
    pub verdict_ok: bool,
    /// Whether QEMU itself ended it both ways.
    pub edge: bool,
    /// Error in pages sent with their content.
    pub pages_error: Option<f64>,
    /// Error in total time; none for migrations that the recorder cut off.
    pub time_error: Option<f64>,
    /// The same in ms.
    pub time_error_ms: Option<f64>,
    /// Whether the median of the syncs is within QEMU's own range over the repeats, widened by one.
    pub syncs_in_range: Option<bool>,
    /// Error in downtime, in ms.
    pub downtime_error_ms: Option<f64>,
    /// What QEMU did.
    pub recorded: Side,
    /// What the engine did.
    pub simulated: Side,
}

/// The medians of one side, over the runs that ended as most recordings did.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Side {
    /// All runs.
    pub runs: usize,
    /// Those that completed.
    pub completed: usize,
    /// Pages sent with their content.
    pub pages: Option<f64>,
    /// Total time in ms.
    pub time_ms: Option<f64>,
    /// Downtime in ms.
    pub downtime_ms: Option<f64>,
    /// Fewest syncs.
    pub syncs_min: Option<u64>,
    /// Median of the syncs.
    pub syncs: Option<f64>,
    /// Most syncs.
    pub syncs_max: Option<u64>,
}

/// A case that was not compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Skipped {
    /// Its name.
    pub name: String,
    /// Why not.
    pub reason: String,
}

/// Runs every case with the seeds 1 to `seeds`, at least one, and compares the medians.
#[must_use]
pub fn compare(cases: &[Case], engine: Engine, seeds: u64) -> Report {
    let seeds = seeds.max(1);
    let (mut compared, mut skipped) = (Vec::new(), Vec::new());
    for case in cases {
        match &case.not_modelled {
            Some(reason) => skipped.push(Skipped { name: case.name.clone(), reason: reason.clone() }),
            None => compared.push(compare_case(case, engine, seeds)),
        }
    }
    Report { seeds, summary: Summary::of(&compared), cases: compared, skipped }
}

fn compare_case(case: &Case, engine: Engine, seeds: u64) -> CaseReport {
    let simulated: Vec<Run> = (1..=seeds).map(|seed| Run::simulate(&case.setup, engine, seed)).collect();
    let completed = case.repeats.iter().filter(|run| run.completed).count();
    let edge = completed > 0 && completed < case.repeats.len();
    let verdict = 2 * completed >= case.repeats.len();
    let (recorded, simulated) = (Side::of(&case.repeats, verdict), Side::of(&simulated, verdict));
    let agreeing = if verdict { simulated.completed } else { simulated.runs - simulated.completed };
    let (time_error, time_error_ms) = if verdict {
        (relative(simulated.time_ms, recorded.time_ms), difference(simulated.time_ms, recorded.time_ms))
    } else {
        (None, None)
    };
    CaseReport {
        name: case.name.clone(),
        verdict_ok: edge || 2 * agreeing > simulated.runs,
        edge,
        pages_error: relative(simulated.pages, recorded.pages),
        time_error,
        time_error_ms,
        syncs_in_range: in_range(&simulated, &recorded),
        downtime_error_ms: difference(simulated.downtime_ms, recorded.downtime_ms),
        recorded,
        simulated,
    }
}

impl Side {
    fn of(runs: &[Run], verdict: bool) -> Self {
        let alike = || runs.iter().filter(|run| run.completed == verdict);
        Self {
            runs: runs.len(),
            completed: runs.iter().filter(|run| run.completed).count(),
            pages: median(alike().map(|run| float(run.normal_pages))),
            time_ms: median(alike().filter_map(|run| run.total_ms).map(float)),
            downtime_ms: median(alike().filter_map(|run| run.downtime_ms).map(float)),
            syncs_min: alike().map(|run| run.syncs).min(),
            syncs: median(alike().map(|run| float(run.syncs))),
            syncs_max: alike().map(|run| run.syncs).max(),
        }
    }
}

impl Summary {
    fn of(cases: &[CaseReport]) -> Self {
        let pages = || cases.iter().filter_map(|case| case.pages_error).map(f64::abs);
        let times = || cases.iter().filter_map(|case| case.time_error).map(f64::abs);
        let in_range = || cases.iter().filter_map(|case| case.syncs_in_range);
        Self {
            cases: cases.len(),
            pages_error_mean: share(pages().sum(), pages().count()),
            pages_error_max: pages().reduce(f64::max),
            time_error_median: median(times()),
            time_error_max: times().reduce(f64::max),
            syncs_in_range_share: share(count(in_range().filter(|ok| *ok).count()), in_range().count()),
            wrong_verdicts: cases.iter().filter(|case| !case.verdict_ok).count(),
        }
    }
}

fn in_range(simulated: &Side, recorded: &Side) -> Option<bool> {
    let least = float(recorded.syncs_min?.saturating_sub(SYNCS_BESIDE_RANGE));
    let most = float(recorded.syncs_max?.saturating_add(SYNCS_BESIDE_RANGE));
    Some((least..=most).contains(&simulated.syncs?))
}

/// The middle value, or the mean of the two middle ones: some recordings shared their host with other work.
fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_unstable_by(f64::total_cmp);
    let upper = sorted.get(sorted.len() / 2)?;
    let lower = sorted.get((sorted.len() - 1) / 2)?;
    Some(f64::midpoint(*lower, *upper))
}

fn relative(simulated: Option<f64>, recorded: Option<f64>) -> Option<f64> {
    let recorded = recorded.filter(|recorded| *recorded > 0.0)?;
    Some(simulated? / recorded - 1.0)
}

fn difference(simulated: Option<f64>, recorded: Option<f64>) -> Option<f64> {
    Some(simulated? - recorded?)
}

fn share(sum: f64, of: usize) -> Option<f64> {
    (of > 0).then(|| sum / count(of))
}

#[expect(clippy::cast_precision_loss, reason = "pages and ms of a migration stay far below 2^52")]
fn float(value: u64) -> f64 {
    value as f64
}

#[expect(clippy::cast_precision_loss, reason = "there are far fewer than 2^52 cases")]
fn count(value: usize) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(completed: bool, total_ms: u64, normal_pages: u64, syncs: u64) -> Run {
        Run { completed, total_ms: Some(total_ms), downtime_ms: completed.then_some(7), normal_pages, syncs }
    }

    #[test]
    fn medians_are_over_the_runs_that_ended_alike() {
        let runs = [run(true, 10, 100, 3), run(true, 30, 300, 5), run(false, 999, 9999, 99)];
        let side = Side::of(&runs, true);
        assert_eq!((side.runs, side.completed), (3, 2));
        assert_eq!((side.pages, side.time_ms, side.syncs), (Some(200.0), Some(20.0), Some(4.0)));
        assert_eq!((side.syncs_min, side.syncs_max), (Some(3), Some(5)));
        let none = Side::of(&runs[..2], false);
        assert_eq!((none.pages, none.time_ms, none.syncs_min), (None, None, None));
    }

    #[test]
    fn the_range_is_widened_by_one_and_no_more() {
        let recorded = Side::of(&[run(true, 1, 1, 5), run(true, 1, 1, 7)], true);
        for (syncs, expected) in [(3, false), (4, true), (6, true), (8, true), (9, false)] {
            let simulated = Side::of(&[run(true, 1, 1, syncs)], true);
            assert_eq!(in_range(&simulated, &recorded), Some(expected), "{syncs}");
        }
    }

    #[test]
    fn what_is_unknown_has_no_error() {
        assert_eq!(relative(None, Some(1.0)), None);
        assert_eq!(relative(Some(1.0), Some(0.0)), None);
        assert_eq!(relative(Some(98.0), Some(100.0)), Some(0.98 - 1.0));
        let summary = Summary::of(&[]);
        assert_eq!((summary.pages_error_mean, summary.time_error_median), (None, None));
    }
}
