//! The ledger in its stored form.
//!
//! A journal of another release cannot be replayed: its states differ. What keeps a guest safe is in the ledger, so
//! each change of it is stored beside the record that caused it, by names that keep their meaning. Reading must never
//! make a migration appear safer than it is: a name that this release does not know counts against every step that it
//! could forbid.

use alloc::borrow::ToOwned as _;
use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::ledger::{Ledger, Mark};
use crate::facts::GuestRun;
use crate::outcome::Cause;
use crate::vocabulary::{Change, Changes};

/// The ledger of a migration by names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerSnapshot {
    /// The guest's state before the migration.
    pub guest_was: GuestRun,
    /// Why the migration is being ended, by the name of the [`Cause`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// Changes that may have been made and are to be put back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub undo: Vec<String>,
    /// Changes that could not be put back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_undone: Vec<String>,
    /// The marks that are set.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub marks: Vec<String>,
}

impl LedgerSnapshot {
    /// Notes that something of the migration could not be read: the destination may have run, and nothing is destroyed
    /// or undefined.
    pub(crate) fn distrust(&mut self) {
        for mark in [Mark::DestinationRan, Mark::Inferred] {
            let name = mark_name(mark);
            if !self.marks.iter().any(|given| given == name) {
                self.marks.push(name.to_owned());
            }
        }
    }
}

impl Ledger {
    /// Its stored form.
    #[must_use]
    pub fn snapshot(&self) -> LedgerSnapshot {
        let names = |changes: Changes| changes.iter().map(|change| change_name(change).to_owned()).collect();
        LedgerSnapshot {
            guest_was: self.guest_was,
            cause: self.cause.map(|cause| cause_name(cause).to_owned()),
            undo: names(self.undo),
            not_undone: names(self.not_undone),
            marks: Mark::ALL
                .into_iter()
                .filter(|&mark| self.has(mark))
                .map(|mark| mark_name(mark).to_owned())
                .collect(),
        }
    }

    /// Replaces the ledger's initial state by a snapshot's.
    pub(crate) fn restore(&mut self, snapshot: &LedgerSnapshot) {
        self.guest_was = snapshot.guest_was;
        // A cause of an unknown name still means that the migration is being ended.
        self.cause = snapshot.cause.as_deref().map(|name| known_cause(name).unwrap_or(Cause::CopyFailed));
        let (undo, all_undo_known) = changes(&snapshot.undo);
        let (not_undone, all_not_undone_known) = changes(&snapshot.not_undone);
        self.undo = undo;
        self.not_undone = not_undone;
        for mark in Mark::ALL {
            let name = mark_name(mark);
            self.set(mark, snapshot.marks.iter().any(|given| given == name));
        }
        let is_known = |given: &String| Mark::ALL.into_iter().any(|mark| mark_name(mark) == given);
        if !(all_undo_known && all_not_undone_known && snapshot.marks.iter().all(is_known)) {
            self.mark(Mark::DestinationRan);
            self.mark(Mark::Inferred);
        }
    }
}

/// The changes of these names, and whether all of them are known.
fn changes(names: &[String]) -> (Changes, bool) {
    let known = |name: &String| Change::ALL.into_iter().find(|&change| change_name(change) == name);
    let set = names.iter().filter_map(known).fold(Changes::EMPTY, Changes::with);
    (set, names.iter().all(|name| known(name).is_some()))
}

/// The name by which a cause is written in outcomes as well.
const fn cause_name(cause: Cause) -> &'static str {
    match cause {
        Cause::OperatorCancelled => "operator_cancelled",
        Cause::TimedOut => "timed_out",
        Cause::RulesRefused => "rules_refused",
        Cause::FactsMissing => "facts_missing",
        Cause::SettingsUnreadable => "settings_unreadable",
        Cause::SettingRefused => "setting_refused",
        Cause::CopyFailed => "copy_failed",
        Cause::ReplyLost => "reply_lost",
        Cause::PostcopyLost => "postcopy_lost",
        Cause::GuestStopped => "guest_stopped",
        Cause::DriverRestarted => "driver_restarted",
    }
}

fn known_cause(name: &str) -> Option<Cause> {
    Cause::ALL.into_iter().find(|&cause| cause_name(cause) == name)
}

/// The stored names. One that was published keeps its meaning.
const fn change_name(change: Change) -> &'static str {
    match change {
        Change::DowntimeLimit => "downtime_limit",
        Change::BandwidthLimit => "bandwidth_limit",
        Change::Pause => "pause",
        Change::Disks => "disks",
    }
}

const fn mark_name(mark: Mark) -> &'static str {
    match mark {
        Mark::CancelAsked => "cancel_requested",
        Mark::SwitchoverBegan => "switchover_began",
        Mark::DestinationReceives => "destination_received",
        Mark::OriginalsKnown => "originals_known",
        Mark::PostcopyAllowed => "postcopy_allowed",
        Mark::PostcopyAsked => "postcopy_requested",
        Mark::PostcopySeen => "postcopy_observed",
        Mark::PausedByUs => "paused_by_migration",
        Mark::MakesDisks => "creates_disks",
        Mark::TakesDefinition => "moves_definition",
        Mark::DefinedThere => "defined_on_destination",
        Mark::Offline => "offline",
        Mark::PauseAtTimeout => "pause_at_timeout",
        Mark::PostcopyAtTimeout => "postcopy_at_timeout",
        Mark::DestinationRan => "destination_ran",
        Mark::Inferred => "inferred",
        Mark::DestinationEmptied => "destination_emptied",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::vec;

    use super::*;
    use crate::vocabulary::{AtTimeout, ControlOptions};

    fn ledger() -> Ledger {
        let options = ControlOptions { postcopy: true, offline: false, at_timeout: AtTimeout::Cancel };
        Ledger::new(Changes::EMPTY, options)
    }

    #[test]
    fn every_ledger_comes_back_as_it_was() {
        for mark in Mark::ALL {
            for change in Change::ALL {
                for cause in Cause::ALL.map(Some).into_iter().chain([None]) {
                    let mut before = ledger();
                    before.mark(mark);
                    before.undo = before.undo.with(change);
                    before.not_undone = Changes::EMPTY.with(Change::Disks);
                    before.cause = cause;
                    let mut after = ledger();
                    after.restore(&before.snapshot());
                    assert_eq!(after, before);
                }
            }
        }
    }

    #[test]
    fn no_two_marks_have_one_name() {
        let names: BTreeSet<_> = Mark::ALL.into_iter().map(mark_name).collect();
        assert_eq!(names.len(), Mark::ALL.len());
    }

    #[test]
    fn a_name_of_a_later_release_forbids_what_it_could_forbid() {
        let of_later: [fn(&mut LedgerSnapshot); 2] = [
            |snapshot| snapshot.marks.push("memory_is_elsewhere".to_owned()),
            |snapshot| snapshot.undo = vec!["cpu_model".to_owned()],
        ];
        for change in of_later {
            let mut snapshot = ledger().snapshot();
            change(&mut snapshot);
            let mut read = ledger();
            read.restore(&snapshot);
            assert!(read.has(Mark::DestinationRan) && read.has(Mark::Inferred));
        }
        let mut snapshot = ledger().snapshot();
        snapshot.cause = Some("sunspots".to_owned());
        let mut read = ledger();
        read.restore(&snapshot);
        assert!(read.cause.is_some(), "a migration that was being left is left");
    }
}
