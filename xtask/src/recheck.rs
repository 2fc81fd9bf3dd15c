//! The quick cases, just recorded, beside the simulator: `cargo xtask record --check`.
//!
//! It must notice when the simulator drifts away from real QEMU, and must not fail because the machine was busy: a run that
//! others disturbed is recorded again, and if it is disturbed every time, that is reported and it does not count. It waits
//! for a quiet machine for five minutes at most, and must not report a success when nothing could be compared.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use whimbrel_lab::record::{self, Emulator, Outcome, Plan, Request};
use whimbrel_sim::qemu::Engine;
use whimbrel_verify::fidelity::{Case, Report, compare, read};

use crate::error::Error;

/// A run is noisy when others used more than this part of the processors.
const NOISY_BUSY: f64 = 0.2;
/// How often noisy runs are recorded again.
const AGAIN: u32 = 2;
/// Pages may be off by as much in the median.
const MOST_DRIFT: f64 = 0.02;
const SEEDS: u64 = 16;

/// How long all runs together wait for a quiet machine.
pub(crate) const QUIET_WAIT_AT_MOST: Duration = Duration::from_mins(5);

/// Records noisy runs again, and compares.
pub(crate) fn run(plan: &Plan, out: &Path, first: &Outcome, tell: &mut dyn FnMut(&str)) -> Result<(), Error> {
    let mut last = *first;
    let mut left = QUIET_WAIT_AT_MOST.saturating_sub(first.waited);
    for _ in 0..AGAIN {
        let noisy = noisy(&recorded(out)?);
        if noisy.is_empty() || last.too_busy_percent.is_some() {
            break;
        }
        tell(&format!("others were busy, once more: {}", noisy.join(", ")));
        let text = fs::read_to_string(out).map_err(|source| unreadable(out, source))?;
        let kept: Vec<&str> = text.lines().filter(|line| !is_of(line, &noisy)).collect();
        fs::write(out, kept.join("\n") + "\n").map_err(|source| unreadable(out, source))?;
        let request = Request {
            only: &noisy,
            repeats: Some(1),
            out,
            emulator: &Emulator::Installed,
            linux: None,
            quiet_wait_at_most: Some(left),
        };
        last = record::record(plan, &request, tell)?;
        left = left.saturating_sub(last.waited);
        if last.failed > 0 {
            return Err(Error::NotRecorded(last.failed));
        }
    }
    let cases = recorded(out)?;
    let noisy = noisy(&cases);
    if !noisy.is_empty() {
        tell(&format!("others are still busy, so that these do not count: {}", noisy.join(", ")));
    }
    // What was recorded in quiet counts, also when the others are missing: a drift is one.
    let compared = judge(&compare(&cases, Engine::Page, SEEDS), &noisy).map_err(Error::Drifted)?;
    if let Some(said) = &compared {
        tell(said);
    }
    if compared.is_none() || last.too_busy_percent.is_some() {
        let (quiet, all) = (cases.len() - noisy.len(), plan.check_names().len());
        return Err(Error::NotChecked(why_not(quiet, all, last.too_busy_percent)));
    }
    Ok(())
}

/// Why the check was not made.
fn why_not(quiet: usize, all: usize, busy_percent: Option<u32>) -> String {
    let busy = busy_percent.map_or_else(
        || "others used the processors during the runs".to_owned(),
        |percent| {
            let minutes = QUIET_WAIT_AT_MOST.as_secs() / 60;
            format!("after {minutes} min of waiting others still used {percent} % of the processors")
        },
    );
    format!("{busy}, and {quiet} of {all} cases could be recorded in quiet")
}

fn recorded(out: &Path) -> Result<Vec<Case>, Error> {
    let text = fs::read_to_string(out).map_err(|source| unreadable(out, source))?;
    // The reader refuses a file without recordings, which is what a busy machine leaves.
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    read(&text).map_err(|source| unreadable(out, io::Error::other(source)))
}

fn unreadable(out: &Path, source: io::Error) -> Error {
    Error::Recordings { path: out.to_owned(), source }
}

