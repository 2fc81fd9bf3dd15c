//! The table of checks that libvirt, QEMU and the managers make before a migration: each row's case is judged by the
//! shipped rules, and the table that operators read is made of the results.

#![allow(
    clippy::allow_attributes,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a failing helper fails the test"
)]

mod common;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;

use common::checks::{Kind, Row, Table, tables};
use whimbrel_facts::{Activation, Facts, Finding, Verdict};
use whimbrel_rules::PACKS;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/checks.md");
/// Rewrites the document instead of comparing it.
const BLESS: &str = "WHIMBREL_BLESS";
/// Of the checks that facts can show, at least this share is found, for each origin and in all.
const FOUND_PERCENT: usize = 95;

/// Findings that do not pass.
fn found(facts: &Facts) -> Vec<Finding> {
    let rules = PACKS.iter().flat_map(|pack| pack.rules().map(move |rule| (pack, rule)));
    let asked = rules.map(|(pack, rule)| {
        pack.check(facts, &[Activation { code: rule.code.into(), settings: String::new() }])
    });
    asked.flatten().filter(|one| one.verdict != Verdict::Pass).collect()
}

fn short(findings: &[Finding]) -> Vec<String> {
    findings.iter().map(|one| format!("{} {}: {}", one.verdict.name(), one.code, one.message)).collect()
}

/// Why a row is not as it says; none where it is.
fn complaint(row: &Row) -> Option<String> {
    let Some(kind) = row.kind() else {
        return Some("says nothing, or several things, of what becomes of it".into());
    };
    let found = found(&row.facts());
    let is_named = |one: &&Finding| {
        Some(&one.code) == row.rule.as_ref()
            && Some(one.verdict) == row.verdict
            && row.subject.as_ref().is_none_or(|subject| *subject == one.subject)
    };
    let wrong = match kind {
        Kind::Found if !found.iter().any(|one| is_named(&one)) => Some("the rule does not say so"),
        Kind::Found if row.verdict == Some(Verdict::Pass) => Some("a check that is found does not pass"),
        Kind::Found if row.verdict != Some(Verdict::Fail) && row.why.is_none() => {
            Some("why is it no failure?")
        }
        Kind::Missed if !found.is_empty() => Some("it is no miss: a rule finds it"),
        Kind::Allowed if found.iter().any(|one| one.verdict == Verdict::Fail) => {
            Some("a rule refuses what is allowed")
        }
        Kind::Allowed if !found.iter().all(|one| is_named(&one)) => {
            Some("another rule objects to what is allowed")
        }
        Kind::Allowed if row.rule.is_some() && (found.is_empty() || row.why.is_none()) => {
            Some("the rule has no finding, or it is not said why it has one")
        }
        Kind::Found | Kind::Missed | Kind::Unknowable | Kind::Outside | Kind::Allowed => None,
    };
    wrong.map(|wrong| format!("{}: {wrong}: {:#?}", row.id, short(&found)))
}

