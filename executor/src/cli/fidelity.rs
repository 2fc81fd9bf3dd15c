//! `whimbrel fidelity`: the simulator compared with recorded migrations of real QEMU.

use std::fmt::Write as _;

use serde::Serialize;
use whimbrel_verify::fidelity::{CaseReport, EdgeReport, Report, Summary, compare_watched, migrations, read};

use super::args::{Fidelity, FidelityFormat};
use super::progress::Progress;
use super::stop::{Partial, Stop};
use super::{CliError, Exit, give, input, unwritten};

const SCHEMA: &str = "whimbrel.fidelity/1";
/// Placeholder for a missing number.
const NONE: &str = "-";

pub(super) fn run(arguments: &Fidelity) -> Result<Exit, CliError> {
    let path = &arguments.runs;
    let text = input::text(path)?;
    let cases = read(&text).map_err(|source| CliError::Recordings { path: path.clone(), source })?;
    let stop = Stop::listen()?;
    let progress = Progress::new("fidelity", "migrations", migrations(&cases, arguments.seeds), &stop);
    let report = compare_watched(&cases, arguments.engine.into(), arguments.seeds, || progress.add_one());
    drop(progress);
    let partial = partial(&report, cases.len());
    let written = match arguments.format {
        FidelityFormat::Text => {
            partial.map_or_else(String::new, |partial| partial.heading()) + &table(&report)
        }
        FidelityFormat::Json => document(&report, partial).map_err(|source| unwritten(source.into()))?,
    };
    give(&written)?;
    Ok(if partial.is_some() { Exit::Interrupted } else { Exit::Done })
}

#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    partial: Option<Partial>,
    #[serde(flatten)]
    report: &'a Report,
}

fn document(report: &Report, partial: Option<Partial>) -> serde_json::Result<String> {
    Ok(serde_json::to_string(&Document { schema: SCHEMA, partial, report })? + "\n")
}

fn partial(report: &Report, cases: usize) -> Option<Partial> {
    let done = report.cases.len() + report.workloads.len() + report.not_simulated.len();
    report.is_stopped.then_some(Partial { done: done as u64, of: cases as u64, unit: "cases" })
}

