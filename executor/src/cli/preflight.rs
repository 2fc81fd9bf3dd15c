//! What `whimbrel migrate` asks the rules before it begins: every rule, on the facts of both hosts.
//!
//! Facts that could not be had are a finding. It must never let a migration begin as if it had been judged on them.

use serde_json::{Value, json};
use whimbrel_core::{Facts as Known, Verdict};
use whimbrel_plugins::facts::Facts;
use whimbrel_plugins::{Judgement, RuleSet};

use super::asked::Asked;
use super::rule::{load_set, today};
use super::{CliError, say};
use crate::hosts::Hosts;

/// The rules, and what the hosts told for them.
pub(super) struct Preflight {
    set: RuleSet,
    told: Told,
}

enum Told {
    /// All that rules can be told.
    Everything(Box<Facts>),
    /// The hosts did not tell, and why.
    Nothing(String),
}

impl Preflight {
    /// Loads the rules and asks the hosts. Blocks for as long as they take to answer.
    ///
    /// # Errors
    /// When the rules, or the definition for the destination, cannot be used.
    pub(super) fn new(
        asked: &Asked,
        hosts: &Hosts,
        destination_xml: Option<String>,
    ) -> Result<Self, CliError> {
        let set = load_set(&asked.rules)?;
        let told = match hosts.facts(&asked.inquiry(destination_xml)) {
            Ok(mut facts) => {
                facts.request = Some(asked.request());
                Told::Everything(Box::new(facts))
            }
            Err(error) => Told::Nothing(error.to_string()),
        };
        Ok(Self { set, told })
    }

    /// What the rules say, as the core takes it, of a migration of which it knows this much.
    pub(super) fn judge(&self, known: &Known) -> Verdict {
        let judgement = self.judgement(known);
        let unknown = judgement.count(whimbrel_plugins::facts::Verdict::Unknown);
        if unknown > 0 && matches!(self.told, Told::Everything(_)) {
            say(&format!("preflight: {unknown} findings are unknown; `whimbrel check` names them"));
        }
        let basis = self.basis(known, &judgement);
        let forceful = judgement.findings.into_iter().filter(|one| one.waived.is_none());
        Verdict { basis, ..whimbrel_plugins::verdict(forceful.map(|one| one.finding)) }
    }

    /// What was judged, and by which rules, for the journal: whoever reads it can ask them again.
    fn basis(&self, known: &Known, judgement: &Judgement) -> Option<Value> {
        match &self.told {
            Told::Everything(facts) if is_of(facts, known) => {
                Some(json!({ "set": judgement.set, "facts": facts }))
            }
            Told::Everything(_) | Told::Nothing(_) => None,
        }
    }

    fn judgement(&self, known: &Known) -> Judgement {
        match &self.told {
            Told::Everything(facts) if is_of(facts, known) => self.set.judge(facts, &today()),
            Told::Everything(_) => {
                let why = "another guest has had this name since the hosts were asked";
                self.set.judge_without(known, why, &today())
            }
            Told::Nothing(why) => self.set.judge_without(known, why, &today()),
        }
    }
}

/// A name may have gone to another guest between two questions; a UUID does not.
fn is_of(facts: &Facts, known: &Known) -> bool {
    facts.guest.as_ref().is_some_and(|guest| guest.uuid == known.guest.uuid)
}
