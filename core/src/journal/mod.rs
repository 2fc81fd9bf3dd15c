//! The record of a migration: the request, and every input with its instant.
//!
//! A journal replays bit for bit with the release that wrote it. The executor writes it ahead, the simulator
//! writes it as a trace, and it is attached to bug reports. Its written form is one JSON document a line: a header,
//! then a record an input. Each record carries the digest of all states after it, so a replay finds the first line at
//! which it differs, and a snapshot of the migration where that changed, by which another release can take the
//! migration over ([`resume`]).

mod inference;
mod lines;
mod resuming;

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use self::lines::{Line, Lines};
pub use self::resuming::{Left, resume, resume_lines};
use crate::document::ObjectsOnly;
use crate::migration::{Input, Migration, Output, Snapshot};
use crate::spec::Spec;
use crate::time::Instant;

/// Names the written form.
pub const SCHEMA: &str = "whimbrel.journal/3";

/// The forms that can be read: the one before has no snapshots.
const READABLE: [&str; 2] = ["whimbrel.journal/2", SCHEMA];

/// The first line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// [`SCHEMA`].
    pub schema: String,
    /// The request.
    pub spec: Spec,
    /// What a driver needs to continue the migration; absent where none could, as in a simulation.
    #[serde(default, rename = "circumstances", skip_serializing_if = "Option::is_none")]
    pub context: Option<DriverContext>,
}

/// The part of a migration that a driver needs to continue it, and the machine does not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DriverContext {
    /// When the migration began by the driver's clock, in milliseconds since 1970: an instant of 0 in the journal.
    pub began_at_unix_ms: u64,
    /// Where memory is sent, if that was specified.
    pub migrate_uri: Option<String>,
    /// The domain XML for the destination, if it is not the source's.
    pub destination_xml: Option<String>,
    /// Targets of the disks to copy, where an operator named them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub copied_disks: Vec<String>,
    /// Paths on the destination that the copy of disks may overwrite.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub overwritten_disks: Vec<String>,
}

/// Every other line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// When the input came.
    pub at_ns: Instant,
    /// The input.
    pub input: Input,
    /// The digest of all states after it.
    #[serde(rename = "trail")]
    pub state_digest: u64,
    /// How far the migration is after it, where the input changed that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<Box<Snapshot>>,
}

impl Record {
    /// The record of the input that a migration has just taken at this instant.
    #[must_use]
    pub fn of(migration: &Migration, at_ns: Instant, input: Input) -> Self {
        Self {
            at_ns,
            input,
            state_digest: migration.view().state_digest,
            snapshot: migration.changed_snapshot(),
        }
    }
}

/// Why a journal could not be replayed, and at which line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalError {
    /// Counted from 1.
    pub line: usize,
    /// One lower-case fragment.
    pub reason: String,
}

/// The header's line, without a line end.
#[must_use]
pub fn header_line(spec: &Spec, context: Option<DriverContext>) -> String {
    written(&Header { schema: SCHEMA.to_string(), spec: spec.clone(), context })
}

/// Reads the header of a journal. Of a later schema, what this release does not know is left out.
///
/// # Errors
/// When the first line is not one, or of a schema that cannot be read.
pub fn header(text: &str) -> Result<Header, JournalError> {
    header_of(text)
}

/// The same of a journal that is read line by line.
///
/// # Errors
/// As [`header`], and when the first line cannot be fetched.
pub fn header_of<L: Lines + ?Sized>(journal: &L) -> Result<Header, JournalError> {
    match journal.lines().next() {
        Some(first) => header_in(&first.map_err(|reason| JournalError { line: 1, reason })?),
        None => Err(JournalError { line: 1, reason: String::from("the journal is empty") }),
    }
}

fn header_in(first: &str) -> Result<Header, JournalError> {
    let mut value: Value = read(1, first)?;
    let schema = value.get("schema").and_then(Value::as_str).unwrap_or_default().to_string();
    if is_later(&schema) {
        leave_out_unknown(&mut value);
    } else if !READABLE.contains(&schema.as_str()) {
        let reason = alloc::format!("the journal is a `{schema}`, and this build reads `{SCHEMA}`");
        return Err(JournalError { line: 1, reason });
    }
    Header::deserialize(ObjectsOnly(value)).map_err(|error| at_line(1, &error))
}

/// A record's line, without a line end.
#[must_use]
pub fn record_line(record: &Record) -> String {
    written(record)
}

/// Replays a journal. `each` sees every record with the migration's outputs. Returns the migration as the journal
/// leaves it. A last line without its line end was torn while it was written: it is left out, and reported. Where a
/// migration was taken over, the replay begins with that.
///
/// # Errors
/// The first line that cannot be read, that the migration refuses, or whose states differ from those recorded.
pub fn replay(
    text: &str,
    each: impl FnMut(&Record, &Migration, &[Output]),
) -> Result<Replayed, JournalError> {
    replay_lines(text, each).map_err(Unreplayed::into_error)
}

/// Why a journal was not replayed to its end.
enum Unreplayed {
    /// A line is not as it must be.
    Differs(JournalError),
    /// A line could not be fetched: nothing follows for the journal itself.
    NotFetched(JournalError),
}

