//! The observed copies on both hosts, and what follows from them.
//!
//! This table is the core of the safety protocol. It must never require a resume unless the other host was seen without
//! the guest in memory, nor a destroy unless the other copy was seen running; and the copy that a post-copy left behind
//! must never run again.

use super::ledger::{Ledger, Mark};
use crate::facts::GuestRun;
use crate::port::{CopyState, Side};

/// The states seen on both hosts in the current round of queries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct HostObservations {
    source: Option<CopyState>,
    destination: Option<CopyState>,
}

/// The meaning of complete observations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Assessment {
    /// The guest runs on the source, and nothing else is anywhere.
    SourceRuns,
    /// The guest is paused on the source, and nothing else is anywhere.
    SourcePaused,
    /// The guest is off and defined on the source only.
    SourceOff,
    /// The guest runs on the destination, and nothing else is anywhere.
    DestinationRuns,
    /// The guest is paused on the destination, and nothing else is anywhere.
    DestinationPaused,
    /// The guest is off and defined on the destination only.
    DestinationOff,
    /// The hypervisors are still migrating.
    CopyGoesOn,
    /// The guest runs on the destination, and its memory is on its way.
    PostcopyGoesOn,
    /// The same, and the connection is lost.
    PostcopyCutOff,
    /// The guest is stopped on the source and the destination has none: the source's copy may run.
    ResumeSource,
    /// The guest is stopped on the destination and the source has none: the destination's copy may run.
    ResumeDestination,
    /// The guest runs on the destination; the source's copy is a leftover.
    DestroySource,
    /// The guest runs on the source; the destination's copy is a leftover.
    DestroyDestination,
    /// The guest is on the destination; the source's definition is a leftover, from which a second copy could be
    /// started.
    UndefineSource,
    /// The guest is on the source; the destination's definition is a leftover of this migration.
    UndefineDestination,
    /// Both copies run. No step is safe.
    Both,
    /// Neither host has the guest.
    Nowhere,
    /// The half that ran is gone: what the source holds is older than what the guest did since.
    LeftBehind,
    /// The half that held the rest of the memory is gone: the destination's copy cannot run for long.
    Incomplete,
    /// The half on the destination runs and the source has nothing: whether memory is missing is unknown.
    HalfAlone,
    /// No conclusion yet: a host did not answer, or the hypervisors have not finished their cleanup.
    Unclear,
}

impl HostObservations {
    /// No host has answered yet.
    pub const NONE: Self = Self { source: None, destination: None };

    /// Complete observations.
    #[must_use]
    pub const fn of(source: CopyState, destination: CopyState) -> Self {
        Self { source: Some(source), destination: Some(destination) }
    }

    /// Takes the state of one side.
    #[must_use]
    pub const fn with(self, side: Side, state: CopyState) -> Self {
        match side {
            Side::Source => Self { source: Some(state), ..self },
            Side::Destination => Self { destination: Some(state), ..self },
        }
    }

    /// A side that did not answer in time counts as unknown.
    #[must_use]
    pub fn closed(self) -> Self {
        Self::of(self.side(Side::Source), self.side(Side::Destination))
    }

    /// Whether both sides have answered.
    #[must_use]
    pub const fn is_complete(self) -> bool {
        self.source.is_some() && self.destination.is_some()
    }

    /// The state of one side; unknown while it has not answered.
    #[must_use]
    pub fn side(self, side: Side) -> CopyState {
        match side {
            Side::Source => self.source,
            Side::Destination => self.destination,
        }
        .unwrap_or(CopyState::Unknown)
    }

