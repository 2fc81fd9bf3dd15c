//! The rules that a history is checked against.

use std::fmt;

use crate::history::{Actor, CopyId, Event, History};
use crate::state::{Copy, State};

/// A rule about what may happen to a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// Two copies ran at the same time on the same storage.
    OneWriter,
    /// A copy ran whose memory was older than its storage.
    MemoryNotOlder,
    /// A copy ran whose storage was older than its memory.
    StorageNotOlder,
    /// A copy ran without memory, or without the copy that holds the rest of it.
    MemoryComplete,
    /// The last copy from which the guest could go on was ended.
    LastCopyKept,
    /// The history contradicts itself: it names a copy that is not there, for example. Its recorder is wrong.
    Consistent,
}

/// A rule that was broken, with the evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The rule.
    pub rule: Rule,
    /// When.
    pub at_ns: u64,
    /// Whose action broke it.
    pub by: Actor,
    /// The copy that was started or ended.
    pub copy: CopyId,
    /// The copy that ran at the same time, or that wrote the version that the first one does not know, with the instant
    /// since when it ran, or at which it wrote last.
    pub other: Option<(CopyId, u64)>,
    /// The version of its storage that the copy's memory knows.
    pub known_version: u64,
    /// The version that the storage has.
    pub storage_version: u64,
}

/// Checks a history. The violations are in the order of the events that cause them.
#[must_use]
pub fn check(history: &History) -> Vec<Violation> {
    let mut state = State::default();
    let mut violations = Vec::new();
    for (at_ns, event) in history.events() {
        state.advance(*at_ns, history.writes());
        judge(&state, *at_ns, event, &mut violations);
        if !state.apply(*at_ns, event, history.writes()) {
            violations.push(contradiction(*at_ns, event));
        }
    }
    violations
}

/// What an event breaks, seen from the state before it.
fn judge(before: &State, at_ns: u64, event: &Event, violations: &mut Vec<Violation>) {
    match *event {
        Event::Started { copy, by } => {
            if let Some(copy) = before.copy(copy).filter(|copy| !copy.runs()) {
                judge_start(before, at_ns, copy, by, violations);
            }
        }
        Event::Ended { copy: id, how: crate::End::Destroyed, by: by @ Actor::Migration } => {
            let Some(copy) = before.copy(id) else { return };
            let mut after = before.clone();
            after.copies.retain(|other| other.id != id);
            if before.is_alive() && !after.is_alive() {
                violations.push(violation(before, Rule::LastCopyKept, at_ns, copy, by));
            }
        }
        Event::Wrote { copy, .. } => {
            if let Some(copy) = before.copy(copy).filter(|copy| !before.is_current(copy)) {
                let rule = older(before, copy);
                violations.push(violation(before, rule, at_ns, copy, Actor::Guest));
            }
        }
        Event::Created { .. }
        | Event::MemoryReceived { .. }
        | Event::TakenOver { .. }
        | Event::Stopped { .. }
        | Event::Rebooted { .. }
        | Event::Mirrored { .. }
        | Event::Ended { .. }
        | Event::Defined { .. }
        | Event::Undefined { .. }
        | Event::Set { .. }
        | Event::Observed { .. } => {}
    }
}

fn judge_start(before: &State, at_ns: u64, copy: &Copy, by: Actor, violations: &mut Vec<Violation>) {
    let shares = |other: &&Copy| other.id != copy.id && other.storage == copy.storage && other.runs();
    if let Some(other) = before.copies.iter().find(shares) {
        let other = Some((other.id, other.running_since_ns.unwrap_or(at_ns)));
        let one_writer = violation(before, Rule::OneWriter, at_ns, copy, by);
        violations.push(Violation { other, ..one_writer });
    }
    if !before.is_complete(copy) {
        violations.push(violation(before, Rule::MemoryComplete, at_ns, copy, by));
    } else if !before.is_current(copy) {
        violations.push(violation(before, older(before, copy), at_ns, copy, by));
    }
}

/// Which of the two is older in a copy that is not current.
fn older(state: &State, copy: &Copy) -> Rule {
    let version = state.storage(copy.storage).map_or(0, |storage| storage.version);
    if copy.knows < version { Rule::MemoryNotOlder } else { Rule::StorageNotOlder }
}

fn violation(state: &State, rule: Rule, at_ns: u64, copy: &Copy, by: Actor) -> Violation {
    let storage = state.storage(copy.storage);
    Violation {
        rule,
        at_ns,
        by,
        copy: copy.id,
        other: storage.and_then(|storage| storage.written).filter(|(writer, _)| *writer != copy.id),
        known_version: copy.knows,
        storage_version: storage.map_or(0, |storage| storage.version),
    }
}

fn contradiction(at_ns: u64, event: &Event) -> Violation {
    let copy = match *event {
        Event::Created { copy, .. }
        | Event::MemoryReceived { copy, .. }
        | Event::TakenOver { copy }
        | Event::Started { copy, .. }
        | Event::Stopped { copy, .. }
        | Event::Rebooted { copy }
        | Event::Wrote { copy }
        | Event::Ended { copy, .. }
        | Event::Set { copy, .. } => copy,
        Event::Mirrored { .. } | Event::Defined { .. } | Event::Undefined { .. } | Event::Observed { .. } => {
            CopyId(u32::MAX)
        }
    };
    let by = Actor::Other;
    Violation { rule: Rule::Consistent, at_ns, by, copy, other: None, known_version: 0, storage_version: 0 }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at_ns, by, copy, known_version, storage_version, .. } = self;
        let versions =
            format!("its memory knows version {known_version}, its storage has version {storage_version}");
        match self.rule {
            Rule::OneWriter => write!(f, "at {at_ns} ns {by} started {copy} while another copy ran")?,
            Rule::MemoryNotOlder => {
                write!(
                    f,
                    "at {at_ns} ns {by} started {copy} with memory older than its storage: {versions}"
                )?;
            }
            Rule::StorageNotOlder => {
                write!(
                    f,
                    "at {at_ns} ns {by} started {copy} with storage older than its memory: {versions}"
                )?;
            }
            Rule::MemoryComplete => {
                write!(f, "at {at_ns} ns {by} started {copy} without all of its memory")?;
            }
            Rule::LastCopyKept => {
                write!(f, "at {at_ns} ns {by} ended {copy}, the last from which the guest could go on")?;
            }
            Rule::Consistent => write!(f, "at {at_ns} ns the history contradicts itself about {copy}")?,
        }
        match self.other {
            Some((other, since_ns)) if self.rule == Rule::OneWriter => {
                write!(f, "; {other} has run since {since_ns} ns or before")
            }
            Some((other, wrote_ns)) => write!(f, "; {other} wrote last, at {wrote_ns} ns"),
            None => Ok(()),
        }
    }
}
