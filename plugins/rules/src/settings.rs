//! Settings of rules: small flat documents, read without any library so a sandboxed pack stays small.
//!
//! The host checks settings against the schema first; a rule never relies on that.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use whimbrel_facts::SettingsError;

/// One setting of a rule.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Its name, in kebab case.
    pub name: &'static str,
    /// Its meaning, with its unit.
    pub description: &'static str,
    /// The values that it accepts.
    pub kind: Kind,
}

/// The values that a setting accepts.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// A whole number within bounds, both included.
    Number {
        /// The least.
        least: u64,
        /// The most.
        most: u64,
        /// The value when the operator sets none.
        default: u64,
    },
}

/// The settings of one rule.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings(Vec<(&'static str, u64)>);

impl Settings {
    /// Reads a document such as `{"most": 2}`; empty text stands for the defaults.
    ///
    /// # Errors
    /// All that is wrong with it, each problem with its JSON pointer.
    pub fn parse(known: &'static [Setting], text: &str) -> Result<Self, Vec<SettingsError>> {
        let mut values: Vec<(&'static str, u64)> = known
            .iter()
            .map(|setting| {
                let Kind::Number { default, .. } = setting.kind;
                (setting.name, default)
            })
            .collect();
        let mut errors = Vec::new();
        for (name, value) in members(text).map_err(|message| [problem("", message)].to_vec())? {
            let pointer = format!("/{name}");
            let Some((setting, slot)) =
                known.iter().zip(&mut values).find(|(setting, _)| setting.name == name)
            else {
                errors.push(problem(&pointer, "this rule has no such setting"));
                continue;
            };
            let Kind::Number { least, most, .. } = setting.kind;
            match value.parse::<u64>() {
                Ok(number) if (least..=most).contains(&number) => slot.1 = number,
                _ => {
                    errors.push(problem(&pointer, &format!("must be a whole number from {least} to {most}")));
                }
            }
        }
        if errors.is_empty() { Ok(Self(values)) } else { Err(errors) }
    }

    /// A number; 0 for a name that the rule does not have.
    #[must_use]
    pub fn number(&self, name: &str) -> u64 {
        self.0.iter().find(|(known, _)| *known == name).map_or(0, |(_, value)| *value)
    }
}

/// The JSON Schema of these settings.
#[must_use]
pub(crate) fn schema(settings: &[Setting]) -> String {
    let mut properties = Vec::new();
    for setting in settings {
        let Kind::Number { least, most, default } = setting.kind;
        properties.push(format!(
            "\"{}\":{{\"type\":\"integer\",\"minimum\":{least},\"maximum\":{most},\"default\":{default},\
             \"description\":\"{}\"}}",
            setting.name, setting.description
        ));
    }
    format!(
        "{{\"type\":\"object\",\"additionalProperties\":false,\"properties\":{{{}}}}}",
        properties.join(",")
    )
}

/// Names and values of a flat object without escapes, commas or braces in its strings: all that settings need.
fn members(text: &str) -> Result<Vec<(&str, &str)>, &'static str> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let inner = text.strip_prefix('{').and_then(|text| text.strip_suffix('}')).ok_or("must be an object")?;
    if inner.trim().is_empty() {
        return Ok(Vec::new());
    }
    inner
        .split(',')
        .map(|member| {
            let (name, value) = member.split_once(':').ok_or("has a member without a value")?;
            let name = name.trim().strip_prefix('"').and_then(|name| name.strip_suffix('"'));
            Ok((name.ok_or("has a name without quotes")?, value.trim()))
        })
        .collect()
}

fn problem(pointer: &str, message: &str) -> SettingsError {
    SettingsError { pointer: pointer.to_owned(), message: message.to_owned() }
}
