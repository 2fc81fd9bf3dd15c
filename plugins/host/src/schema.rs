//! JSON Schema, as far as settings of rules need it.
//!
//! A schema with a keyword that is unknown here is refused: settings that only seem to be checked would be worse than
//! unchecked ones.

use serde_json::{Map, Value};
use whimbrel_facts::SettingsError;

/// A schema every keyword of which is enforced.
#[derive(Clone, Debug)]
pub struct Schema(Value);

const NOTES: [&str; 6] = ["$schema", "$id", "title", "description", "default", "examples"];
const KEYWORDS: [&str; 12] = [
    "type",
    "properties",
    "required",
    "additionalProperties",
    "items",
    "enum",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
];
const TYPES: [&str; 7] = ["object", "array", "string", "integer", "number", "boolean", "null"];

impl Schema {
    /// Reads a schema.
    ///
    /// # Errors
    /// When it is not JSON, or uses a keyword that is not enforced here.
    pub fn parse(text: &str) -> Result<Self, String> {
        let schema: Value = serde_json::from_str(text).map_err(|error| format!("is not JSON: {error}"))?;
        understood(&schema, "")?;
        Ok(Self(schema))
    }

    /// The schema as a document.
    #[must_use]
    pub fn document(&self) -> &Value {
        &self.0
    }

    /// All that is wrong with a value, each problem with its JSON pointer.
    #[must_use]
    pub fn errors(&self, value: &Value) -> Vec<SettingsError> {
        let mut errors = Vec::new();
        check(&self.0, value, "", &mut errors);
        errors
    }
}

fn understood(schema: &Value, place: &str) -> Result<(), String> {
    let Value::Object(schema) = schema else { return Err(format!("`{place}` is not an object")) };
    for (keyword, value) in schema {
        match keyword.as_str() {
            "properties" => {
                let Value::Object(properties) = value else {
                    return Err(format!("`{place}/properties` is not an object"));
                };
                for (name, schema) in properties {
                    understood(schema, &format!("{place}/properties/{name}"))?;
                }
            }
            "items" => understood(value, &format!("{place}/items"))?,
            "additionalProperties" if !value.is_boolean() => {
                return Err(format!("`{place}/additionalProperties` is neither true nor false"));
            }
            "type" if !value.as_str().is_some_and(|name| TYPES.contains(&name)) => {
                return Err(format!("`{place}/type` is not the name of a type"));
            }
            known if KEYWORDS.contains(&known) || NOTES.contains(&known) => {}
            unknown => return Err(format!("uses `{unknown}`, which is not enforced here")),
        }
    }
    Ok(())
}

fn check(schema: &Value, value: &Value, place: &str, errors: &mut Vec<SettingsError>) {
    let mut wrong = |message: String| errors.push(SettingsError { pointer: place.to_owned(), message });
    if let Some(kind) = schema.get("type").and_then(Value::as_str)
        && !is_a(kind, value)
    {
        return wrong(format!("must be of the type {kind}"));
    }
    if let Some(Value::Array(allowed)) = schema.get("enum")
        && !allowed.contains(value)
    {
        wrong(format!("must be one of {}", Value::Array(allowed.clone())));
    }
    for (keyword, size) in sizes(value) {
        let Some(bound) = schema.get(keyword).and_then(Value::as_f64) else { continue };
        if keyword.starts_with("min") && size < bound {
            wrong(format!("must be at least {bound}"));
        }
        if keyword.starts_with("max") && size > bound {
            wrong(format!("must be at most {bound}"));
        }
    }
    match value {
        Value::Object(members) => check_members(schema, members, place, errors),
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                if let Some(schema) = schema.get("items") {
                    check(schema, item, &format!("{place}/{at}"), errors);
                }
            }
        }
        _ => {}
    }
}

fn check_members(schema: &Value, members: &Map<String, Value>, place: &str, errors: &mut Vec<SettingsError>) {
    let properties = schema.get("properties").and_then(Value::as_object);
    for (name, value) in members {
        let pointer = format!("{place}/{}", name.replace('~', "~0").replace('/', "~1"));
        match properties.and_then(|known| known.get(name)) {
            Some(schema) => check(schema, value, &pointer, errors),
            None if schema.get("additionalProperties") == Some(&Value::Bool(false)) => {
                errors.push(SettingsError { pointer, message: "is not a setting of this rule".to_owned() });
            }
            None => {}
        }
    }
    let required = schema.get("required").and_then(Value::as_array).into_iter().flatten();
    for name in required.filter_map(Value::as_str).filter(|name| !members.contains_key(*name)) {
        errors.push(SettingsError { pointer: place.to_owned(), message: format!("lacks `{name}`") });
    }
}

/// The bounds that apply to a value, each with the quantity that it limits.
#[expect(clippy::cast_precision_loss, reason = "lengths and settings are small")]
fn sizes(value: &Value) -> Vec<(&'static str, f64)> {
    match value {
        Value::Number(number) => {
            let number = number.as_f64().unwrap_or(f64::NAN);
            vec![("minimum", number), ("maximum", number)]
        }
        Value::String(text) => {
            let length = text.chars().count() as f64;
            vec![("minLength", length), ("maxLength", length)]
        }
        Value::Array(items) => vec![("minItems", items.len() as f64), ("maxItems", items.len() as f64)],
        Value::Null | Value::Bool(_) | Value::Object(_) => Vec::new(),
    }
}

fn is_a(kind: &str, value: &Value) -> bool {
    match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        _ => value.is_null(),
    }
}
