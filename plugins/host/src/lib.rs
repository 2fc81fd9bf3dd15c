//! Validation rules: what can be known to go wrong before anything is changed.
//!
//! A rule is a pure function of the facts. Every rule is asked and every finding is reported at once, so that a
//! migration is mended in one go. Packs of rules are WebAssembly components that import nothing; the shipped ones are
//! inside the program, and linked natively as well. A rule must never ask a host, read a clock, or depend on another
//! rule.

pub mod build;
pub mod host;
pub mod lock;
pub mod policy;
pub mod reload;
pub mod schema;
mod set;
pub mod shipped;
mod thin;
mod toml_file;

pub use set::{Judged, Judgement, RuleSet};
pub use whimbrel_facts as facts;
pub use whimbrel_facts::xml;

use whimbrel_core::{Severity, Verdict};
use whimbrel_facts::{Finding, Verdict as Conclusion};

/// Asks every shipped rule about the core's few facts, natively: for the simulator, where a sandbox for each of a
/// million migrations would cost more than they do.
#[must_use]
pub fn judge(facts: &whimbrel_core::Facts) -> Verdict {
    verdict(shipped::ask_natively(&thin::facts(facts)))
}

/// Findings as the core takes them: those that warn or fail.
#[must_use]
pub fn verdict(findings: impl IntoIterator<Item = Finding>) -> Verdict {
    let weighed = findings.into_iter().filter_map(|finding| {
        let severity = match finding.verdict {
            Conclusion::Warn => Severity::Warning,
            Conclusion::Fail => Severity::Error,
            Conclusion::Pass | Conclusion::Unknown => return None,
        };
        let remediation = if finding.remediation.is_empty() {
            remediation(&finding.code).unwrap_or_default().to_owned()
        } else {
            finding.remediation
        };
        Some(whimbrel_core::Finding { code: finding.code, severity, message: finding.message, remediation })
    });
    Verdict { findings: weighed.collect(), basis: None }
}

fn remediation(code: &str) -> Option<&'static str> {
    let rules = shipped::SHIPPED.iter().flat_map(|pack| pack.native.rules());
    rules.into_iter().find(|rule| rule.code == code).map(|rule| rule.remediation)
}
