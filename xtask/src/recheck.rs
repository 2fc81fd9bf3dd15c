//! The quick cases, just recorded, beside the simulator: `cargo xtask record --check`.
//!
//! It must notice when the simulator drifts away from real QEMU, and must not fail because the machine was busy: a run that
//! others disturbed is recorded again, and if it is disturbed every time, that is reported and it does not count.

use std::fs;
use std::io;
use std::path::Path;

use whimbrel_lab::record::{self, Plan, Request};
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

/// Records noisy runs again, and compares.
pub(crate) fn run(plan: &Plan, out: &Path, tell: &mut dyn FnMut(&str)) -> Result<(), Error> {
    for _ in 0..AGAIN {
        let noisy = noisy(&recorded(out)?);
        if noisy.is_empty() {
            break;
        }
        tell(&format!("others were busy, once more: {}", noisy.join(", ")));
        let text = fs::read_to_string(out).map_err(|source| unreadable(out, source))?;
        let kept: Vec<&str> = text.lines().filter(|line| !is_of(line, &noisy)).collect();
        fs::write(out, kept.join("\n") + "\n").map_err(|source| unreadable(out, source))?;
        let request = Request { only: &noisy, repeats: Some(1), out, linux: None };
        let done = record::record(plan, &request, tell)?;
        if done.failed > 0 {
            return Err(Error::NotRecorded(done.failed));
        }
    }
    let cases = recorded(out)?;
    let noisy = noisy(&cases);
    if !noisy.is_empty() {
        tell(&format!("others are still busy, so that these do not count: {}", noisy.join(", ")));
    }
    let said = judge(&compare(&cases, Engine::Page, SEEDS), &noisy).map_err(Error::Drifted)?;
    tell(&said);
    Ok(())
}

fn recorded(out: &Path) -> Result<Vec<Case>, Error> {
    let text = fs::read_to_string(out).map_err(|source| unreadable(out, source))?;
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

/// What came of the cases that are neither noisy nor at the edge; what is wrong with them, if something is.
fn judge(report: &Report, noisy: &[String]) -> Result<String, String> {
    let counts: Vec<_> =
        report.cases.iter().filter(|case| !case.edge && !noisy.contains(&case.name)).collect();
    if let Some(wrong) = counts.iter().find(|case| !case.verdict_ok) {
        return Err(format!("`{}` completes on one side only", wrong.name));
    }
    let mut errors: Vec<f64> = counts.iter().filter_map(|case| case.pages_error).map(f64::abs).collect();
    errors.sort_unstable_by(f64::total_cmp);
    let Some(median) = errors.get(errors.len() / 2) else {
        return Ok("no case was quiet enough to be compared".to_owned());
    };
    let said = format!("pages are off by {:.2} % in the median of {} cases", median * 100.0, errors.len());
    if *median > MOST_DRIFT { Err(said) } else { Ok(said) }
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
        let said = judge(&compare(&quick(str::to_owned), Engine::Page, 4), &[]).unwrap();
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
}
