//! Taking over a migration whose journal cannot be replayed.
//!
//! Everything known of it comes as one value. It is never taken further than it was: a migration whose migrate call may
//! have been made is resolved by what the hosts report; one whose call was not made has its settings put back and ends.

use alloc::boxed::Box;
use core::mem;

use serde::{Deserialize, Serialize};

use super::Migration;
use super::io::Misuse;
use super::limits::Limits;
use crate::control::{Control, Ledger, LedgerSnapshot, Phase, Timer};
use crate::facts::Facts;
use crate::outcome::Outcome;
use crate::port::Settings;
use crate::time::Instant;
use crate::vocabulary::Change;

/// Everything a driver needs to take a migration over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Takeover {
    /// The guest and both hosts, as they were before the migration; `None` if they were never queried.
    pub facts: Option<Box<Facts>>,
    /// The guest's own settings, where they were read.
    pub originals: Option<Settings>,
    /// How far it was.
    pub snapshot: Snapshot,
}

/// How far a migration is, in a form that every release can read. A journal holds one beside each record that changes
/// it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Whether the migrate call may have been made.
    pub call_made: bool,
    /// Whether the migrate call reported success.
    pub has_arrived: bool,
    /// The ledger, on which the guest's safety depends.
    pub ledger: LedgerSnapshot,
    /// How it ended, once it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Box<Outcome>>,
}

impl Takeover {
    /// The same for a migration that ended in doubt and is to be examined once more: what could not be put back is put
    /// back if the guest turns out to be on the source.
    #[must_use]
    pub fn examined_again(mut self) -> Self {
        self.snapshot.outcome = None;
        let not_undone = mem::take(&mut self.snapshot.ledger.not_undone);
        self.snapshot.ledger.undo.extend(not_undone);
        self
    }
}

/// The parts of a migration that a snapshot shows, compared to notice a change.
pub(super) type Progress = (Ledger, bool, bool, bool);

impl Migration {
    /// How far it is.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            call_made: self.call_made,
            has_arrived: self.has_arrived,
            ledger: self.control.ledger().snapshot(),
            outcome: self.outcome.clone().map(Box::new),
        }
    }

    /// The snapshot, if the last input changed it.
    #[must_use]
    pub fn changed_snapshot(&self) -> Option<Box<Snapshot>> {
        self.has_progressed.then(|| Box::new(self.snapshot()))
    }

    /// Everything another driver needs to take it over.
    #[must_use]
    pub fn takeover(&self) -> Takeover {
        Takeover { facts: self.facts.clone(), originals: self.originals, snapshot: self.snapshot() }
    }

    pub(super) fn take_over(&mut self, now: Instant, takeover: Takeover) -> Result<(), Misuse> {
        let before = self.control.phase();
        if !matches!(before, Phase::Validating(validating) if !validating.has_begun()) {
            return Err(Misuse::AlreadyBegun);
        }
        self.now = now;
        let Takeover { facts, originals, snapshot } = takeover;
        if let Some(facts) = &facts {
            self.downtime.begins_with(facts.guest.run);
        }
        // The stops of the guest before this were not observed here.
        self.downtime.missed_something();
        self.facts = facts;
        self.originals = originals;
        self.call_made = snapshot.call_made;
        self.has_arrived = snapshot.has_arrived;
        let mut ledger = *self.control.ledger();
        ledger.restore(&snapshot.ledger);
        // A limit that may have been changed is not known any more.
        let read = originals.map_or_else(Limits::default, Limits::from);
        self.limits.read(Limits {
            downtime_ms: read.downtime_ms.filter(|_| !ledger.undo.has(Change::DowntimeLimit)),
            bandwidth_bytes_per_second: read
                .bandwidth_bytes_per_second
                .filter(|_| !ledger.undo.has(Change::BandwidthLimit)),
        });
        let (control, orders) = Control::take_over(ledger, snapshot.call_made);
        // The timeout of pre-copy counts from the migration's beginning, not from the takeover.
        if let Some(timeout_ms) = self.spec.timeout_ms {
            self.timers.arm(Timer::GiveUp, now.max(Instant::from_ms(timeout_ms)));
        }
        self.enter(control, &orders, before, false);
        Ok(())
    }

    /// Its parts that a snapshot shows.
    pub(super) fn progress(&self) -> Progress {
        (*self.control.ledger(), self.call_made, self.has_arrived, self.outcome.is_some())
    }
}
