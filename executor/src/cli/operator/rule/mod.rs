//! `whimbrel rule …`: operations on rules other than migrations.

pub(super) mod args;
mod author;
mod bench;
mod explain;
mod judged;
mod set;
mod test;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;
use whimbrel_plugins::host;
use whimbrel_plugins::lock::{Lock, verify_signature};

use self::args::{Check, Form, Inspect, RuleVerb, Set, Verify};
pub(super) use self::judged::show;
pub(super) use self::set::load as load_set;
use super::input::{bytes as read, text};
use super::{CliError, Exit, OperatorError, give};
use whimbrel_drive::today;

pub(super) fn run(verb: &RuleVerb) -> Result<Exit, CliError> {
    match verb {
        RuleVerb::List(arguments) => explain::list(arguments),
        RuleVerb::New(arguments) => author::new(arguments),
        RuleVerb::Build(arguments) => author::build(arguments),
        RuleVerb::Test(arguments) => test::run(arguments),
        RuleVerb::Inspect(arguments) => inspect(arguments),
        RuleVerb::Check(arguments) => check(arguments),
        RuleVerb::Explain(arguments) => explain::explain(arguments),
        RuleVerb::Bench(arguments) => bench::run(arguments),
        RuleVerb::Schema(set) => schema(set),
        RuleVerb::Lock(arguments) => {
            let set = load_set(&arguments.set)?;
            let text = Lock::of(set.packs()).text();
            match &arguments.out {
                Some(path) => write(path, text.as_bytes()).map(|()| Exit::Done),
                None => print(&text),
            }
        }
        RuleVerb::Verify(arguments) => verify(arguments),
    }
}

fn inspect(arguments: &Inspect) -> Result<Exit, CliError> {
    let bytes = read(&arguments.file)?;
    let digest = host::digest(&bytes);
    let found = host::inspect(&bytes, usize::MAX)
        .map_err(|error| OperatorError::Pack { path: arguments.file.clone(), reason: error.to_string() })?;
    if arguments.format == Form::Json {
        return document(&serde_json::json!({
            "schema": "whimbrel.pack/1",
            "bytes": found.bytes,
            "sha256": digest,
            "imports": [],
            "exports": [host::CONTRACT],
            "custom-sections": found.custom_sections,
        }));
    }
    let sections: Vec<String> = found
        .custom_sections
        .iter()
        .map(|(name, bytes)| format!("section   {name}, {bytes} bytes\n"))
        .collect();
    print(&format!(
        "size      {} bytes\nsha256    {digest}\nimports   none\nexports   {}\n{}",
        found.bytes,
        host::CONTRACT,
        sections.concat()
    ))
}

fn check(arguments: &Check) -> Result<Exit, CliError> {
    let set = load_set(&arguments.set)?;
    let judgement = set.judge(&facts(&arguments.facts)?, &today());
    show(&judgement, arguments.format)
}

fn schema(set: &Set) -> Result<Exit, CliError> {
    let set = load_set(set)?;
    let mut rules = serde_json::Map::new();
    for rule in set.packs().flat_map(|pack| &pack.about().rules) {
        if let Ok(schema) = whimbrel_plugins::schema::Schema::parse(&rule.settings_schema) {
            rules.insert(rule.code.clone(), schema.document().clone());
        }
    }
    document(&serde_json::json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Settings of rules",
        "type": "object",
        "additionalProperties": false,
        "properties": rules,
    }))
}

fn verify(arguments: &Verify) -> Result<Exit, CliError> {
    let mut report = String::new();
    if let Some(path) = &arguments.signature {
        let [pack] = arguments.set.packs.as_slice() else {
            return Err(OperatorError::Rules(
                "a signature belongs to one pack: set it with `--pack`".to_owned(),
            )
            .into());
        };
        let keys = arguments.keys.iter().map(|key| text(key)).collect::<Result<Vec<_>, _>>()?;
        let by = verify_signature(&read(pack)?, &text(path)?, &keys).map_err(OperatorError::Rules)?;
        let key = arguments.keys.get(by).map_or("a key".into(), |key| key.to_string_lossy());
        report.extend(["signed by ", &key, "\n"]);
    }
    if let Some(path) = &arguments.lock {
        let lock = Lock::parse(&text(path)?).map_err(OperatorError::Rules)?;
        let set = load_set(&arguments.set)?;
        let wrong = lock.disagreements(set.packs());
        if !wrong.is_empty() {
            return Err(OperatorError::Rules(wrong.join("; ")).into());
        }
        // Writing into a string does not fail.
        let _ = writeln!(report, "{} packs match `{}`", set.packs().count(), path.display());
    }
    print(&report)
}

/// Reads facts.
pub(super) fn facts(path: &Path) -> Result<whimbrel_facts::Facts, CliError> {
    whimbrel_core::document::from_json(&text(path)?)
        .map_err(|error| OperatorError::Facts { path: path.to_owned(), reason: error.to_string() }.into())
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), CliError> {
    fs::write(path, bytes).map_err(|source| CliError::Unwritable { path: PathBuf::from(path), source })
}

/// Writes data to standard output.
pub(super) fn print(text: &str) -> Result<Exit, CliError> {
    give(text).map(|()| Exit::Done)
}

/// Writes a JSON document to standard output.
pub(super) fn document(value: &impl Serialize) -> Result<Exit, CliError> {
    let text =
        serde_json::to_string_pretty(value).map_err(|error| OperatorError::Rules(error.to_string()))?;
    print(&(text + "\n"))
}