fn noisy(cases: &[Case]) -> Vec<String> {
    let is_noisy =
        |case: &&Case| case.repeats.iter().any(|repeat| repeat.busy.is_some_and(|busy| busy > NOISY_BUSY));
    cases.iter().filter(is_noisy).map(|case| case.name.clone()).collect()
}

fn is_of(line: &str, names: &[String]) -> bool {
    read(line).is_ok_and(|cases| cases.iter().any(|case| names.contains(&case.name)))
}

/// The result of the cases that are neither noisy nor at the edge, if there are any; what is wrong with them, if
/// something is.
fn judge(report: &Report, noisy: &[String]) -> Result<Option<String>, String> {
    let counts: Vec<_> =
        report.cases.iter().filter(|case| !case.edge && !noisy.contains(&case.name)).collect();
    if let Some(wrong) = counts.iter().find(|case| !case.verdict_ok) {
        return Err(format!("`{}` completes on one side only", wrong.name));
    }
    let mut errors: Vec<f64> = counts.iter().filter_map(|case| case.pages_error).map(f64::abs).collect();
    errors.sort_unstable_by(f64::total_cmp);
    let Some(median) = errors.get(errors.len() / 2) else {
        return Ok(None);
    };
    let said = format!("pages are off by {:.2} % in the median of {} cases", median * 100.0, errors.len());
    if *median > MOST_DRIFT { Err(said) } else { Ok(Some(said)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORDED: &str = include_str!("../../sim/tests/data/qemu-7.2-quiet.jsonl");

    /// The quick cases' lines, changed.
    fn quick(change: impl Fn(&str) -> String) -> Vec<Case> {
        let names = Plan::built_in().unwrap().check_names().to_vec();
        let lines: Vec<String> = RECORDED.lines().filter(|line| is_of(line, &names)).map(change).collect();
        assert!(lines.len() >= 10);
        read(&lines.join("\n")).unwrap()
    }

    #[test]
    fn what_was_recorded_is_met() {
        let said = judge(&compare(&quick(str::to_owned), Engine::Page, 4), &[]).unwrap().unwrap();
        assert!(said.contains("0.0") && said.ends_with("cases"), "{said}");
    }

    #[test]
    fn pages_that_drift_are_seen() {
        let half = |line: &str| {
            let pages = read(line).unwrap()[0].repeats[0].run.normal_pages;
            line.replace(&format!("\"normal\":{pages},"), &format!("\"normal\":{},", pages / 2))
        };
        let said = judge(&compare(&quick(half), Engine::Page, 4), &[]).unwrap_err();
        assert!(said.starts_with("pages are off by 99."), "{said}");
    }

    #[test]
    fn a_verdict_that_is_wrong_is_seen_unless_others_were_busy() {
        let cut_off = |line: &str| {
            if !line.contains("\"uni-64Ki-10000\"") {
                return line.to_owned();
            }
            line.replace("\"completed\"", "\"timeout\"").replace("\"busy\":0.0", "\"busy\":0.3")
        };
        let cases = quick(cut_off);
        let report = compare(&cases, Engine::Page, 4);
        assert_eq!(judge(&report, &[]).unwrap_err(), "`uni-64Ki-10000` completes on one side only");
        assert_eq!(noisy(&cases), ["uni-64Ki-10000"]);
        assert!(judge(&report, &noisy(&cases)).is_ok());
    }

    #[test]
    fn a_comparison_of_nothing_is_no_success() {
        let cases = quick(str::to_owned);
        let all: Vec<String> = cases.iter().map(|case| case.name.clone()).collect();
        assert_eq!(judge(&compare(&cases, Engine::Page, 1), &all), Ok(None));
        assert_eq!(judge(&compare(&[], Engine::Page, 1), &[]), Ok(None));
        let why = Error::NotChecked(why_not(0, all.len(), Some(63)));
        assert!(why.to_string().contains("after 5 min of waiting others still used 63 %"), "{why}");
        assert_eq!((why.exit_code(), Error::NotRecorded(1).exit_code()), (3, 1));
    }
}
