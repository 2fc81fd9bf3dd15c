//! Evaluates every shipped rule in this process, without a sandbox: for the simulator, where a sandbox for each of a million
//! migrations would cost more than they do, and for builds without WebAssembly.
//!
//! It uses each rule's default settings. An operator's settings, waivers and packs belong to the host of packs, not here.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;

use whimbrel_core::{Severity, Verdict};
use whimbrel_facts::{Activation, Facts, Finding, Verdict as Conclusion};

use crate::core_facts::facts;
use crate::pack::{Pack, Rule};
use crate::packs::PACKS;

/// Evaluates every shipped rule on the core's facts. Facts that the core does not have are unknown to the rules.
#[must_use]
pub fn judge(known: &whimbrel_core::Facts) -> Verdict {
    verdict(evaluate(&facts(known)))
}

/// The findings of every shipped rule, in the order of the packs.
#[must_use]
pub fn evaluate(facts: &Facts) -> Vec<Finding> {
    let check = |pack: &Pack| {
        let activate = |rule: &Rule| Activation { code: rule.code.into(), settings: String::new() };
        pack.check(facts, &pack.rules().map(activate).collect::<Vec<_>>())
    };
    PACKS.iter().flat_map(check).collect()
}

/// Findings in the core's form: only those that warn or fail. A finding without a remediation gets the rule's own.
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
    let rules = PACKS.iter().flat_map(Pack::rules);
    rules.into_iter().find(|rule| rule.code == code).map(|rule| rule.remediation)
}
