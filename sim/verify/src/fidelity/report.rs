//! Recorded and simulated migrations side by side, and how far apart they are.
//!
//! Every case is reported: none may be dropped because it is hard. Errors are signed fractions of the recorded median,
//! so
//! 0.02 is 2 % too much; where either side has no such number there is no error, and never a zero.

use serde::Serialize;

use super::constants::HostConstant;
use super::edge::EdgeReport;
use super::estimates::{count, median};
use super::recording::{Case, Repeat};
use super::run::Run;
use super::targets::Target;

/// Syncs by which a simulated migration may lie outside the recorded range: two repeats seldom show the whole range.
const SYNCS_BESIDE_RANGE: u64 = 1;
/// A host whose windows are longer than this, in ms, or of which others use more than this part, is noisy.
const NOISY_WINDOW_MS: f64 = 100.7;
const NOISY_BUSY: f64 = 0.05;

/// Everything that was compared.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// Whether the caller stopped it: it is then about fewer cases, and judges no target.
    #[serde(skip)]
    pub is_stopped: bool,
    /// The engine.
    pub engine: &'static str,
    /// Simulated migrations a case, with the seeds from 1.
    pub seeds: u64,
    /// The cases that are no edge cases, of noisy and of quiet hosts.
    pub summary: Summary,
    /// Those of quiet hosts among them.
    pub summary_quiet: Summary,
    /// Recorded runs of a noisy host, and all of them.
    pub noisy_runs: [usize; 2],
    /// What was to be reached, over the cases of `summary`.
    pub targets: Vec<Target>,
    /// Each case of the writing guest, in the order of the recordings; edge cases are marked.
    pub cases: Vec<CaseReport>,
    /// The edge cases among them as distributions.
    pub edge: Vec<EdgeReport>,
    /// Linux guests, forecast from what was known before the migration.
    pub workloads: Vec<WorkloadReport>,
    /// All of them together.
    pub workloads_summary: Summary,
    /// The cases that the engine cannot be asked about.
    pub not_simulated: Vec<NotSimulated>,
    /// What the host costs, and from how many idle runs that is known.
    pub host: Vec<HostConstant>,
}

/// Cases together; `None` where no case has such a number. Means, medians and maxima are of absolute values.
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
    /// Whether most seeds end as most recordings did.
    pub verdict_ok: bool,
    /// Whether it is an edge case, reported in `edge` and not in the summaries.
    pub edge: bool,
    /// Whether most of its repeats were recorded on a noisy host.
    pub noisy: bool,
    /// Error in pages sent with their content.
    pub pages_error: Option<f64>,
    /// Error in pages of zeros.
    pub zero_pages_error: Option<f64>,
    /// Error in bytes, as QEMU's statistics count them.
    pub transferred_error: Option<f64>,
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

/// A Linux guest.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WorkloadReport {
    /// What it did.
    pub workload: String,
    /// Root of the mean square of the relative errors of the law that was fitted to its profile, the median of the
    /// repeats.
    pub law_error: f64,
    /// How the forecast went.
    #[serde(flatten)]
    pub case: CaseReport,
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
    /// Pages of zeros.
    pub zero_pages: Option<f64>,
    /// Bytes, as QEMU's statistics count them.
    pub transferred_bytes: Option<f64>,
    /// Total time in ms.
    pub time_ms: Option<f64>,
    /// Downtime in ms.
    pub downtime_ms: Option<f64>,
    /// The shortest.
    pub downtime_min_ms: Option<f64>,
    /// The longest.
    pub downtime_max_ms: Option<f64>,
    /// Fewest syncs.
    pub syncs_min: Option<u64>,
    /// Median of the syncs.
    pub syncs: Option<f64>,
    /// Most syncs.
    pub syncs_max: Option<u64>,
}

/// A case that was not compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NotSimulated {
    /// Its name.
    pub name: String,
    /// Its recorded runs.
    pub runs: usize,
    /// Why not.
    pub reason: String,
}

pub(super) fn is_noisy(repeat: &Repeat) -> bool {
    let by_windows = repeat.trace.mean_window_ms().is_some_and(|mean_ms| mean_ms > NOISY_WINDOW_MS);
    by_windows || repeat.busy.is_some_and(|busy| busy > NOISY_BUSY)
}

