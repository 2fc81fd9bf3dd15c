//! Each shipped rule on both sides of its edge: facts that pass, and the smallest change that does not.

mod common;

use common::{Change, EDGES, codes, sound};
use std::collections::BTreeSet;
use whimbrel_facts::Verdict;
use whimbrel_facts::{Activation, Facts, Finding};
use whimbrel_rules::{PACKS, Rule};

fn rules() -> impl Iterator<Item = &'static Rule> {
    PACKS.iter().flat_map(whimbrel_rules::Pack::rules)
}

fn ask(facts: &Facts) -> Vec<Finding> {
    let activate = |rule: &Rule| Activation { code: rule.code.into(), settings: String::new() };
    let of = |pack: &whimbrel_rules::Pack| pack.check(facts, &pack.rules().map(activate).collect::<Vec<_>>());
    PACKS.iter().flat_map(of).collect()
}

#[test]
fn sound_facts_pass_every_rule() {
    let findings = ask(&sound());
    let others: Vec<_> = findings.iter().filter(|one| one.verdict != Verdict::Pass).collect();
    assert!(others.is_empty(), "{others:#?}");
}

#[test]
fn each_rule_has_an_edge_and_is_found_beyond_it() {
    let mut seen = BTreeSet::new();
    for (code, verdict, change) in EDGES {
        let mut facts = sound();
        (*change as Change)(&mut facts);
        let findings = ask(&facts);
        let found = findings.iter().filter(|one| one.code == *code && one.verdict == *verdict).count();
        assert!(found > 0, "`{code}` does not say {verdict:?}: {:?}", codes(&findings));
        seen.insert(*code);
    }
    let all: BTreeSet<&str> = rules().map(|rule| rule.code).collect();
    let untried: Vec<_> = all.difference(&seen).collect();
    assert!(untried.is_empty(), "rules without an edge: {untried:?}");
    assert!(all.len() >= 70, "{}", all.len());
}

#[test]
fn every_rule_explains_itself() {
    for rule in rules() {
        assert!(
            !rule.title.is_empty() && !rule.rationale.is_empty() && !rule.remediation.is_empty(),
            "{}",
            rule.code
        );
        assert!(rule.title.chars().count() < 100, "{}: the title is for a list", rule.code);
    }
}

#[test]
fn no_rule_depends_on_another() {
    for (_, _, change) in EDGES {
        let mut facts = sound();
        change(&mut facts);
        let together = ask(&facts);
        let mut alone = Vec::new();
        for pack in PACKS {
            for rule in pack.rules() {
                let activation =
                    whimbrel_facts::Activation { code: rule.code.into(), settings: String::new() };
                alone.extend(pack.check(&facts, &[activation]));
            }
        }
        assert_eq!(together, alone);
    }
}

#[test]
fn nothing_known_is_unknown_and_never_passes_what_needs_facts() {
    let findings = ask(&whimbrel_facts::Facts::default());
    assert!(findings.iter().all(|one| one.verdict == Verdict::Unknown), "{:?}", codes(&findings));
}
