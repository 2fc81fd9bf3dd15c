//! The findings of the rules, for people and for machines.

use std::fmt::Write as _;

use whimbrel_facts::Verdict;
use whimbrel_plugins::{Judged, Judgement};

use super::args::Form;
use super::{CliError, Exit, document, print};

/// Shows every finding; the exit code is whether the migration is allowed.
pub(in crate::cli) fn show(judgement: &Judgement, form: Form) -> Result<Exit, CliError> {
    match form {
        Form::Json => {
            document(judgement)?;
        }
        Form::Text => {
            print(&text(judgement))?;
        }
    }
    Ok(if judgement.allows() { Exit::Done } else { Exit::Refused })
}

fn text(judgement: &Judgement) -> String {
    let mut text = String::new();
    for verdict in [Verdict::Fail, Verdict::Warn, Verdict::Unknown] {
        for one in judgement.findings.iter().filter(|one| one.finding.verdict == verdict) {
            entry(&mut text, one);
        }
    }
    let [fail, warn, unknown, pass] = [Verdict::Fail, Verdict::Warn, Verdict::Unknown, Verdict::Pass]
        .map(|verdict| judgement.count(verdict));
    let waived = judgement.findings.iter().filter(|one| one.waived.is_some()).count();
    // Writing into a string does not fail.
    let _ = write!(text, "{fail} fail, {warn} warn, {unknown} unknown, {pass} pass");
    if waived > 0 {
        let _ = write!(text, ", {waived} waived");
    }
    text.push_str(if judgement.allows() { ".\n" } else { ". The migration is refused.\n" });
    text
}

fn entry(text: &mut String, one: &Judged) {
    let finding = &one.finding;
    let _ = writeln!(text, "{:<8}{}: {}", finding.verdict.name(), finding.code, finding.message);
    if let Some(waiver) = &one.waived {
        let _ = writeln!(text, "        waived until {}: {}", waiver.until, waiver.reason);
        return;
    }
    if let Some(waiver) = &one.expired {
        let _ = writeln!(text, "        the waiver expired on {}: {}", waiver.until, waiver.reason);
    }
    let _ = writeln!(text, "        {}", finding.remediation);
    if !one.place.is_empty() {
        let _ = writeln!(text, "        at {}", one.place);
    }
}
