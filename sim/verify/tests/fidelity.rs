//! The engines against every recorded migration of real QEMU.

#![expect(clippy::unwrap_used, reason = "a failing helper fails the test")]

use std::sync::LazyLock;

use whimbrel_sim::qemu::Engine;
use whimbrel_verify::fidelity::{CaseReport, Report, compare, read};

/// A noisy host, and a quiet one.
const NOISY: &str = include_str!("../../tests/data/qemu-7.2-tcg.jsonl");
const QUIET: &str = include_str!("../../tests/data/qemu-7.2-quiet.jsonl");
const SEEDS: u64 = 16;
/// Missed, and named here so that nothing else may join it: an idle guest's destination scans its zero pages
/// more slowly than the source, and libvirt's return path waits.
const DOWNTIME_MISSED: [&str; 1] = ["libvirt-idle-512M"];

static QUIET_REPORT: LazyLock<Report> = LazyLock::new(|| report(QUIET, Engine::Page));
static NOISY_REPORT: LazyLock<Report> = LazyLock::new(|| report(NOISY, Engine::Page));

fn report(text: &str, engine: Engine) -> Report {
    compare(&read(text).unwrap(), engine, SEEDS)
}

fn missed(report: &Report) -> Vec<&str> {
    report.targets.iter().filter(|target| !target.met).map(|target| target.name).collect()
}

fn case<'a>(report: &'a Report, name: &str) -> &'a CaseReport {
    report.cases.iter().find(|case| case.name == name).unwrap()
}

#[test]
fn a_quiet_host_is_met() {
    let report = &*QUIET_REPORT;
    println!("{:#?}", report.summary);
    assert_eq!((report.cases.len(), report.workloads.len(), report.not_simulated.len()), (79, 8, 1));
    assert!(report.summary.cases >= 54, "{}", report.summary.cases);
    assert_eq!(missed(report), ["cases_beyond_downtime"]);
    for case in report.cases.iter().filter(|case| !case.edge) {
        let (recorded_ms, error_ms) = (case.recorded.downtime_ms, case.downtime_error_ms);
        let allowed_ms = (recorded_ms.unwrap_or(0.0) * 0.25).max(5.0);
        let within = error_ms.unwrap_or(0.0).abs() <= allowed_ms;
        let scatters = case.recorded.downtime_max_ms > recorded_ms.map(|ms| ms + allowed_ms / 2.0);
        assert!(
            within || scatters || DOWNTIME_MISSED.contains(&case.name.as_str()),
            "{}: downtime off by {error_ms:?} ms",
            case.name
        );
    }
}

#[test]
fn the_other_engines_follow() {
    let lumped = report(QUIET, Engine::Lumped);
    assert_eq!(missed(&lumped), ["cases_beyond_downtime"], "{:#?}", lumped.targets);
    let mean = report(QUIET, Engine::Mean);
    assert_eq!(missed(&mean), [""; 0], "{:#?}", mean.targets);
    assert_eq!((lumped.summary.wrong_verdicts, mean.summary.wrong_verdicts), (0, 0));
}

/// Most repeats there lie farther apart than the targets allow, and what is left are eight cases.
#[test]
fn a_noisy_host_is_met_as_far_as_it_agrees_with_itself() {
    let report = &*NOISY_REPORT;
    println!("{:#?}", report.summary);
    assert_eq!(report.cases.len(), 20);
    assert!(report.noisy_runs[0] > 20, "{:?}", report.noisy_runs);
    assert!(report.cases.iter().all(|case| case.verdict_ok), "{:#?}", report.cases);
    assert!(report.cases.iter().filter(|case| !case.edge).all(|case| case.syncs_in_range == Some(true)));
    assert_eq!(missed(report), [""; 0], "{:#?}", report.targets);
    for case in report.cases.iter().filter(|case| !case.name.contains("-bw")) {
        assert!(case.pages_error.unwrap().abs() <= 0.025, "{}: {:?}", case.name, case.pages_error);
    }
}

/// Nothing but the host's clock is left to chance in an idle guest.
#[test]
fn an_idle_run_is_reproduced_exactly() {
    for (report, name) in
        [(&*QUIET_REPORT, "idle-1G-bw200"), (&*QUIET_REPORT, "idle-512M"), (&*NOISY_REPORT, "idle-256M")]
    {
        let case = case(report, name);
        let close = |error: Option<f64>, most: f64| error.unwrap().abs() <= most;
        assert!(close(case.pages_error, 1e-9), "{case:#?}");
        // One page of zeros of the firmware's differs between the two guests.
        assert!(close(case.zero_pages_error, 1e-4), "{case:#?}");
        assert!(close(case.transferred_error, 1e-4), "{case:#?}");
        assert_eq!((case.simulated.syncs, case.simulated.syncs_max), (Some(3.0), Some(3)));
    }
}

#[test]
fn zero_pages_and_bytes_are_compared() {
    for case in QUIET_REPORT.cases.iter().filter(|case| !case.edge) {
        let zeros = case.zero_pages_error.unwrap().abs();
        assert!(zeros <= 0.001 || case.name.contains("unfilled"), "{}: zero pages off by {zeros}", case.name);
        let bytes = case.transferred_error.unwrap().abs();
        let is_encoded =
            case.name.contains("xbzrle") || case.name.contains("zlib") || case.name.contains("zstd");
        assert!(bytes <= 0.015 || is_encoded, "{}: bytes off by {bytes}", case.name);
    }
}