    /// The meaning of the observations for a migration with this ledger.
    #[must_use]
    pub fn assess(self, ledger: &Ledger) -> Assessment {
        use CopyState as Is;
        let (source, destination) = (self.side(Side::Source), self.side(Side::Destination));
        match (source, destination) {
            (Is::Running, Is::Absent) => Assessment::SourceRuns,
            (Is::Running, Is::Defined) if ledger.has(Mark::DefinedThere) => Assessment::SourceRuns,
            (Is::Running, Is::Defined) => Assessment::UndefineDestination,
            // Our copy has ended there before: this one is another client's, and not ours to destroy.
            (Is::Running, Is::Incoming | Is::Stopped | Is::Paused) if ledger.has(Mark::DestinationEmptied) => {
                Assessment::SourceRuns
            }
            (Is::Running, Is::Incoming | Is::Stopped | Is::Paused) => Assessment::DestroyDestination,
            (Is::Running, Is::Running | Is::Migrating | Is::Postcopy | Is::PostcopyFailed) => Assessment::Both,

            (Is::Migrating, Is::Incoming | Is::Absent | Is::Defined | Is::Unknown) => Assessment::CopyGoesOn,

            (Is::Stopped | Is::Paused, Is::Absent | Is::Defined) if ledger.has(Mark::PostcopySeen) => {
                Assessment::LeftBehind
            }
            (Is::Stopped | Is::Paused, Is::Absent | Is::Defined) if ledger.is_stopped_by_us(source) => {
                if ledger.may_resume_source(destination) {
                    Assessment::ResumeSource
                } else {
                    Assessment::Unclear
                }
            }
            // The destination may have run the guest, which has ended there: the source's memory would be older than
            // the disks.
            (Is::Stopped | Is::Paused, Is::Absent | Is::Defined) if ledger.may_be_stale(destination) => {
                Assessment::Unclear
            }
            (Is::Stopped | Is::Paused, Is::Absent | Is::Defined) => Assessment::SourcePaused,
            (Is::Stopped | Is::Paused, Is::Running) => Assessment::DestroySource,

            (Is::Defined, Is::Running) if ledger.has(Mark::TakesDefinition) => Assessment::UndefineSource,
            (Is::Absent | Is::Defined, Is::Running | Is::Migrating) => Assessment::DestinationRuns,
            (Is::Absent | Is::Defined, Is::Stopped | Is::Paused) => {
                if ledger.is_stopped_by_us(destination) && !ledger.has(Mark::DestinationEmptied) {
                    Assessment::ResumeDestination
                } else {
                    Assessment::DestinationPaused
                }
            }

            // A guest that wakes up, or that is paused and resumed, in post-copy is reported as plainly running
            // although its memory is still on its way: only the source's job shows that.
            (Is::Postcopy, Is::Postcopy | Is::Running) | (Is::Migrating, Is::Postcopy) => {
                Assessment::PostcopyGoesOn
            }
            (Is::Postcopy | Is::PostcopyFailed, Is::Postcopy | Is::PostcopyFailed) => Assessment::PostcopyCutOff,
            (Is::Postcopy | Is::PostcopyFailed, Is::Absent | Is::Defined) => Assessment::LeftBehind,
            (Is::Absent | Is::Defined, Is::PostcopyFailed) => Assessment::Incomplete,
            // It is reported so until its QEMU misses the source; all of its memory may have arrived.
            (Is::Absent | Is::Defined, Is::Postcopy) => Assessment::HalfAlone,

            (Is::Absent | Is::Defined, Is::Absent | Is::Defined) => ledger.assess_off(source, destination),

            // A destination that has received everything and has not run yet may start at any moment: as long as the
            // source is stopped too, neither is touched. libvirt itself starts it or ends it.
            (Is::Stopped | Is::Paused | Is::Absent | Is::Defined, Is::Incoming)
            // Two stopped copies: which one is newer cannot be seen from here.
            | (Is::Stopped | Is::Paused, Is::Stopped | Is::Paused)
            // The source's job still cleans up after a switchover.
            | (Is::Migrating, Is::Running | Is::Stopped | Is::Paused | Is::Migrating | Is::PostcopyFailed)
            | (Is::Stopped | Is::Paused, Is::Migrating | Is::Postcopy | Is::PostcopyFailed)
            // A half whose other half is seen as something whole, or not at all. It may still hold memory that the
            // guest misses, whatever the destination reports.
            | (
                Is::Postcopy | Is::PostcopyFailed,
                Is::Migrating | Is::Stopped | Is::Paused | Is::Incoming | Is::Unknown,
            )
            | (Is::PostcopyFailed, Is::Running)
            // A host that does not answer may hold anything.
            | (Is::Running | Is::Stopped | Is::Paused | Is::Defined | Is::Absent, Is::Unknown)
            | (Is::Unknown, _)
            // A source that receives a migration is not the source that this migration left.
            | (Is::Incoming, _) => Assessment::Unclear,
        }
    }
}

impl Ledger {
    /// Whether a stopped copy is stopped only because of this migration.
    fn is_stopped_by_us(&self, state: CopyState) -> bool {
        self.guest_was == GuestRun::Running
            && (state == CopyState::Stopped || state == CopyState::Paused && self.has(Mark::PausedByUs))
    }

