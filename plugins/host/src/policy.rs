//! The operator's policy: which rules are evaluated, with which settings, how severe their findings are, and which
//! findings are waived, until when and why.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use whimbrel_facts::{Finding, Verdict};

use crate::toml_file;

/// The operator's decisions.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    rules: BTreeMap<String, Decision>,
    waivers: Vec<Waiver>,
    text: String,
}

/// The decision about one rule.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Decision {
    /// Whether it is evaluated.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Severity of its findings that warn or fail. None: as the rule gives it.
    pub severity: Option<Severity>,
    /// Its settings, checked against the rule's schema. None: the rule's defaults.
    pub settings: Option<Value>,
}

/// Severity of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// It is reported.
    Warn,
    /// It stops the migration.
    Fail,
}

/// A waived finding: it does not stop a migration, for a reason and until a day.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Waiver {
    /// The rule's code.
    pub rule: String,
    /// The pointer that the finding has; without it, all findings of the rule.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The operator's reason; never empty.
    pub reason: String,
    /// The last day on which it holds, as `YYYY-MM-DD`.
    pub until: String,
}

/// All that is wrong with a set of rules.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("; "))]
pub struct PolicyError(pub Vec<String>);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    rule: BTreeMap<String, Decision>,
    #[serde(default)]
    waiver: Vec<Waiver>,
}

const fn yes() -> bool {
    true
}

impl Policy {
    /// Reads a policy file.
    ///
    /// # Errors
    /// When it is not TOML of the right form, or a waiver lacks a reason or a date.
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        let file: File = toml_file::read(text).map_err(|error| PolicyError(vec![error]))?;
        let wrong: Vec<String> = file.waiver.iter().filter_map(Waiver::complaint).collect();
        if !wrong.is_empty() {
            return Err(PolicyError(wrong));
        }
        Ok(Self { rules: file.rule, waivers: file.waiver, text: text.to_owned() })
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn decision(&self, code: &str) -> Option<&Decision> {
        self.rules.get(code)
    }

    /// Decisions and waivers about rules that do not exist: usually a misspelt code, whose rule keeps its defaults.
    pub(crate) fn unknown_codes(&self, known: &BTreeSet<String>) -> Vec<String> {
        let waived = self.waivers.iter().map(|waiver| &waiver.rule);
        let named: BTreeSet<&String> = self.rules.keys().chain(waived).collect();
        named
            .into_iter()
            .filter(|code| !known.contains(*code))
            .map(|code| format!("the policy speaks of a rule `{code}`, which no pack has"))
            .collect()
    }

    /// The waiver that applies to a finding today. Findings of the sandbox itself are never waived.
    #[must_use]
    pub fn waiver(&self, finding: &Finding, today: &str) -> Option<&Waiver> {
        let holds = |waiver: &&Waiver| {
            waiver.rule == finding.code
                && waiver.subject.as_ref().is_none_or(|subject| *subject == finding.subject)
                && today <= waiver.until.as_str()
        };
        self.waivers.iter().find(holds)
    }
}

impl Waiver {
    fn complaint(&self) -> Option<String> {
        if self.reason.trim().is_empty() {
            return Some(format!("the waiver for `{}` has no reason", self.rule));
        }
        (!is_date(&self.until)).then(|| {
            format!("the waiver for `{}`: `{}` is not a date such as 2027-01-31", self.rule, self.until)
        })
    }
}

impl From<Severity> for Verdict {
    fn from(severity: Severity) -> Self {
        match severity {
            Severity::Warn => Self::Warn,
            Severity::Fail => Self::Fail,
        }
    }
}

/// Whether the text has the form `YYYY-MM-DD`, in which dates sort as their texts do.
fn is_date(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let number = |part: &str, digits: usize, most: u32| {
        part.len() == digits && part.parse::<u32>().is_ok_and(|number| (1..=most).contains(&number))
    };
    match parts.as_slice() {
        [year, month, day] => number(year, 4, 9999) && number(month, 2, 12) && number(day, 2, 31),
        _ => false,
    }
}
