//! The operator's policy: which rules are evaluated, with which settings, how severe their findings are, what counts
//! where a rule cannot decide, and which findings are waived, for which guest, until when and why.
//!
//! A decision that has no effect must be visible: a misspelt rule, an impossible date and a position instead of a name are
//! refused, and an expired waiver is reported beside the finding that it covered.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use whimbrel_facts::{Facts, Finding, Verdict};

use crate::place::{disk, has_position};
use crate::toml_file;

/// The operator's decisions.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    rules: BTreeMap<String, Decision>,
    unknowns: Vec<Unknown>,
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

/// What counts where a rule cannot decide.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Unknown {
    /// The rule's code, or its beginning before a `*`. None: every rule.
    pub rule: Option<String>,
    /// The guest's name or UUID. None: every guest.
    pub guest: Option<String>,
    /// The disk by its target, such as `vda`, its layers included. None: every finding.
    pub disk: Option<String>,
    /// The severity of the finding.
    #[serde(default = "fail")]
    pub severity: Severity,
}

/// A waived finding: it does not stop a migration, for a reason and until a day.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Waiver {
    /// The rule's code.
    pub rule: String,
    /// The guest's name or UUID; without it, every guest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guest: Option<String>,
    /// The place of the finding, with names instead of positions; without it, all findings of the rule.
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
    unknown: Vec<Unknown>,
    #[serde(default)]
    waiver: Vec<Waiver>,
}

const fn yes() -> bool {
    true
}

const fn fail() -> Severity {
    Severity::Fail
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
        Ok(Self { rules: file.rule, unknowns: file.unknown, waivers: file.waiver, text: text.to_owned() })
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
        let weighed = self.unknowns.iter().filter_map(|unknown| unknown.rule.as_ref());
        let named: BTreeSet<&String> = self.rules.keys().chain(waived).chain(weighed).collect();
        let is_known = |code: &str| match code.strip_suffix('*') {
            Some(beginning) => known.iter().any(|known| known.starts_with(beginning)),
            None => known.contains(code),
        };
        let wrong = named.into_iter().filter(|code| !is_known(code));
        wrong
            .map(|code| {
                let near = crate::near::nearest(code, known.iter().map(String::as_str));
                let hint = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
                format!("the settings name a rule `{code}`, which no pack has{hint}")
            })
            .collect()
    }

    /// The severity of a finding that is unknown. None: it stays unknown.
    pub(crate) fn severity_of_unknown(
        &self,
        finding: &Finding,
        facts: &Facts,
        place: &str,
    ) -> Option<Severity> {
        let is_rule = |rule: &String| match rule.strip_suffix('*') {
            Some(beginning) => finding.code.starts_with(beginning),
            None => *rule == finding.code,
        };
        let applies = |unknown: &&Unknown| {
            unknown.rule.as_ref().is_none_or(is_rule)
                && unknown.guest.as_ref().is_none_or(|guest| is_guest(facts, guest))
                && unknown.disk.as_ref().is_none_or(|target| disk(place) == Some(target))
        };
        // The gravest decides: an exception is made by a waiver, which has a reason and an end.
        let mut found =
            self.unknowns.iter().filter(applies).map(|unknown| unknown.severity).collect::<Vec<_>>();
        found.sort_by_key(|severity| *severity == Severity::Warn);
        found.first().copied()
    }

    /// The waiver that applies to a finding at this place, and whether it still holds today. Findings of the sandbox itself
    /// are never waived. One that holds comes before one that has expired.
    #[must_use]
    pub fn waiver(
        &self,
        finding: &Finding,
        facts: &Facts,
        place: &str,
        today: &str,
    ) -> Option<(&Waiver, bool)> {
        let covers = |waiver: &&Waiver| {
            waiver.rule == finding.code
                && waiver.guest.as_ref().is_none_or(|guest| is_guest(facts, guest))
                && waiver
                    .subject
                    .as_ref()
                    .is_none_or(|subject| *subject == place || *subject == finding.subject)
        };
        let mut found: Vec<_> = self
            .waivers
            .iter()
            .filter(covers)
            .map(|waiver| (waiver, today <= waiver.until.as_str()))
            .collect();
        found.sort_by_key(|(_, holds)| !holds);
        found.first().copied()
    }
}

/// Whether the facts are about this guest, by its name or its UUID.
fn is_guest(facts: &Facts, wanted: &str) -> bool {
    facts.guest.as_ref().is_some_and(|guest| guest.name == wanted || guest.uuid.eq_ignore_ascii_case(wanted))
}

impl Waiver {
    fn complaint(&self) -> Option<String> {
        if self.reason.trim().is_empty() {
            return Some(format!("the waiver for `{}` has no reason", self.rule));
        }
        if let Some(subject) = self.subject.as_ref().filter(|subject| has_position(subject)) {
            return Some(format!(
                "the waiver for `{}`: `{subject}` has a position, which is another disk in another order: write the place that \
                 `whimbrel check` shows, such as `/guest/disks/vda/cache`",
                self.rule
            ));
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

/// Whether the text is a day of the calendar as `YYYY-MM-DD`, in which dates sort as their texts do.
fn is_date(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let number = |part: &str, digits: usize| {
        let is_number = part.len() == digits && part.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| part.parse::<u32>().ok()).flatten().filter(|number| *number > 0)
    };
    let [year, month, day] = parts.as_slice() else { return false };
    let (Some(year), Some(month), Some(day)) = (number(year, 4), number(month, 2), number(day, 2)) else {
        return false;
    };
    let is_leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let days = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if is_leap => 29,
        2 => 28,
        _ => return false,
    };
    day <= days
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_days_of_the_calendar_are_dates() {
        for date in ["2027-01-31", "2028-02-29", "2000-02-29", "2099-12-31"] {
            assert!(is_date(date), "{date}");
        }
        for date in [
            "2099-02-30",
            "2027-02-29",
            "2100-02-29",
            "2027-04-31",
            "2027-13-01",
            "2027-00-10",
            "2027-1-1",
            "+027-01-01",
            "",
        ] {
            assert!(!is_date(date), "{date}");
        }
    }
}
