//! The rules that are evaluated: packs, with the operator's decisions about their rules.
//!
//! A set never changes. A migration keeps the one that it began with, whatever is loaded meanwhile. A rule that could
//! not answer must never count as one that passed.

use std::cell::OnceCell;
use std::collections::BTreeSet;

use serde::Serialize;
use whimbrel_facts::{Activation, Facts, Finding, Phase, Rule, Verdict};

use crate::evaluation::evaluate;
use crate::host::{Pack, digest};
use crate::policy::{Policy, PolicyError, Waiver};

/// Packs and the decisions about their rules.
#[derive(Clone, Debug)]
pub struct RuleSet {
    packs: Vec<(Pack, Vec<Activation>)>,
    policy: Policy,
    digest: String,
}

/// The result of all rules for one migration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Judgement {
    /// Version of this document's format.
    pub schema: &'static str,
    /// Digest of the set that judged.
    pub set: String,
    /// Digest of the facts.
    pub facts: String,
    /// Fuel that it used: about one unit for each instruction.
    pub fuel: u64,
    /// In the order of packs and of their rules.
    pub findings: Vec<Judged>,
}

/// One finding, with the operator's decision about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Judged {
    /// The pack it comes from.
    pub pack: String,
    /// The finding; its remediation is the rule's own where the finding has none.
    #[serde(flatten)]
    pub finding: Finding,
    /// The finding's subject with names instead of positions, as waivers name it. Empty: as the finding's.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub place: String,
    /// The waiver that keeps it from stopping the migration. None: it is not waived.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waived: Option<Waiver>,
    /// The waiver that covered it until it expired. None: there is none, or another one holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expired: Option<Waiver>,
}

const SCHEMA: &str = "whimbrel.judgement/1";

impl RuleSet {
    /// A set of these packs under this policy.
    ///
    /// # Errors
    /// When two packs share a name or a code, or the policy names a rule that does not exist, or has settings that do
    /// not fit.
    pub fn new(packs: Vec<Pack>, policy: Policy) -> Result<Self, PolicyError> {
        let mut wrong = Vec::new();
        let (mut names, mut codes) = (BTreeSet::new(), BTreeSet::new());
        for pack in &packs {
            if !names.insert(pack.about().name.clone()) {
                wrong.push(format!("two packs have the name `{}`", pack.about().name));
            }
            for rule in &pack.about().rules {
                if !codes.insert(rule.code.clone()) {
                    wrong.push(format!("two packs have a rule `{}`", rule.code));
                }
            }
        }
        wrong.extend(policy.unknown_codes(&codes));
        let mut active = Vec::new();
        let mut seal = String::new();
        for pack in packs {
            let activations: Vec<_> = pack
                .about()
                .rules
                .iter()
                .filter_map(|rule| activation(&pack, rule, &policy, &mut wrong))
                .collect();
            seal.push_str(pack.digest());
            for one in &activations {
                seal.extend(["\n", &one.code, " ", &one.settings]);
            }
            active.push((pack, activations));
        }
        if !wrong.is_empty() {
            return Err(PolicyError(wrong));
        }
        seal.push_str(policy.text());
        Ok(Self { packs: active, policy, digest: digest(seal.as_bytes()) })
    }

    /// Digest that identifies this set.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Its packs, in the order in which they report.
    pub fn packs(&self) -> impl Iterator<Item = &Pack> {
        self.packs.iter().map(|(pack, _)| pack)
    }

    /// Compiles the packs that have a rule for this phase, all at once. Without this, the first judgement does.
    ///
    /// # Errors
    /// What is wrong with each pack that cannot be compiled; its rules then fail in every judgement.
    pub fn compile(&self, phase: Phase) -> Result<(), PolicyError> {
        let is_used = |(pack, activations): &&(Pack, Vec<Activation>)| {
            !pack.is_compiled() && activations.iter().any(|one| is_of_phase(pack, &one.code, phase))
        };
        // Each on a thread of its own: all of them take as long as the largest.
        let wrong: Vec<String> = std::thread::scope(|scope| {
            let used = self.packs.iter().filter(is_used);
            let threads: Vec<_> = used.map(|(pack, _)| (pack, scope.spawn(|| pack.compile()))).collect();
            let ended = threads.into_iter().map(|(pack, thread)| (pack, thread.join()));
            ended
                .filter_map(|(pack, result)| match result {
                    Ok(Ok(())) => None,
                    Ok(Err(stop)) => Some(format!("the pack `{}`: {stop}", pack.about().name)),
                    Err(_) => Some(format!("the pack `{}`: its compiler panicked", pack.about().name)),
                })
                .collect()
        });
        if wrong.is_empty() { Ok(()) } else { Err(PolicyError(wrong)) }
    }

