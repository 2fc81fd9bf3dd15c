//! The page engine against every recorded migration of real QEMU.
//!
//! The bounds are what holds today with a margin, not what was wished for: they notice when the engine gets worse.

#![expect(clippy::unwrap_used, reason = "a failing helper fails the test")]

use whimbrel_sim::fidelity::{CaseReport, Report, compare, read};

const SEEDS: u64 = 16;
/// From this limit on the two recording cores could not keep up beside a busy guest: repeats of one case took 1.1 and
/// 2.4 s. The engine knows no such contention, so there it must only reach the verdict and not be slower.
const BEYOND_THE_HOST: [&str; 2] = ["uni-64Ki-10000-bw200", "uni-64Ki-20000-bw400"];

fn report() -> Report {
    compare(&read(include_str!("data/qemu-7.2-tcg.jsonl")).unwrap(), SEEDS)
}

fn met_by_the_host(report: &Report) -> impl Iterator<Item = &CaseReport> {
    report.cases.iter().filter(|case| !BEYOND_THE_HOST.contains(&case.name.as_str()))
}

#[test]
fn recorded_migrations_are_met() {
    let report = report();
    println!("{:#?}", report.summary);
    assert_eq!(report.cases.len(), 18);
    for case in met_by_the_host(&report) {
        let pages = case.pages_error.unwrap_or(0.0).abs();
        assert!(pages <= 0.025, "{}: pages off by {pages}", case.name);
        let (time, time_ms) = (case.time_error.unwrap_or(0.0).abs(), case.time_error_ms.unwrap_or(0.0));
        assert!(time <= 0.07, "{}: time off by {time}, {time_ms} ms", case.name);
        assert_eq!(case.syncs_in_range, Some(true), "{}: {:?}", case.name, case.simulated);
        let downtime_ms = case.downtime_error_ms.unwrap_or(0.0);
        assert!(downtime_ms.abs() <= 30.0, "{}: downtime off by {downtime_ms} ms", case.name);
    }
    for case in report.cases.iter().filter(|case| BEYOND_THE_HOST.contains(&case.name.as_str())) {
        assert!(case.pages_error.unwrap() <= 0.02 && case.time_error.unwrap() <= 0.06, "{case:?}");
    }
}

#[test]
fn no_verdict_is_wrong() {
    let report = report();
    let wrong: Vec<&CaseReport> = report.cases.iter().filter(|case| !case.verdict_ok).collect();
    assert_eq!((wrong.len(), report.summary.wrong_verdicts), (0, 0), "{wrong:?}");
    assert!(report.cases.iter().all(|case| !case.edge), "no recorded case ended both ways");
}

#[test]
fn what_is_not_modelled_is_listed() {
    let names: Vec<(String, String)> =
        report().skipped.into_iter().map(|skipped| (skipped.name, skipped.reason)).collect();
    let expected = [
        ("pc-uni-64Ki-40000", "the engine has no `postcopy-ram`"),
        ("mfd-uni-64Ki-10000", "the engine has no `multifd`"),
    ];
    assert_eq!(names, expected.map(|(name, reason)| (name.to_owned(), reason.to_owned())));
}

#[test]
fn the_same_seeds_give_the_same_report() {
    assert_eq!(report(), report());
}
