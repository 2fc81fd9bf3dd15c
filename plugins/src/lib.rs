//! Validation rules: what can be known to go wrong before anything is changed.
//!
//! A rule is a pure function of the facts. Every rule is asked and every finding is reported at once, so that a
//! migration is mended in one go. A rule must never ask a host, read a clock, or depend on another rule.
//!
//! Today the rules are compiled in. They are written against the facts alone, so that they can move into sandboxed
//! packs without changing their verdicts.

#![forbid(unsafe_code)]

mod rules;

use whimbrel_core::{Facts, Finding, Verdict};

/// One rule.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// Stable name, which its findings carry.
    pub code: &'static str,
    /// What it looks at and why, in a sentence.
    pub rationale: &'static str,
    check: fn(&Facts) -> Option<Remark>,
}

/// What a rule has to say about one set of facts.
struct Remark {
    severity: whimbrel_core::Severity,
    message: String,
    remediation: String,
}

/// The rules that are compiled in, in the order in which they report.
#[must_use]
pub fn rules() -> &'static [Rule] {
    rules::ALL
}

/// Asks every rule.
#[must_use]
pub fn judge(facts: &Facts) -> Verdict {
    let findings = rules().iter().filter_map(|rule| {
        let remark = (rule.check)(facts)?;
        Some(Finding {
            code: rule.code.to_owned(),
            severity: remark.severity,
            message: remark.message,
            remediation: remark.remediation,
        })
    });
    Verdict { findings: findings.collect() }
}