    /// Evaluates every rule. `today` is the date as `YYYY-MM-DD`, by which waivers expire.
    #[must_use]
    pub fn judge(&self, facts: &Facts, today: &str) -> Judgement {
        let mut judged = Vec::new();
        let mut fuel = 0;
        // Facts are plain records, which always have a document. It is made for a finding about an element of a list.
        let document = OnceCell::new();
        let place = |subject: &str| {
            if !crate::place::has_number(subject) {
                return subject.to_owned();
            }
            let document = document.get_or_init(|| serde_json::to_value(facts).unwrap_or_default());
            crate::place::named(document, subject)
        };
        let of_phase = |(pack, activations): &'_ (Pack, Vec<Activation>)| {
            let is_active = |one: &&Activation| is_of_phase(pack, &one.code, facts.phase);
            activations.iter().filter(is_active).cloned().collect::<Vec<_>>()
        };
        let active: Vec<_> = self.packs.iter().map(|one| (&one.0, of_phase(one))).collect();
        for ((pack, _), answer) in active.iter().zip(evaluate(&active, facts)) {
            fuel += answer.fuel;
            judged.extend(answer.findings.into_iter().map(|finding| {
                let place = place(&finding.subject);
                self.decide(pack, finding, facts, place, today)
            }));
        }
        let text = serde_json::to_vec(facts).unwrap_or_default();
        Judgement { schema: SCHEMA, set: self.digest.clone(), facts: digest(&text), fuel, findings: judged }
    }

    fn decide(&self, pack: &Pack, mut finding: Finding, facts: &Facts, place: String, today: &str) -> Judged {
        let rule = pack.about().rules.iter().find(|rule| rule.code == finding.code);
        if finding.remediation.is_empty() && finding.verdict != Verdict::Pass {
            let remediation = rule.map(|rule| rule.remediation.as_str()).unwrap_or_default();
            // What a rule advises against a problem is no advice where it is not known that there is one.
            let is_problem = finding.verdict != Verdict::Unknown || remediation.is_empty();
            finding.remediation =
                if is_problem { remediation.to_owned() } else { format!("if it applies: {remediation}") };
        }
        let severity = match finding.verdict {
            Verdict::Pass => None,
            Verdict::Warn | Verdict::Fail => {
                self.policy.decision(&finding.code).and_then(|decision| decision.severity)
            }
            Verdict::Unknown => {
                let severity = self.policy.severity_of_unknown(&finding, facts, &place);
                if severity.is_some() {
                    finding.message.push_str(" (unknown; the operator's settings do not accept that)");
                }
                severity
            }
        };
        if let Some(severity) = severity {
            finding.verdict = severity.into();
        }
        let covering = match finding.verdict {
            Verdict::Pass => None,
            Verdict::Warn | Verdict::Fail | Verdict::Unknown => {
                self.policy.waiver(&finding, facts, &place, today)
            }
        };
        let of =
            |wanted: bool| covering.filter(|(_, holds)| *holds == wanted).map(|(waiver, _)| waiver.clone());
        let place = if place == finding.subject { String::new() } else { place };
        let (waived, expired) = (of(true), of(false));
        Judged { pack: pack.about().name.clone(), finding, place, waived, expired }
    }
}

/// Whether a rule is for facts of this phase. One that names no phase is for all.
fn is_of_phase(pack: &Pack, code: &str, phase: Phase) -> bool {
    let rule = pack.about().rules.iter().find(|rule| rule.code == code);
    rule.is_some_and(|rule| rule.phases.is_empty() || rule.phases.contains(&phase))
}

impl Judgement {
    /// Whether the migration may begin: every finding that fails is waived.
    #[must_use]
    pub fn allows(&self) -> bool {
        self.count(Verdict::Fail) == 0
    }

    /// How many findings have this verdict and are not waived.
    #[must_use]
    pub fn count(&self, verdict: Verdict) -> usize {
        self.findings.iter().filter(|one| one.finding.verdict == verdict && one.waived.is_none()).count()
    }
}

/// The activation of a rule under the policy; none when it is switched off.
fn activation(pack: &Pack, rule: &Rule, policy: &Policy, wrong: &mut Vec<String>) -> Option<Activation> {
    let decision = policy.decision(&rule.code);
    if decision.is_some_and(|decision| !decision.enabled) {
        return None;
    }
    let settings = decision.and_then(|decision| decision.settings.as_ref());
    let Some(settings) = settings else {
        return Some(Activation { code: rule.code.clone(), settings: String::new() });
    };
    let mut say = |pointer: &str, message: &str| {
        wrong.push(format!("the settings of `{}`: `{pointer}` {message}", rule.code));
    };
    match crate::schema::Schema::parse(&rule.settings_schema) {
        Ok(schema) => {
            for error in schema.errors(settings) {
                say(&error.pointer, &error.message);
            }
        }
        Err(_) => say("", "are given, and the rule takes none"),
    }
    let activation = Activation { code: rule.code.clone(), settings: settings.to_string() };
    match pack.validate_settings(&activation) {
        Ok(errors) => errors.iter().for_each(|error| say(&error.pointer, &error.message)),
        Err(stop) => say("", &format!("cannot be checked: {stop}")),
    }
    Some(activation)
}
