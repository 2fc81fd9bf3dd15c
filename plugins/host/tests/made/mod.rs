//! Packs written by hand, so that they can misbehave in ways that no compiler would let them.

#![allow(
    dead_code,
    clippy::allow_attributes,
    clippy::unwrap_used,
    reason = "each test uses its part; a failing helper fails the test"
)]

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

const CONTRACT: &str = include_str!("../../../wit/rules.wit");

/// The parts of the pack that a test chooses.
pub(crate) struct Parts<'a> {
    /// The name that it describes itself with.
    pub(crate) name: &'a str,
    /// The code of its only rule.
    pub(crate) rule: &'a str,
    /// The code that its only finding has.
    pub(crate) answers: &'a str,
    /// The finding's message.
    pub(crate) message: &'a str,
    /// The finding's verdict, by its number in the contract.
    pub(crate) verdict: usize,
    /// The finding's subject.
    pub(crate) subject: &'a str,
    /// The rule's phases, one byte for each, as in `\\01`.
    pub(crate) phases: &'a str,
    /// The contract's version.
    pub(crate) version: &'a str,
    /// The body of `check`. At 2900 lies a list of one finding, at 16 an empty one.
    pub(crate) check: &'a str,
}

impl Default for Parts<'_> {
    fn default() -> Self {
        Self {
            name: "made",
            rule: "made.rule",
            answers: "made.rule",
            message: "said",
            verdict: 1,
            subject: "",
            phases: "",
            version: "1.0.0",
            check: "(i32.const 2900)",
        }
    }
}

/// A component of these parts.
pub(crate) fn made(parts: &Parts<'_>) -> Vec<u8> {
    let mut module = wat::parse_str(text(parts)).unwrap();
    let mut resolve = Resolve::default();
    let contract = CONTRACT.replace("@1.0.0", &format!("@{}", parts.version));
    let package = resolve.push_str("rules.wit", &contract).unwrap();
    let world = resolve.select_world(&[package], Some("validator")).unwrap();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    ComponentEncoder::default().module(&module).unwrap().encode().unwrap()
}

/// Length of a text with escapes such as `\1b`.
fn length(text: &str) -> usize {
    text.len() - 2 * text.matches('\\').count()
}

fn word(number: usize) -> String {
    let bytes = u32::try_from(number).unwrap().to_le_bytes().map(|byte| format!("\\{byte:02x}"));
    bytes.concat()
}

fn pair(at: usize, length: usize) -> String {
    word(at) + &word(length)
}

fn text(parts: &Parts<'_>) -> String {
    let Parts { name, rule, answers, message, verdict, subject, phases, version, check } = parts;
    let own = format!("whimbrel:rules/pack@{version}");
    let empty = pair(0, 0);
    let about = [&pair(4000, length(name)), &pair(4100, 1), &empty, &empty, &empty, &pair(1200, 1)]
        .map(String::as_str)
        .concat();
    let described = [&pair(4200, length(rule)), &empty, &empty, &empty, &pair(4500, length(phases)), &empty]
        .map(String::as_str)
        .concat();
    let finding = [
        &pair(4300, length(answers)),
        &word(*verdict),
        &pair(4600, length(subject)),
        &pair(4400, length(message)),
        &empty,
        &empty,
    ]
    .map(String::as_str)
    .concat();
    format!(
        r#"(module
            (memory (export "memory") 2)
            (global $next (mut i32) (i32.const 65536))
            (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
                (local $place i32)
                (global.set $next (i32.and
                    (i32.add (global.get $next) (i32.sub (local.get 2) (i32.const 1)))
                    (i32.sub (i32.const 0) (local.get 2))))
                (local.set $place (global.get $next))
                (global.set $next (i32.add (global.get $next) (local.get 3)))
                (local.get $place))
            (func (export "{own}#describe") (result i32) (i32.const 1024))
            (func (export "{own}#validate-settings") (param i32 i32 i32 i32) (result i32) (i32.const 16))
            (func $check (export "{own}#check") (param i32) (result i32) {check})
            (data (i32.const 1024) "{about}")
            (data (i32.const 1200) "{described}")
            (data (i32.const 2900) "{list}")
            (data (i32.const 3000) "{finding}")
            (data (i32.const 4000) "{name}")
            (data (i32.const 4100) "1")
            (data (i32.const 4200) "{rule}")
            (data (i32.const 4300) "{answers}")
            (data (i32.const 4400) "{message}")
            (data (i32.const 4500) "{phases}")
            (data (i32.const 4600) "{subject}"))"#,
        list = pair(3000, 1),
    )
}
