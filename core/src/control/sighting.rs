//! What both hosts were seen to hold, and what follows from it.
//!
//! This table is the heart of the safety protocol. It must never call for a resume unless the other copy was seen
//! not to run, nor for a destroy unless the other copy was seen running.

use crate::facts::GuestRun;
use crate::port::{CopyState, Side};

/// What was seen on each host in the look that is under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Sighting {
    source: Option<CopyState>,
    destination: Option<CopyState>,
}

/// What a complete sighting means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Assessment {
    /// The guest runs on the source, and nothing else is anywhere.
    SourceRuns,
    /// The guest stands still on the source, and nothing else is anywhere.
    SourcePaused,
    /// The guest runs on the destination, and nothing else is anywhere.
    DestinationRuns,
    /// The guest stands still on the destination, and nothing else is anywhere.
    DestinationPaused,
    /// The hypervisors are still at it.
    CopyGoesOn,
    /// The guest stands still on the source and the destination has none: the source's may run.
    ResumeSource,
    /// The guest stands still on the destination and the source has none: the destination's may run.
    ResumeDestination,
    /// The guest runs on the destination; the source's stopped copy is a leftover.
    DestroySource,
    /// The guest runs on the source; the destination's copy is a leftover.
    DestroyDestination,
    /// Both copies run. Nothing may be done about it here.
    Both,
    /// Neither host has the guest.
    Nowhere,
    /// Nothing follows yet: a host did not answer, or the hypervisors have not finished tidying up.
    Unclear,
}

impl Sighting {
    /// Nothing was looked at yet.
    pub const NONE: Self = Self { source: None, destination: None };

    /// A complete sighting.
    #[must_use]
    pub const fn of(source: CopyState, destination: CopyState) -> Self {
        Self { source: Some(source), destination: Some(destination) }
    }

    /// Takes what was seen on one side.
    #[must_use]
    pub const fn with(self, side: Side, state: CopyState) -> Self {
        match side {
            Side::Source => Self { source: Some(state), ..self },
            Side::Destination => Self { destination: Some(state), ..self },
        }
    }

    /// Takes what was not seen in time as not known.
    #[must_use]
    pub fn closed(self) -> Self {
        Self::of(self.side(Side::Source), self.side(Side::Destination))
    }

    /// Whether both sides were looked at.
    #[must_use]
    pub const fn is_complete(self) -> bool {
        self.source.is_some() && self.destination.is_some()
    }

    /// What was seen on one side; not known while it was not looked at.
    #[must_use]
    pub fn side(self, side: Side) -> CopyState {
        match side {
            Side::Source => self.source,
            Side::Destination => self.destination,
        }
        .unwrap_or(CopyState::Unknown)
    }

    /// What follows, given how the guest stood before the migration.
    #[must_use]
    pub fn assess(self, guest_was: GuestRun) -> Assessment {
        use CopyState as Is;
        let ran = guest_was == GuestRun::Running;
        match (self.side(Side::Source), self.side(Side::Destination)) {
            (Is::Running, Is::Absent) => Assessment::SourceRuns,
            (Is::Running, Is::Incoming | Is::Stopped | Is::Paused) => Assessment::DestroyDestination,
            (Is::Running, Is::Running | Is::Migrating) => Assessment::Both,

            (Is::Migrating, Is::Incoming | Is::Absent | Is::Unknown) => Assessment::CopyGoesOn,

            (Is::Stopped, Is::Absent) if ran => Assessment::ResumeSource,
            (Is::Stopped | Is::Paused, Is::Absent) => Assessment::SourcePaused,
            (Is::Stopped | Is::Paused, Is::Running) => Assessment::DestroySource,

            (Is::Absent, Is::Running | Is::Migrating) => Assessment::DestinationRuns,
            (Is::Absent, Is::Stopped) if ran => Assessment::ResumeDestination,
            (Is::Absent, Is::Stopped | Is::Paused) => Assessment::DestinationPaused,
            (Is::Absent, Is::Absent) => Assessment::Nowhere,

            // A destination that has received everything and has not run yet may start at any moment: as long as the
            // source stands still too, neither is touched. libvirt starts it or ends it by itself.
            (Is::Stopped | Is::Paused, Is::Incoming)
            | (Is::Absent, Is::Incoming)
            // Two copies that stand still: which one is newer cannot be seen from here.
            | (Is::Stopped | Is::Paused, Is::Stopped | Is::Paused)
            // The source's job still tidies up behind a hand-over.
            | (Is::Migrating, Is::Running | Is::Stopped | Is::Paused | Is::Migrating)
            | (Is::Stopped | Is::Paused, Is::Migrating)
            // A host that does not answer may hold anything.
            | (Is::Running | Is::Stopped | Is::Paused | Is::Absent, Is::Unknown)
            | (Is::Unknown, _)
            // A source that receives a migration is not the source that we left.
            | (Is::Incoming, _)
            | (Is::Postcopy | Is::PostcopyFailed, _)
            | (_, Is::Postcopy | Is::PostcopyFailed) => Assessment::Unclear,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATES: [CopyState; 9] = [
        CopyState::Running,
        CopyState::Migrating,
        CopyState::Stopped,
        CopyState::Paused,
        CopyState::Incoming,
        CopyState::Postcopy,
        CopyState::PostcopyFailed,
        CopyState::Absent,
        CopyState::Unknown,
    ];

    fn every_pair() -> impl Iterator<Item = (CopyState, CopyState, GuestRun)> {
        STATES.into_iter().flat_map(|source| {
            STATES.into_iter().flat_map(move |destination| {
                [GuestRun::Running, GuestRun::Paused].map(|was| (source, destination, was))
            })
        })
    }

    #[test]
    fn a_resume_needs_the_other_copy_seen_absent() {
        for (source, destination, was) in every_pair() {
            match Sighting::of(source, destination).assess(was) {
                Assessment::ResumeSource => assert_eq!(destination, CopyState::Absent),
                Assessment::ResumeDestination => assert_eq!(source, CopyState::Absent),
                _ => {}
            }
        }
    }

    #[test]
    fn a_destroy_needs_the_other_copy_seen_running_and_this_one_seen_still() {
        let still = [CopyState::Stopped, CopyState::Paused, CopyState::Incoming];
        for (source, destination, was) in every_pair() {
            match Sighting::of(source, destination).assess(was) {
                Assessment::DestroySource => {
                    assert!(destination == CopyState::Running && still.contains(&source));
                }
                Assessment::DestroyDestination => {
                    assert!(source == CopyState::Running && still.contains(&destination));
                }
                _ => {}
            }
        }
    }

    #[test]
    fn a_host_that_does_not_answer_settles_nothing() {
        for (source, destination, was) in every_pair() {
            if source == CopyState::Unknown || destination == CopyState::Unknown {
                let assessment = Sighting::of(source, destination).assess(was);
                assert!(matches!(assessment, Assessment::Unclear | Assessment::CopyGoesOn), "{assessment:?}");
            }
        }
    }
}
