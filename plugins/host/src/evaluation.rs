//! Evaluates the rules of packs: every rule that was activated gets a finding of its own.
//!
//! A rule that could not answer must never count as one that passed. The order of the findings is that of the packs and
//! of their rules, whatever ends first.

use std::thread;

use whimbrel_facts::{Activation, Attribute, Facts, Finding, Verdict};

use crate::host::{Pack, Stop};

/// What a pack answered.
#[derive(Debug)]
pub(crate) struct Evaluated {
    pub(crate) findings: Vec<Finding>,
    /// About one unit for each instruction.
    pub(crate) fuel: u64,
}

/// Evaluates the activated rules of each pack. Packs do not depend on each other, so each has a thread; the last one has
/// the caller's.
pub(crate) fn evaluate(packs: &[(&Pack, Vec<Activation>)], facts: &Facts) -> Vec<Evaluated> {
    let Some(((last, activations), others)) = packs.split_last() else { return Vec::new() };
    thread::scope(|scope| {
        let mut threads = Vec::new();
        for (pack, activations) in others {
            let evaluate = move || evaluate_pack(pack, facts, activations);
            // Without another thread the evaluation takes longer, and has the same result.
            let thread =
                (!activations.is_empty()).then(|| thread::Builder::new().spawn_scoped(scope, evaluate));
            threads.push(thread.and_then(Result::ok));
        }
        let last = evaluate_pack(last, facts, activations);
        let ended = others.iter().zip(threads).map(|((pack, activations), thread)| match thread {
            Some(thread) => thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            None => evaluate_pack(pack, facts, activations),
        });
        ended.chain([last]).collect()
    })
}

/// A pack's findings, with a failing one for each rule that did not answer as it must, and the fuel used.
fn evaluate_pack(pack: &Pack, facts: &Facts, activations: &[Activation]) -> Evaluated {
    if activations.is_empty() {
        return Evaluated { findings: Vec::new(), fuel: 0 };
    }
    if let Ok(answer) = pack.check(facts, activations) {
        let findings = accounted(pack, activations, answer.value);
        return Evaluated { findings, fuel: answer.fuel };
    }
    // The call reports that a rule trapped, not which one: evaluated one by one they show it.
    let mut fuel = 0;
    let one = |activation: &Activation| {
        let alone = std::slice::from_ref(activation);
        match pack.check(facts, alone) {
            Ok(answer) => {
                fuel += answer.fuel;
                accounted(pack, alone, answer.value)
            }
            Err(stop) => vec![stopped(pack, &activation.code, &stop)],
        }
    };
    let findings = activations.iter().flat_map(one).collect();
    Evaluated { findings, fuel }
}

/// Findings of the activated rules; anything else that the pack reports, or omits, becomes a failing finding.
fn accounted(pack: &Pack, activations: &[Activation], findings: Vec<Finding>) -> Vec<Finding> {
    let mut accounted = Vec::with_capacity(findings.len());
    for finding in findings {
        if activations.iter().any(|one| one.code == finding.code) {
            accounted.push(finding);
        } else {
            let message = format!("the pack speaks for the rule `{}`, which was not asked", finding.code);
            accounted.push(against(pack, "engine.foreign", &finding.code, message));
        }
    }
    for activation in activations {
        if !accounted.iter().any(|finding| finding.code == activation.code) {
            let message = format!("the rule `{}` was asked and said nothing", activation.code);
            accounted.push(against(pack, "engine.silent", &activation.code, message));
        }
    }
    accounted
}

fn stopped(pack: &Pack, code: &str, stop: &Stop) -> Finding {
    against(pack, stop.code(), code, format!("the rule `{code}` could not be asked: {stop}"))
}

fn against(pack: &Pack, engine_code: &str, rule: &str, message: String) -> Finding {
    let text = |path: &str, value: &str| Attribute { path: path.to_owned(), value: value.into() };
    Finding {
        code: engine_code.to_owned(),
        verdict: Verdict::Fail,
        subject: String::new(),
        message,
        remediation: "correct the pack, or remove it from the set; no migration starts without its verdict"
            .to_owned(),
        evidence: vec![
            text("pack.name", &pack.about().name),
            text("pack.sha256", pack.digest()),
            text("rule", rule),
        ],
    }
}
