//! Each shipped rule on both sides of its edge: facts that pass, and the smallest change that does not.

mod common;

use common::{Change, EDGES, codes, sound};
use std::collections::BTreeSet;
use whimbrel_facts::Verdict;
use whimbrel_plugins::shipped;

#[test]
fn sound_facts_pass_every_rule() {
    let findings = shipped::ask_natively(&sound());
    let others: Vec<_> = findings.iter().filter(|one| one.verdict != Verdict::Pass).collect();
    assert!(others.is_empty(), "{others:#?}");
}

#[test]
fn each_rule_has_an_edge_and_is_found_beyond_it() {
    let mut seen = BTreeSet::new();
    for (code, verdict, change) in EDGES {
        let mut facts = sound();
        (*change as Change)(&mut facts);
        let findings = shipped::ask_natively(&facts);
        let found = findings.iter().filter(|one| one.code == *code && one.verdict == *verdict).count();
        assert!(found > 0, "`{code}` does not say {verdict:?}: {:?}", codes(&findings));
        seen.insert(*code);
    }
    let all: BTreeSet<&str> =
        shipped::SHIPPED.iter().flat_map(|pack| pack.native.rules()).map(|rule| rule.code).collect();
    let untried: Vec<_> = all.difference(&seen).collect();
    assert!(untried.is_empty(), "rules without an edge: {untried:?}");
    assert!(all.len() >= 70, "{}", all.len());
}

#[test]
fn every_rule_explains_itself() {
    for rule in shipped::SHIPPED.iter().flat_map(|pack| pack.native.rules()) {
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
        let together = shipped::ask_natively(&facts);
        let mut alone = Vec::new();
        for pack in &shipped::SHIPPED {
            for rule in pack.native.rules() {
                let activation =
                    whimbrel_facts::Activation { code: rule.code.into(), settings: String::new() };
                alone.extend(pack.native.check(&facts, &[activation]));
            }
        }
        assert_eq!(together, alone);
    }
}

#[test]
fn nothing_known_is_unknown_and_never_passes_what_needs_facts() {
    let findings = shipped::ask_natively(&whimbrel_facts::Facts::default());
    assert!(findings.iter().all(|one| one.verdict == Verdict::Unknown), "{:?}", codes(&findings));
}
