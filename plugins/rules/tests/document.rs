//! The operators' list of rules consists of the rules' own texts, and of what the rules do: which verdicts they give on the
//! facts of all tests, and which facts they cannot do without.

#![expect(clippy::unwrap_used, reason = "a failing helper fails the test")]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;

use common::{DEFINED, EDGES, sound};
use whimbrel_facts::{Activation, Domain, Facts, Finding, Host, Verdict};
use whimbrel_rules::PACKS;
use whimbrel_rules::catalogue;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/rules.md");
const CATALOGUE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/catalogue.txt");
/// Rewrites the document instead of comparing it.
const BLESS: &str = "WHIMBREL_BLESS";

fn document() -> String {
    let catalogue = made_catalogue();
    let mut text = String::from(
        "# The rules\n\nEvery shipped rule, with why it is there and what to do when it does not pass. `whimbrel rule explain CODE`\n\
         says the same. How findings are weighed and waived: [Writing rules](writing-rules.md). This file is written by\n\
         `WHIMBREL_BLESS=1 cargo test -p whimbrel-rules --test document`.\n",
    );
    for pack in PACKS {
        write!(
            text,
            "\n## {}\n\n{}.\n\n| code | passes when | can give | why | fix | needs |\n| --- | --- | --- | --- | --- | --- |\n",
            pack.name, pack.summary
        )
        .unwrap();
        for rule in pack.rules() {
            let cell = |text: &str| text.replace('|', "\\|");
            let line = catalogue.lines().find(|line| line.split('\t').next() == Some(rule.code)).unwrap();
            let (verdicts, needs) = line.split_once('\t').unwrap().1.split_once('\t').unwrap();
            let needs: Vec<String> = needs.split_whitespace().map(|pointer| format!("`{pointer}`")).collect();
            writeln!(
                text,
                "| `{}` | {} | {} | {} | {} | {} |",
                rule.code,
                cell(rule.title),
                verdicts.replace(' ', ", "),
                cell(rule.rationale),
                cell(rule.remediation),
                needs.join(", ")
            )
            .unwrap();
        }
    }
    text
}

#[test]
fn the_list_of_rules_is_up_to_date() {
    if std::env::var_os(BLESS).is_some() {
        fs::write(FILE, document()).unwrap();
    }
    assert_eq!(
        fs::read_to_string(FILE).unwrap(),
        document(),
        "run it again with {BLESS}=1 and look at the difference"
    );
}

fn ask(facts: &Facts) -> Vec<Finding> {
    let rules = PACKS.iter().flat_map(|pack| pack.rules().map(move |rule| (pack, rule)));
    let asked = rules.map(|(pack, rule)| {
        pack.check(facts, &[Activation { code: rule.code.into(), settings: String::new() }])
    });
    asked.flatten().collect()
}

/// Sound facts with one part missing.
fn incomplete() -> Vec<Facts> {
    let without: [fn(&mut Facts); 9] = [
        |facts| facts.request = None,
        |facts| facts.guest = None,
        |facts| facts.source = None,
        |facts| facts.destination = None,
        |facts| facts.storage = None,
        |facts| facts.attributes.clear(),
        |facts| facts.source = Some(Host::default()),
        |facts| facts.destination = Some(Host::default()),
        |facts| facts.guest = Some(Domain::default()),
    ];
    let made = |change: &fn(&mut Facts)| {
        let mut facts = sound();
        change(&mut facts);
        facts
    };
    without.iter().map(made).collect()
}

/// One line for each rule: its code, its verdicts besides `pass`, and the pointers to facts that it cannot do without.
fn made_catalogue() -> String {
    let mut verdicts: BTreeMap<String, BTreeSet<Verdict>> = BTreeMap::new();
    let mut needs: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let changes = EDGES.iter().map(|(_, _, change)| *change);
    let changes = changes.chain(DEFINED.iter().map(|(_, _, _, change)| *change));
    let cases = changes.map(|change| {
        let mut facts = sound();
        change(&mut facts);
        facts
    });
    for finding in cases.chain(incomplete()).flat_map(|facts| ask(&facts)) {
        if finding.verdict != Verdict::Pass {
            verdicts.entry(finding.code).or_default().insert(finding.verdict);
        }
    }
    for finding in incomplete().iter().flat_map(ask).filter(|one| one.message.starts_with("not known: ")) {
        needs.entry(finding.code).or_default().insert(finding.subject);
    }
    let rules = PACKS.iter().flat_map(whimbrel_rules::Pack::rules);
    let line = |rule: &whimbrel_rules::Rule| {
        let verdicts: Vec<_> =
            verdicts.get(rule.code).into_iter().flatten().map(|verdict| verdict.name()).collect();
        let needs: Vec<_> = needs.get(rule.code).into_iter().flatten().map(String::as_str).collect();
        format!("{}\t{}\t{}\n", rule.code, verdicts.join(" "), needs.join(" "))
    };
    rules.map(line).collect()
}

#[test]
fn the_catalogue_is_what_the_rules_do() {
    let made = made_catalogue();
    if std::env::var_os(BLESS).is_some() {
        fs::write(CATALOGUE, &made).unwrap();
    }
    assert_eq!(fs::read_to_string(CATALOGUE).unwrap(), made, "run it again with {BLESS}=1");
    // The build that wrote the list has not read it.
    if std::env::var_os(BLESS).is_some() {
        return;
    }
    let entry = catalogue::of("storage.identity");
    assert!(
        entry.is_some_and(|entry| entry.verdicts == ["fail", "unknown"] && entry.needs.contains(&"/storage"))
    );
    assert!(catalogue::of("no.such").is_none());
}
