//! The table of checks that libvirt, QEMU and the managers make: its rows, and the facts of each row's case.
//!
//! A row is executed: its case changes sound facts, and the named rule must find it. It must never be counted by its text
//! alone.

use std::path::Path;

use serde::Deserialize;
use serde_json::Value;
use whimbrel_facts::{Attribute, Facts, Scalar, Verdict, xml};

use super::defined::{define_text, text};
use super::sound;

/// The folder of the tables, one file for each origin.
const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/checks");

/// The checks of one origin.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Table {
    /// Where the checks are made, for a heading.
    pub(crate) origin: String,
    /// One sentence about them.
    pub(crate) about: String,
    /// Version of the program, and the file or function of its rows.
    pub(crate) source: String,
    pub(crate) check: Vec<Row>,
}

/// One check. Exactly one of `rule`, `miss`, `unknowable`, `outside` and `allowed` says what becomes of it.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Row {
    /// Unique, and never used again for another check.
    pub(crate) id: String,
    /// Function or file, where it is not the table's.
    pub(crate) source: String,
    pub(crate) condition: String,
    /// When the check is made. Empty: at every migration.
    pub(crate) when: String,
    /// The rule that finds it, with this verdict and no weaker one.
    pub(crate) rule: Option<String>,
    pub(crate) verdict: Option<Verdict>,
    /// The fact that the finding is about, where the row names it.
    pub(crate) subject: Option<String>,
    /// Why `unknown` or `warn` is all that the facts allow.
    pub(crate) why: Option<String>,
    /// No rule finds it, for this reason.
    pub(crate) miss: Option<String>,
    /// No call of libvirt reports the fact, and no finding would be more than noise.
    pub(crate) unknowable: Option<String>,
    /// No migration that Whimbrel begins can meet it.
    pub(crate) outside: Option<String>,
    /// The check lets this pass: no rule may refuse it. With `rule` and `verdict`, one may warn.
    pub(crate) allowed: bool,
    /// Elements of the guest's definition below `/domain`, and among its devices.
    pub(crate) top: String,
    pub(crate) devices: String,
    /// Replacements in the guest's own definition.
    pub(crate) guest: Vec<[String; 2]>,
    /// Replacements that make the definition for the destination of the guest's own; none: there is none.
    pub(crate) target: Vec<[String; 2]>,
    /// Facts by their names; a number as a key is an index of a list.
    pub(crate) facts: toml::Table,
    pub(crate) attributes: toml::Table,
}

/// What becomes of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Found,
    Missed,
    Unknowable,
    Outside,
    Allowed,
}

impl Row {
    /// None for a row that contradicts itself.
    pub(crate) fn kind(&self) -> Option<Kind> {
        let is_found = self.rule.is_some() && self.verdict.is_some() && !self.allowed;
        let all = [
            (is_found, Kind::Found),
            (self.miss.is_some(), Kind::Missed),
            (self.unknowable.is_some(), Kind::Unknowable),
            (self.outside.is_some(), Kind::Outside),
            (self.allowed, Kind::Allowed),
        ];
        let mut given = all.into_iter().filter(|(is, _)| *is).map(|(_, kind)| kind);
        given.next().filter(|_| given.next().is_none())
    }

    /// The facts of its case.
    pub(crate) fn facts(&self) -> Facts {
        let mut facts = sound();
        let own = replaced(text(&self.top, &self.devices), &self.guest, &self.id);
        define_text(&mut facts, &own);
        if !self.target.is_empty() {
            let target = replaced(own.clone(), &self.target, &self.id);
            facts.target = Some(xml::domain(&target).unwrap());
            facts.attributes.extend(xml::target_attributes(&own, &target).unwrap());
            let request = facts.request.as_mut().unwrap();
            (request.destination_xml, request.persistent_xml) = (true, true);
        }
        let mut document = serde_json::to_value(&facts).unwrap();
        merge(&mut document, serde_json::to_value(&self.facts).unwrap(), &self.id);
        let mut facts: Facts =
            serde_json::from_value(document).unwrap_or_else(|error| panic!("{}: {error}", self.id));
        for (path, value) in &self.attributes {
            let value = match value {
                toml::Value::String(text) => Scalar::Text(text.clone()),
                toml::Value::Integer(number) => Scalar::Integer(*number),
                toml::Value::Boolean(is) => Scalar::Boolean(*is),
                other => panic!("{}: `{path}` cannot be {other:?}", self.id),
            };
            facts.attributes.retain(|one| one.path != *path);
            facts.attributes.push(Attribute { path: path.clone(), value });
        }
        facts.attributes.sort_by(|one, other| one.path.cmp(&other.path));
        facts
    }
}

fn replaced(mut text: String, changes: &[[String; 2]], id: &str) -> String {
    for [from, to] in changes {
        assert!(text.contains(from), "{id}: the definition has no `{from}`: {text}");
        text = text.replacen(from, to, 1);
    }
    text
}

/// Sets what the patch names and leaves the rest; the text `none` removes a value.
fn merge(into: &mut Value, patch: Value, id: &str) {
    match (into, patch) {
        (Value::Object(fields), Value::Object(patch)) => {
            for (name, value) in patch {
                merge(fields.entry(&name).or_insert(Value::Null), value, id);
            }
        }
        (Value::Array(list), Value::Object(patch)) => {
            for (index, value) in patch {
                let at: usize = index.parse().unwrap_or_else(|_| panic!("{id}: `{index}` is no index"));
                if at == list.len() {
                    list.push(Value::Object(serde_json::Map::new()));
                }
                merge(list.get_mut(at).unwrap(), value, id);
            }
        }
        (into, Value::String(word)) if word == "none" => *into = Value::Null,
        (into, value) => *into = value,
    }
}

/// Every table, by the name of its file.
pub(crate) fn tables() -> Vec<Table> {
    let mut files: Vec<_> = std::fs::read_dir(Path::new(FOLDER))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "toml"))
        .collect();
    files.sort();
    let read = |path: &std::path::PathBuf| {
        let text = std::fs::read_to_string(path).unwrap();
        toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    };
    files.iter().map(read).collect()
}