#[test]
fn every_check_is_found_as_the_table_says() {
    let tables = tables();
    let wrong: Vec<String> = tables.iter().flat_map(|table| &table.check).filter_map(complaint).collect();
    assert!(wrong.is_empty(), "{} rows:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn rows_are_named_and_described() {
    let tables = tables();
    let known: BTreeSet<&str> =
        PACKS.iter().flat_map(whimbrel_rules::Pack::rules).map(|rule| rule.code).collect();
    let mut ids = BTreeSet::new();
    for row in tables.iter().flat_map(|table| &table.check) {
        assert!(ids.insert(&row.id), "two rows have the id {}", row.id);
        assert!(!row.condition.is_empty(), "{}", row.id);
        assert!(
            row.rule.as_deref().is_none_or(|code| known.contains(code)),
            "{}: no rule {:?}",
            row.id,
            row.rule
        );
    }
    assert!(ids.len() >= 237, "{} rows", ids.len());
}

#[test]
fn enough_is_found_of_each_origin() {
    for table in tables() {
        let Counts { found, missed, .. } = Counts::of(&[&table]);
        assert!(
            found * 100 >= FOUND_PERCENT * (found + missed),
            "{}: {found} found, {missed} missed",
            table.origin
        );
    }
}

/// How many rows of each kind there are.
#[derive(Debug, Default)]
struct Counts {
    found: usize,
    /// Of those, the ones of which no more than `unknown` or `warn` can be said.
    weaker: usize,
    missed: usize,
    unknowable: usize,
    outside: usize,
    allowed: usize,
}

impl Counts {
    fn of(tables: &[&Table]) -> Self {
        let mut counts = Self::default();
        for row in tables.iter().flat_map(|table| &table.check) {
            let count = match row.kind().unwrap() {
                Kind::Found => &mut counts.found,
                Kind::Missed => &mut counts.missed,
                Kind::Unknowable => &mut counts.unknowable,
                Kind::Outside => &mut counts.outside,
                Kind::Allowed => &mut counts.allowed,
            };
            *count += 1;
            if row.kind() == Some(Kind::Found) && row.verdict != Some(Verdict::Fail) {
                counts.weaker += 1;
            }
        }
        counts
    }

    fn line(&self, name: &str) -> String {
        let Self { found, weaker, missed, unknowable, outside, allowed } = self;
        let percent = (found * 1000).checked_div(found + missed).unwrap_or(1000);
        format!(
            "| {name} | {} | {found} | {weaker} | {missed} | {}.{} % | {unknowable} | {outside} | {allowed} |\n",
            found + missed + unknowable + outside,
            percent / 10,
            percent % 10
        )
    }
}

fn document() -> String {
    let tables = tables();
    let mut text = String::from(HEAD);
    for table in &tables {
        text.push_str(&Counts::of(&[table]).line(&table.origin));
    }
    text.push_str(&Counts::of(&tables.iter().collect::<Vec<_>>()).line("**all**"));
    for table in &tables {
        let cell = |text: &str| text.replace('|', "\\|").replace('\n', " ");
        write!(
            text,
            "\n## {}\n\n{}\nSource: {}.\n\n| id | condition | applies | result |\n| --- | --- | --- | --- |\n",
            table.origin, table.about, table.source
        )
        .unwrap();
        for row in &table.check {
            let mut condition = cell(&row.condition);
            if !row.source.is_empty() {
                write!(condition, " ({})", cell(&row.source)).unwrap();
            }
            let when = if row.when.is_empty() { "always" } else { &row.when };
            writeln!(text, "| {} | {condition} | {} | {} |", row.id, cell(when), cell(&result(row))).unwrap();
        }
    }
    text
}

fn result(row: &Row) -> String {
    let reason = |given: &Option<String>| given.clone().unwrap_or_default();
    let ruled = || {
        let rule = row.rule.as_ref().map(|rule| format!("`{rule}` {}", row.verdict.unwrap().name()));
        let why = row.why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
        rule.map(|rule| format!("{rule}{why}"))
    };
    match row.kind().unwrap() {
        Kind::Found => ruled().unwrap(),
        Kind::Missed => format!("**missed**: {}", reason(&row.miss)),
        Kind::Unknowable => format!("cannot be known: {}", reason(&row.unknowable)),
        Kind::Outside => format!("does not occur: {}", reason(&row.outside)),
        Kind::Allowed => ruled().map_or("allowed".to_owned(), |rule| format!("allowed; {rule}")),
    }
}

const HEAD: &str = "# Checks of libvirt, QEMU and the managers

The checks that libvirt, QEMU and five management programs make before or at the start of a migration, each described by
its condition, and which rule finds it. Every row has a case that the shipped rules judge in a test; this file is written
by `WHIMBREL_BLESS=1 cargo test -p whimbrel-rules --test checks`.

* *found*: a rule reports it. *Not as fail*: of those, the checks for which the facts allow only `unknown` or `warn`.
* *missed*: no rule reports it. The share in percent is of found and missed checks.
* *cannot be known*: no call of libvirt reports the fact.
* *does not occur*: no migration that Whimbrel begins can meet the check.
* *allowed*: situations that the program lets pass; no rule may refuse them.

| origin | checks | found | not as fail | missed | found | cannot be known | does not occur | allowed |
| --- | --- | --- | --- | --- | --- | --- | --- | --- |
";

#[test]
fn the_table_for_operators_is_up_to_date() {
    if std::env::var_os(BLESS).is_some() {
        fs::write(FILE, document()).unwrap();
    }
    assert_eq!(fs::read_to_string(FILE).unwrap(), document(), "run it again with {BLESS}=1");
}