fn table(report: &Report) -> String {
    let cases = report.cases.iter().map(|case| case.name.as_str());
    let width = cases.chain(["case"]).map(|name| name.chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    // Writing into a string does not fail.
    let _ = writeln!(
        text,
        "{:width$}  verdict  {:>9} {:>8}  {:>8} {:>8} {:>8}  {:>9} {:>6}  {:>8} {:>8}",
        "case", "pages", "error", "time", "error", "", "syncs", "", "downtime", "error"
    );
    for case in &report.cases {
        let _ = writeln!(text, "{}", row(case, width));
    }
    for workload in &report.workloads {
        let _ = writeln!(text, "{}", row(&workload.case, width));
    }
    for case in &report.not_simulated {
        let _ = writeln!(text, "{:width$}  not simulated: {}", case.name, case.reason);
    }
    if !report.edge.is_empty() {
        let _ = writeln!(text, "\nedge cases, as distributions; not in the summaries");
    }
    for edge in &report.edge {
        let _ = writeln!(text, "{}", edge_row(edge, width));
    }
    let _ = writeln!(
        text,
        "\nengine {}, {} seeds a case; errors of the simulated median against the recorded one\n\
         {} cases not simulated, {} edge cases; {} of {} recorded runs on a noisy host",
        report.engine,
        report.seeds,
        report.not_simulated.len(),
        report.edge.len(),
        report.noisy_runs[0],
        report.noisy_runs[1],
    );
    summary(&mut text, "all but the edge cases", &report.summary);
    summary(&mut text, "those of a quiet host", &report.summary_quiet);
    if !report.workloads.is_empty() {
        summary(&mut text, "Linux guests, forecast from what was known before", &report.workloads_summary);
    }
    let not_judged = if report.is_stopped { ": not judged, because cases are missing" } else { "" };
    let _ = writeln!(text, "\ntargets{not_judged}");
    for target in &report.targets {
        let met = if target.met { "met" } else { "MISSED" };
        let value = target.value.map_or(NONE.to_owned(), |value| format!("{value:.4}"));
        let _ = writeln!(text, "{:22} {value:>8} of {:<8} {met}", target.name, target.limit);
    }
    let _ = writeln!(text, "\nthe host, from idle runs");
    for constant in &report.host {
        let source = match constant.idle_runs {
            0 => "default".to_owned(),
            runs => format!("{runs} runs"),
        };
        let _ = writeln!(text, "{:27} {:>13}  {source}", constant.name, constant.value);
    }
    text
}

fn summary(text: &mut String, of: &str, summary: &Summary) {
    let _ = write!(
        text,
        "\n{of}: {} cases\n\
         pages    mean {}, most {}\n\
         time     median {}, most {}\n\
         syncs    {} in QEMU's own range, widened by one\n\
         verdicts {} wrong\n",
        summary.cases,
        percent(summary.pages_error_mean),
        percent(summary.pages_error_max),
        percent(summary.time_error_median),
        percent(summary.time_error_max),
        summary.syncs_in_range_share.map_or(NONE.to_owned(), |share| format!("{:.0} %", share * 100.0)),
        summary.wrong_verdicts,
    );
}

fn edge_row(edge: &EdgeReport, width: usize) -> String {
    let p = |p: Option<f64>| p.map_or(NONE.to_owned(), |p| format!("{p:.3}"));
    let simulated = edge
        .simulated_ms
        .map_or(NONE.to_owned(), |[low, middle, high]| format!("{middle:.0} ({low:.0}..{high:.0}) ms"));
    let recorded: Vec<String> = edge.recorded_ms.iter().map(|ms| format!("{ms:.0}")).collect();
    format!(
        "{:width$}  completes {} of {}, simulated {:.0} %; time {} ms, simulated {simulated}, p {}; pages p {}; {}",
        edge.name,
        edge.recorded_completed[0],
        edge.recorded_completed[1],
        edge.simulated_completes * 100.0,
        if recorded.is_empty() { NONE.to_owned() } else { recorded.join(", ") },
        p(edge.time_p),
        p(edge.pages_p),
        edge.reason,
    )
}

fn row(case: &CaseReport, width: usize) -> String {
    let verdict = match (case.edge, case.verdict_ok) {
        (true, _) => "edge",
        (false, true) => "right",
        (false, false) => "WRONG",
    };
    let recorded = &case.recorded;
    let range = match (recorded.syncs_min, recorded.syncs_max) {
        (Some(least), Some(most)) => format!("{least}..{most}"),
        _ => NONE.to_owned(),
    };
    let syncs = case.simulated.syncs.map_or(NONE.to_owned(), |syncs| format!("{syncs}"));
    format!(
        "{:width$}  {verdict:7}  {:>9} {:>8}  {:>8} {:>8} {:>8}  {range:>9} {syncs:>6}  {:>8} {:>8}",
        case.name,
        whole(recorded.pages, ""),
        signed_percent(case.pages_error),
        whole(recorded.time_ms, " ms"),
        signed_percent(case.time_error),
        signed(case.time_error_ms),
        whole(recorded.downtime_ms, " ms"),
        signed(case.downtime_error_ms),
    )
}

fn whole(value: Option<f64>, unit: &str) -> String {
    value.map_or(NONE.to_owned(), |value| format!("{value:.0}{unit}"))
}

fn signed(value_ms: Option<f64>) -> String {
    // Adding zero takes the sign off a zero that was rounded to.
    value_ms.map_or(NONE.to_owned(), |value| format!("{:+.0} ms", value.round() + 0.0))
}

fn signed_percent(fraction: Option<f64>) -> String {
    fraction.map_or(NONE.to_owned(), |fraction| format!("{:+.2} %", fraction * 100.0))
}

fn percent(fraction: Option<f64>) -> String {
    fraction.map_or(NONE.to_owned(), |fraction| format!("{:.2} %", fraction * 100.0))
}