impl Unreplayed {
    fn into_error(self) -> JournalError {
        match self {
            Self::Differs(error) | Self::NotFetched(error) => error,
        }
    }
}

impl From<JournalError> for Unreplayed {
    fn from(error: JournalError) -> Self {
        Self::Differs(error)
    }
}

/// The lines with their numbers, from 1.
fn numbered<L: Lines + ?Sized>(
    journal: &L,
) -> impl Iterator<Item = Result<(usize, Cow<'_, str>), JournalError>> {
    (1..).zip(journal.lines()).map(|(number, line)| match line {
        Ok(line) => Ok((number, line)),
        Err(reason) => Err(JournalError { line: number, reason }),
    })
}

fn replay_lines<L: Lines + ?Sized>(
    journal: &L,
    mut each: impl FnMut(&Record, &Migration, &[Output]),
) -> Result<Replayed, Unreplayed> {
    let takeover = last_takeover(journal).map_err(Unreplayed::NotFetched)?;
    let mut lines = numbered(journal);
    let empty = || JournalError { line: 1, reason: String::from("the journal is empty") };
    let (_, first) = lines.next().ok_or_else(empty)?.map_err(Unreplayed::NotFetched)?;
    let Header { schema, spec, .. } = header_in(&first)?;
    if is_later(&schema) && takeover.is_none() {
        let reason = alloc::format!("the journal is a `{schema}`, and this build replays `{SCHEMA}`");
        return Err(JournalError { line: 1, reason }.into());
    }
    let mut migration = Migration::new(spec).map_err(|error| at_line(1, &error))?;
    let mut records = 0;
    for fetched in lines {
        let (line, text) = fetched.map_err(Unreplayed::NotFetched)?;
        if takeover.is_some_and(|takeover| line < takeover) {
            continue;
        }
        let record: Record = read(line, &text)?;
        let outputs: Vec<_> = migration
            .handle(record.at_ns, record.input.clone())
            .map_err(|misuse| at_line(line, &misuse))?
            .collect();
        if migration.view().state_digest != record.state_digest {
            let reason = String::from(
                "the states after this line differ from those that were recorded: another release wrote it, or it is damaged",
            );
            return Err(JournalError { line, reason }.into());
        }
        each(&record, &migration, &outputs);
        records += 1;
    }
    Ok(Replayed { migration, records, torn: journal.is_torn() })
}

/// A journal that was replayed to its end.
#[derive(Clone, Debug)]
pub struct Replayed {
    /// The migration as the journal leaves it.
    pub migration: Migration,
    /// Records that were replayed.
    pub records: usize,
    /// Whether a last, torn line was left out.
    pub torn: bool,
}

impl fmt::Display for JournalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.reason)
    }
}

impl core::error::Error for JournalError {}

/// Whether a later release wrote it.
fn is_later(schema: &str) -> bool {
    let version = |schema: &str| schema.strip_prefix("whimbrel.journal/")?.parse::<u32>().ok();
    version(schema) > version(SCHEMA)
}

/// Leaves out of a header what this release does not know.
fn leave_out_unknown(header: &mut Value) {
    let known = Header {
        schema: String::new(),
        spec: Spec::new("", "", ""),
        context: Some(DriverContext {
            began_at_unix_ms: 0,
            migrate_uri: None,
            destination_xml: None,
            copied_disks: alloc::vec![String::new()],
            overwritten_disks: alloc::vec![String::new()],
        }),
    };
    if let Ok(known) = serde_json::to_value(known) {
        retain(header, &known);
    }
}

/// Keeps the fields of an object that a known one has, at every depth.
fn retain(object: &mut Value, known: &Value) {
    if let (Value::Object(object), Value::Object(known)) = (object, known) {
        object.retain(|name, _| known.contains_key(name));
        for (name, value) in object.iter_mut() {
            if let Some(known) = known.get(name) {
                retain(value, known);
            }
        }
    }
}

/// The lines that have their line end, and what is behind them.
fn whole_lines(text: &str) -> (&str, &str) {
    match text.rfind('\n') {
        Some(end) => text.split_at(end + 1),
        None => ("", text),
    }
}

/// The number of the last line by which the migration was taken over.
fn last_takeover<L: Lines + ?Sized>(journal: &L) -> Result<Option<usize>, JournalError> {
    let is_one = |text: &str| {
        // Reading each line once more would double the time of every replay.
        text.contains("taken_over")
            && read::<Record>(0, text).is_ok_and(|record| matches!(record.input, Input::TakenOver(_)))
    };
    let mut last = None;
    for fetched in numbered(journal) {
        let (number, line) = fetched?;
        if is_one(&line) {
            last = Some(number);
        }
    }
    Ok(last)
}

fn read<'a, T: Deserialize<'a>>(line: usize, text: &'a str) -> Result<T, JournalError> {
    crate::document::from_json(text).map_err(|error| at_line(line, &error))
}

fn at_line(line: usize, reason: &impl ToString) -> JournalError {
    JournalError { line, reason: reason.to_string() }
}

/// The types above hold only numbers, strings, lists and maps with string keys: writing them cannot fail.
fn written(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}
