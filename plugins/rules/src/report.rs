//! How a rule reports its findings.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use whimbrel_facts::{Attribute, Finding, Scalar, Verdict};

/// The findings of one rule, while it is evaluated.
#[derive(Debug)]
pub struct Report {
    code: &'static str,
    findings: Vec<Finding>,
    seen: Vec<Attribute>,
    missing: Vec<&'static str>,
}

impl Report {
    /// An empty report of this rule.
    #[must_use]
    pub const fn new(code: &'static str) -> Self {
        Self { code, findings: Vec::new(), seen: Vec::new(), missing: Vec::new() }
    }

    /// A fact that the rule requires. When it is unknown, the rule's verdict becomes `unknown` and names it.
    pub fn need<T>(&mut self, fact: Option<T>, pointer: &'static str) -> Option<T> {
        if fact.is_none() {
            self.missing.push(pointer);
        }
        fact
    }

    /// Evidence that belongs to every finding of this rule.
    pub fn saw(&mut self, path: &str, value: impl Into<Scalar>) {
        self.seen.push(Attribute { path: path.to_owned(), value: value.into() });
    }

    /// The migration would fail or harm the guest.
    pub fn fail(&mut self, subject: impl Into<String>, message: impl Into<String>) {
        self.push(Verdict::Fail, subject.into(), message.into());
    }

    /// The operator should know it; the migration can begin.
    pub fn warn(&mut self, subject: impl Into<String>, message: impl Into<String>) {
        self.push(Verdict::Warn, subject.into(), message.into());
    }

    /// The rule cannot decide, for this reason.
    pub fn unknown(&mut self, subject: impl Into<String>, message: impl Into<String>) {
        self.push(Verdict::Unknown, subject.into(), message.into());
    }

    /// It passes, with a message of its own instead of the title.
    pub fn pass(&mut self, subject: impl Into<String>, message: impl Into<String>) {
        self.push(Verdict::Pass, subject.into(), message.into());
    }

    fn push(&mut self, verdict: Verdict, subject: String, message: String) {
        let code = self.code.to_owned();
        self.findings.push(Finding {
            code,
            verdict,
            subject,
            message,
            remediation: String::new(),
            evidence: Vec::new(),
        });
    }

    /// All findings. A rule that reported none passes under its title, unless a fact was missing.
    #[must_use]
    pub fn finish(mut self, title: &str, complete: bool) -> Vec<Finding> {
        for pointer in core::mem::take(&mut self.missing) {
            self.unknown(pointer, format!("not known: {pointer}"));
        }
        if self.findings.is_empty() {
            let verdict = if complete { Verdict::Pass } else { Verdict::Unknown };
            self.push(verdict, String::new(), title.to_owned());
        }
        for finding in &mut self.findings {
            finding.evidence.clone_from(&self.seen);
        }
        self.findings
    }
}