    /// Neither host has the guest in memory.
    fn assess_off(&self, source: CopyState, destination: CopyState) -> Assessment {
        let is_defined = |state| state == CopyState::Defined;
        match (is_defined(source), is_defined(destination)) {
            _ if !self.has(Mark::Offline) => Assessment::Nowhere,
            (false, false) => Assessment::Nowhere,
            (true, false) => Assessment::SourceOff,
            (false, true) => Assessment::DestinationOff,
            // A migration that is being left takes back what it stored; one that worked, or whose reply was lost, has
            // moved the guest.
            (true, true) if self.cause.is_some() && self.has(Mark::DefinedThere) => Assessment::SourceOff,
            (true, true) if self.cause.is_some() => Assessment::UndefineDestination,
            (true, true) => Assessment::UndefineSource,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::Found;
    use crate::vocabulary::{AtTimeout, Changes, ControlOptions};

    /// Every ledger that an assessment can distinguish.
    fn ledgers() -> std::vec::Vec<Ledger> {
        let options = |offline| ControlOptions { postcopy: true, offline, at_timeout: AtTimeout::Cancel };
        let mut ledgers = std::vec![];
        for bits in 0..=511_u16 {
            let is = |bit: u16| bits & (1 << bit) != 0;
            let mut ledger = Ledger::new(Changes::EMPTY, options(is(0)));
            ledger.note_found(Found {
                run: if is(1) { GuestRun::Running } else { GuestRun::Paused },
                is_persistent: is(2),
                is_defined_there: is(3),
                makes_disks: false,
            });
            let marks = [
                (4, Mark::PausedByUs),
                (5, Mark::PostcopyAsked),
                (6, Mark::PostcopySeen),
                (7, Mark::DestinationRan),
                (8, Mark::DestinationEmptied),
            ];
            for (bit, mark) in marks {
                if is(bit) {
                    ledger.mark(mark);
                }
            }
            ledgers.push(ledger);
            ledger.set_cause(crate::outcome::Cause::CopyFailed);
            ledgers.push(ledger);
        }
        ledgers
    }

    fn for_every_pair(mut check: impl FnMut(CopyState, CopyState, &Ledger, Assessment)) {
        for ledger in ledgers() {
            for source in CopyState::ALL {
                for destination in CopyState::ALL {
                    let assessment = HostObservations::of(source, destination).assess(&ledger);
                    check(source, destination, &ledger, assessment);
                }
            }
        }
    }

    #[test]
    fn a_copy_that_appears_on_an_emptied_destination_is_neither_resumed_nor_destroyed() {
        for_every_pair(|_, _, ledger, assessment| {
            if ledger.has(Mark::DestinationEmptied) {
                assert_ne!(assessment, Assessment::ResumeDestination);
                assert_ne!(assessment, Assessment::DestroyDestination);
            }
        });
    }

    #[test]
    fn a_resume_needs_the_other_host_seen_without_the_guest() {
        for_every_pair(|source, destination, ledger, assessment| match assessment {
            Assessment::ResumeSource => {
                assert!(destination.is_gone());
                assert!(ledger.may_resume_source(destination), "a stale copy never runs again");
            }
            Assessment::ResumeDestination => assert!(source.is_gone()),
            _ => {}
        });
    }

    #[test]
    fn a_destroy_needs_the_other_copy_seen_running_and_this_one_seen_still() {
        let still = [CopyState::Stopped, CopyState::Paused, CopyState::Incoming];
        for_every_pair(|source, destination, _, assessment| match assessment {
            Assessment::DestroySource => {
                assert!(destination == CopyState::Running && still.contains(&source));
            }
            Assessment::DestroyDestination => {
                assert!(source == CopyState::Running && still.contains(&destination));
            }
            _ => {}
        });
    }

    #[test]
    fn a_definition_is_dropped_only_where_the_other_host_has_the_guest() {
        let has = [CopyState::Running, CopyState::Defined];
        for_every_pair(|source, destination, ledger, assessment| match assessment {
            Assessment::UndefineSource => {
                assert!(source == CopyState::Defined && has.contains(&destination));
                let moves = ledger.has(Mark::TakesDefinition) || ledger.has(Mark::Offline);
                assert!(moves, "a guest that leaves its definition behind keeps it");
            }
            Assessment::UndefineDestination => {
                assert!(destination == CopyState::Defined && has.contains(&source));
                assert!(!ledger.has(Mark::DefinedThere), "what was there before stays");
            }
            _ => {}
        });
    }

    #[test]
    fn a_host_that_does_not_answer_settles_nothing() {
        for_every_pair(|source, destination, _, assessment| {
            if source == CopyState::Unknown || destination == CopyState::Unknown {
                assert!(matches!(assessment, Assessment::Unclear | Assessment::CopyGoesOn), "{assessment:?}");
            }
        });
    }
}