#[test]
fn linux_guests_are_forecast_apart() {
    let report = &*QUIET_REPORT;
    assert_eq!(report.workloads_summary.cases, 8);
    assert!(report.workloads.iter().all(|workload| workload.case.verdict_ok && workload.law_error < 0.05));
    assert!(report.workloads_summary.time_error_median.unwrap() <= 0.04);
    assert!(report.cases.iter().all(|case| !case.name.starts_with("linux")));
}

#[test]
fn what_is_not_simulated_is_listed() {
    let [disk] = QUIET_REPORT.not_simulated.as_slice() else { panic!("{:?}", QUIET_REPORT.not_simulated) };
    assert_eq!((disk.name.as_str(), disk.runs), ("libvirt-disk256M-64Ki-5000", 1));
    assert!(disk.reason.contains("a disk of 256 MiB"), "{}", disk.reason);
}

#[test]
fn edge_cases_are_never_out_of_sight() {
    let report = &*QUIET_REPORT;
    let marked: Vec<&str> =
        report.cases.iter().filter(|case| case.edge).map(|case| case.name.as_str()).collect();
    let told: Vec<&str> = report.edge.iter().map(|edge| edge.name.as_str()).collect();
    assert_eq!(marked, told);
    let reason =
        |name: &str| report.edge.iter().find(|edge| edge.name == name).map(|edge| edge.reason.as_str());
    assert_eq!(reason("ac-cpu-16Ki"), Some("recorded repeats end both ways"));
    assert!(reason("edge-64Ki-28000").unwrap().starts_with("within 5 % of its threshold"));
    assert!(reason("uni-112Ki-10000-bw0-dl50").unwrap().starts_with("recorded repeats scatter"));
    assert!(reason("idle-2G-bw0").unwrap().starts_with("idle runs leave"));
    assert_eq!(reason("never-64Ki-40000"), None);
}

#[test]
fn the_same_seeds_give_the_same_report() {
    assert_eq!(report(NOISY, Engine::Page), *NOISY_REPORT);
}

/// Two repeats of a case that never converges, some of them reported as completed.
fn told_as_completed(forged: usize) -> (Report, CaseReport) {
    let told = |(number, line): (usize, &str)| {
        if number < forged { line.replace("\"timeout\",", "\"completed\",") } else { line.to_owned() }
    };
    let of_case = NOISY.lines().filter(|line| line.contains("\"uni-4Ki-50000-dl100\""));
    let lines: Vec<String> = of_case.take(2).enumerate().map(told).collect();
    assert_eq!(lines.len(), 2);
    let mut report = compare(&read(&lines.join("\n")).unwrap(), Engine::Page, 2);
    let case = report.cases.remove(0);
    (report, case)
}

#[test]
fn a_wrong_verdict_is_seen_and_has_no_errors_to_hide_behind() {
    let ((_, right), (both, edge), (of_wrong, wrong)) =
        (told_as_completed(0), told_as_completed(1), told_as_completed(2));
    assert!((right.verdict_ok, right.edge) == (true, false) && right.pages_error.is_some());
    assert_eq!(right.time_error, None, "what the recorder cut off has no time of its own");
    assert!(
        edge.edge && both.edge[0].recorded_completed == [1, 2] && both.edge[0].simulated_completes == 0.0
    );
    assert_eq!((wrong.verdict_ok, wrong.edge, of_wrong.summary.wrong_verdicts), (false, false, 1));
    assert!(missed(&of_wrong).contains(&"wrong_verdicts"));
    assert_eq!((wrong.pages_error, wrong.time_error, wrong.syncs_in_range), (None, None, None));
}

#[test]
fn errors_are_signed_fractions_of_what_was_recorded() {
    let line = NOISY.lines().find(|line| line.contains("\"uni-64Ki-5000\"")).unwrap();
    let pages = |line: &str| read(line).unwrap()[0].repeats[0].run.normal_pages;
    let half = pages(line) / 2;
    let forged = line.replace(&format!("\"normal\": {}", pages(line)), &format!("\"normal\": {half}"));
    assert_eq!(pages(&forged), half);
    let error = |line: &str| compare(&read(line).unwrap(), Engine::Page, 4).cases[0].pages_error.unwrap();
    assert!((error(&forged) - (2.0 * error(line) + 1.0)).abs() < 1e-3, "{} {}", error(&forged), error(line));
}

/// However a judged recording went, its own simulation is the same.
#[test]
fn nothing_is_taken_from_a_judged_case() {
    let slower = |name: &str| -> String {
        let named = format!("\"{name}\"");
        let told = |line: &str| {
            if !line.contains(&named) {
                return line.to_owned();
            }
            line.replace(",100,", ",104,")
                .replace("\"setup_ms\":", "\"setup_ms\":1")
                .replace("\"down_ms\":", "\"down_ms\":5")
        };
        QUIET.lines().map(|line| told(line) + "\n").collect()
    };
    let report = |text: &str| compare(&read(text).unwrap(), Engine::Page, 2);
    let told = report(QUIET);
    for name in ["idle-512M-bw30", "uni-64Ki-10000"] {
        let forged = report(&slower(name));
        assert_eq!(case(&forged, name).simulated, case(&told, name).simulated, "{name}");
        assert_eq!(forged.host == told.host, !name.starts_with("idle"), "{name}");
    }
}
