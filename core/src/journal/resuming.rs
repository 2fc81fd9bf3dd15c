//! Resumes a migration from its journal.
//!
//! A journal that this release wrote is replayed to the bit. One of another release, or a damaged one, is not
//! abandoned: a guest that was paused would stay paused, and a post-copy that was cut would never be joined. What is in
//! it is read as far as it can be. A part that cannot be read must never make a step look safe: it counts against the
//! step.

use alloc::boxed::Box;
use alloc::string::String;

use serde::Deserialize;
use serde_json::Value;

use super::inference::Inference;
use super::{JournalError, Lines, Record, Replayed, Unreplayed, header_of, numbered, replay_lines};
use crate::control::Found;
use crate::document::{self, ObjectsOnly};
use crate::facts::Facts;
use crate::migration::{Input, Migration, Output, Request, Snapshot, Takeover};
use crate::outcome::Outcome;
use crate::port::{Answer, Observation, Settings};
use crate::spec::Spec;
use crate::time::Instant;

/// What a journal leaves.
#[derive(Debug)]
pub enum Left {
    /// The migration, replayed to the bit. It may have ended.
    Replayed(Box<Replayed>),
    /// What could be read of it. It has ended if the takeover's snapshot has an outcome.
    Read {
        /// The request.
        spec: Box<Spec>,
        /// What is known of it.
        takeover: Box<Takeover>,
        /// The instant of its last record.
        last: Instant,
        /// Why it could not be replayed.
        why: JournalError,
    },
}

/// Replays a journal, or reads what can be read of it. `each` sees every record that is replayed, with the migration's
/// outputs.
///
/// # Errors
/// When nothing may be done with it: its header cannot be read, or the call may have been made and the guest's UUID
/// cannot be read.
pub fn resume(text: &str, each: impl FnMut(&Record, &Migration, &[Output])) -> Result<Left, JournalError> {
    resume_lines(text, each)
}

/// The same of a journal that is read line by line, in four passes at most.
///
/// # Errors
/// As [`resume`], and when a line cannot be fetched: then nothing is known of those behind it.
pub fn resume_lines<L: Lines + ?Sized>(
    journal: &L,
    each: impl FnMut(&Record, &Migration, &[Output]),
) -> Result<Left, JournalError> {
    let why = match replay_lines(journal, each) {
        Ok(replayed) => return Ok(Left::Replayed(Box::new(replayed))),
        Err(Unreplayed::NotFetched(error)) => return Err(error),
        Err(Unreplayed::Differs(why)) => why,
    };
    let spec = header_of(journal)?.spec;
    let mut reading = Reading::new(&spec);
    for line in numbered(journal).skip(1) {
        reading.take(&line?.1);
    }
    reading.conclude(journal, why)
}

/// A line as far as it can be read: fields of later releases are left out.
#[derive(Deserialize)]
struct LenientRecord {
    at_ns: Instant,
    input: Value,
    #[serde(default)]
    snapshot: Option<Value>,
}

/// What was read of a journal so far.
struct Reading<'s> {
    spec: &'s Spec,
    facts: Option<Box<Facts>>,
    originals: Option<Settings>,
    /// The last snapshot.
    snapshot: Option<Snapshot>,
    /// For a journal without snapshots.
    inference: Inference,
    last: Instant,
    all_read: bool,
}

impl<'s> Reading<'s> {
    fn new(spec: &'s Spec) -> Self {
        Self {
            spec,
            facts: None,
            originals: None,
            snapshot: None,
            inference: Inference::new(spec),
            last: Instant::BEGIN,
            all_read: true,
        }
    }

    fn take(&mut self, text: &str) {
        let Ok(line) = document::from_json::<LenientRecord>(text) else {
            self.all_read = false;
            return;
        };
        self.last = self.last.max(line.at_ns);
        match Input::deserialize(ObjectsOnly(line.input)) {
            Ok(input) => self.note(line.at_ns, &input),
            Err(_) => self.all_read = false,
        }
        match line.snapshot.map(|snapshot| Snapshot::deserialize(ObjectsOnly(snapshot))) {
            Some(Ok(snapshot)) => self.snapshot = Some(snapshot),
            Some(Err(_)) => self.all_read = false,
            None => {}
        }
    }

    fn note(&mut self, at: Instant, input: &Input) {
        match input {
            Input::Operator(Request::Begin) | Input::Restarted => {}
            Input::Operator(Request::Cancel) => self.inference.cancel_requested(),
            Input::Operator(Request::React(adjustment)) => self.inference.adjustment_requested(*adjustment),
            Input::Timer => self.inference.timer(self.spec, at),
            Input::TakenOver(takeover) => {
                self.facts.clone_from(&takeover.facts);
                self.originals = takeover.originals;
                self.snapshot = Some(takeover.snapshot.clone());
            }
            Input::Hypervisor(Observation::Hint(hint)) => self.inference.hinted(*hint),
            Input::Hypervisor(Observation::Answer { answer, .. }) => {
                match answer {
                    Answer::Facts(Ok(facts)) => {
                        self.inference.found(Found::of(facts, self.spec));
                        self.facts = Some(facts.clone());
                    }
                    Answer::Settings(Ok(settings)) => self.originals = Some(*settings),
                    _ => {}
                }
                self.inference.answered(answer);
            }
        }
    }

    fn conclude<L: Lines + ?Sized>(self, journal: &L, why: JournalError) -> Result<Left, JournalError> {
        let ended = if self.snapshot.is_none() && self.all_read {
            self.outcome_without_digests(journal)?
        } else {
            None
        };
        let Self { spec, facts, originals, snapshot, inference, last, all_read, .. } = self;
        let mut snapshot = snapshot.unwrap_or_else(|| inference.snapshot(spec, all_read));
        if let Some(outcome) = ended {
            snapshot.outcome = Some(Box::new(outcome));
        }
        if snapshot.call_made && facts.is_none() {
            let reason =
                String::from("the guest's UUID cannot be read, and the migrate call may have been made");
            return Err(JournalError { line: why.line, reason });
        }
        if !all_read {
            snapshot.ledger.distrust();
        }
        let takeover = Box::new(Takeover { facts, originals, snapshot });
        Ok(Left::Read { spec: Box::new(spec.clone()), takeover, last, why })
    }

    /// How the migration ended, if this release's machine ends with the same inputs. Its states may differ on the way:
    /// that it ended is all that is concluded.
    fn outcome_without_digests<L: Lines + ?Sized>(
        &self,
        journal: &L,
    ) -> Result<Option<Outcome>, JournalError> {
        let Ok(mut migration) = Migration::new(self.spec.clone()) else { return Ok(None) };
        for fetched in numbered(journal).skip(1) {
            let (_, text) = fetched?;
            let Ok(line) = document::from_json::<LenientRecord>(&text) else { return Ok(None) };
            let Ok(input) = Input::deserialize(ObjectsOnly(line.input)) else { return Ok(None) };
            // Its commands must not be executed: another release gave them.
            let Ok(outputs) = migration.handle(line.at_ns, input) else { return Ok(None) };
            drop(outputs);
        }
        Ok(migration.view().outcome.cloned())
    }
}