impl CaseReport {
    pub(super) fn of(case: &Case, recorded: &[Run], simulated: &[Run]) -> Self {
        let completed = recorded.iter().filter(|run| run.completed).count();
        let verdict = 2 * completed >= recorded.len();
        let noisy = case.repeats.iter().filter(|repeat| is_noisy(repeat)).count();
        let (recorded, simulated) = (Side::of(recorded, verdict), Side::of(simulated, verdict));
        let agreeing = if verdict { simulated.completed } else { simulated.runs - simulated.completed };
        let (time_error, time_error_ms) = if verdict {
            (relative(simulated.time_ms, recorded.time_ms), difference(simulated.time_ms, recorded.time_ms))
        } else {
            (None, None)
        };
        Self {
            name: case.name.clone(),
            verdict_ok: 2 * agreeing > simulated.runs,
            edge: false,
            noisy: 2 * noisy > case.repeats.len(),
            pages_error: relative(simulated.pages, recorded.pages),
            zero_pages_error: relative(simulated.zero_pages, recorded.zero_pages),
            transferred_error: relative(simulated.transferred_bytes, recorded.transferred_bytes),
            time_error,
            time_error_ms,
            syncs_in_range: in_range(&simulated, &recorded),
            downtime_error_ms: difference(simulated.downtime_ms, recorded.downtime_ms),
            recorded,
            simulated,
        }
    }
}

impl Side {
    fn of(runs: &[Run], verdict: bool) -> Self {
        let alike = || runs.iter().filter(|run| run.completed == verdict);
        let middle = |of: fn(&Run) -> Option<u64>| median(alike().filter_map(of).map(float).collect());
        let downtimes = || alike().filter_map(|run| run.downtime_ms).map(float);
        Self {
            runs: runs.len(),
            completed: runs.iter().filter(|run| run.completed).count(),
            pages: middle(|run| Some(run.normal_pages)),
            zero_pages: middle(|run| run.zero_pages),
            transferred_bytes: middle(|run| run.transferred_bytes),
            time_ms: middle(|run| run.total_ms),
            downtime_ms: middle(|run| run.downtime_ms),
            downtime_min_ms: downtimes().reduce(f64::min),
            downtime_max_ms: downtimes().reduce(f64::max),
            syncs_min: alike().map(|run| run.syncs).min(),
            syncs: middle(|run| Some(run.syncs)),
            syncs_max: alike().map(|run| run.syncs).max(),
        }
    }
}

impl Summary {
    pub(super) fn of<'a>(cases: impl Iterator<Item = &'a CaseReport>) -> Self {
        let cases: Vec<&CaseReport> = cases.collect();
        let pages = || cases.iter().filter_map(|case| case.pages_error).map(f64::abs);
        let times = || cases.iter().filter_map(|case| case.time_error).map(f64::abs);
        let in_range = || cases.iter().filter_map(|case| case.syncs_in_range);
        Self {
            cases: cases.len(),
            pages_error_mean: share(pages().sum(), pages().count()),
            pages_error_max: pages().reduce(f64::max),
            time_error_median: median(times().collect()),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn run(completed: bool, total_ms: u64, normal_pages: u64, syncs: u64) -> Run {
        Run {
            completed,
            total_ms: Some(total_ms),
            downtime_ms: completed.then_some(7),
            normal_pages,
            zero_pages: Some(5),
            transferred_bytes: Some(normal_pages * 4104),
            syncs,
        }
    }

    #[test]
    fn medians_are_over_the_runs_that_ended_alike() {
        let runs = [run(true, 10, 100, 3), run(true, 30, 300, 5), run(false, 999, 9999, 99)];
        let side = Side::of(&runs, true);
        assert_eq!((side.runs, side.completed), (3, 2));
        assert_eq!((side.pages, side.time_ms, side.syncs), (Some(200.0), Some(20.0), Some(4.0)));
        assert_eq!((side.zero_pages, side.transferred_bytes), (Some(5.0), Some(820_800.0)));
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
        let summary = Summary::of(std::iter::empty());
        assert_eq!((summary.pages_error_mean, summary.time_error_median), (None, None));
    }
}
