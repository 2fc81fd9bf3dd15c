//! The operators' list of rules consists of the rules' own texts.

#![expect(clippy::unwrap_used, reason = "a failing helper fails the test")]

use std::fmt::Write as _;
use std::fs;

use whimbrel_rules::PACKS;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/rules.md");
/// Rewrites the document instead of comparing it.
const BLESS: &str = "WHIMBREL_BLESS";

fn document() -> String {
    let mut text = String::from(
        "# The rules\n\nEvery shipped rule, with why it is there and what to do when it does not pass. `whimbrel rule explain CODE`\n\
         says the same. How findings are weighed and waived: [Writing rules](writing-rules.md). This file is written by\n\
         `WHIMBREL_BLESS=1 cargo test -p whimbrel-rules --test document`.\n",
    );
    for pack in PACKS {
        write!(
            text,
            "\n## {}\n\n{}.\n\n| code | passes when | why | mend |\n| --- | --- | --- | --- |\n",
            pack.name, pack.summary
        )
        .unwrap();
        for rule in pack.rules() {
            let cell = |text: &str| text.replace('|', "\\|");
            writeln!(
                text,
                "| `{}` | {} | {} | {} |",
                rule.code,
                cell(rule.title),
                cell(rule.rationale),
                cell(rule.remediation)
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
