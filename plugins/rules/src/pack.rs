//! Packs: named sets of rules, and how they answer the contract's calls.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;

use whimbrel_facts::{About, Activation, FactGroup, Facts, Finding, Phase, SettingsError};

use crate::case::Case;
use crate::offline;
use crate::report::Report;
use crate::settings::{Setting, Settings, schema};

/// A rule as a row of a pack's table.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// Stable code, which its findings carry.
    pub code: &'static str,
    /// The statement that holds when it passes.
    pub title: &'static str,
    /// Why it matters.
    pub rationale: &'static str,
    /// What to do when it does not pass.
    pub remediation: &'static str,
    /// Settings that the operator can change.
    pub settings: &'static [Setting],
    /// Evaluates it; none when a fact was missing.
    pub check: fn(&Case<'_>, &mut Report) -> Option<()>,
}

/// Rules that see the same facts.
#[derive(Clone, Copy, Debug)]
pub struct Pack {
    /// Stable name, such as `whimbrel.storage`.
    pub name: &'static str,
    /// The subject of its rules, in one line.
    pub summary: &'static str,
    /// Groups of facts that its rules receive.
    pub needs: &'static [FactGroup],
    /// Its rules, in tables by subject.
    pub rules: &'static [&'static [Rule]],
}

/// A rule without settings.
pub(crate) const fn rule(
    code: &'static str,
    title: &'static str,
    rationale: &'static str,
    remediation: &'static str,
    check: fn(&Case<'_>, &mut Report) -> Option<()>,
) -> Rule {
    Rule { code, title, rationale, remediation, settings: &[], check }
}

impl Pack {
    /// Its rules, in the order in which they report.
    pub fn rules(&self) -> impl Iterator<Item = &'static Rule> + use<> {
        self.rules.iter().flat_map(|table| table.iter())
    }

    /// Its description, the answer to `describe`.
    #[must_use]
    pub fn about(&self) -> About {
        About {
            name: self.name.to_owned(),
            version: crate::VERSION.to_owned(),
            summary: self.summary.to_owned(),
            documentation: "docs/rules.md".to_owned(),
            needs: self.needs.to_vec(),
            rules: self.rules().map(described).collect(),
        }
    }

    /// All that is wrong with these settings; empty when they fit.
    #[must_use]
    pub fn validate_settings(&self, activation: &Activation) -> Vec<SettingsError> {
        let Some(rule) = self.find(&activation.code) else {
            return unknown_rule(&activation.code);
        };
        Settings::parse(rule.settings, &activation.settings).err().unwrap_or_default()
    }

    /// Evaluates these rules. One that is not in the pack, or has wrong settings, gives no finding: the host sees it.
    #[must_use]
    pub fn check(&self, facts: &Facts, activations: &[Activation]) -> Vec<Finding> {
        let mut findings = Vec::new();
        for activation in activations {
            let Some(rule) = self.find(&activation.code) else { continue };
            let Ok(settings) = Settings::parse(rule.settings, &activation.settings) else { continue };
            findings.extend(rule.ask(&Case::new(facts, &settings)));
        }
        findings
    }

    fn find(&self, code: &str) -> Option<&'static Rule> {
        self.rules().find(|rule| rule.code == code)
    }
}

impl Rule {
    /// Its findings on one case, at least one.
    #[must_use]
    pub fn ask(&self, case: &Case<'_>) -> Vec<Finding> {
        let mut report = Report::new(self.code);
        let complete = (self.check)(case, &mut report).is_some();
        let findings = report.finish(self.title, complete);
        if case.is_offline() == Some(true) { offline::judged(self.code, findings) } else { findings }
    }
}

fn described(rule: &Rule) -> whimbrel_facts::Rule {
    whimbrel_facts::Rule {
        code: rule.code.to_owned(),
        title: rule.title.to_owned(),
        rationale: rule.rationale.to_owned(),
        remediation: rule.remediation.to_owned(),
        phases: [Phase::Plan, Phase::Preflight].to_vec(),
        settings_schema: if rule.settings.is_empty() { String::new() } else { schema(rule.settings) },
    }
}

fn unknown_rule(code: &str) -> Vec<SettingsError> {
    let message = alloc::format!("this pack has no rule `{code}`");
    [SettingsError { pointer: String::new(), message }].to_vec()
}
