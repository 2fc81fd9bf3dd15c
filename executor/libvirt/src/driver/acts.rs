//! The steps that change a copy: resume, destroy, suspend, undefine.
//!
//! Time has passed since the observation that required the step: each queries the copy again, and does nothing to one
//! that has changed.

use whimbrel_core::{CopyState, Failure, Fault, Side};

use super::Hosts;
use super::failure::failure;

impl Hosts {
    /// Resumes a copy that is still stopped, as it was observed. Time has passed since: it is queried again.
    pub(super) fn resume(&self, side: Side) -> Result<(), Failure> {
        match self.look(side) {
            CopyState::Stopped | CopyState::Paused => {}
            state => return Err(changed(side, state)),
        }
        self.domain(side).and_then(|domain| domain.resume()).map_err(|error| failure(side, &error))
    }

    /// Ends a copy that is still stopped. Its definition stays: whether one must go is found by the next look, and
    /// dropped by [`undefine`](Self::undefine) with its own checks, never one that was there before.
    pub(super) fn destroy(&self, side: Side) -> Result<(), Failure> {
        match self.look(side) {
            CopyState::Stopped | CopyState::Paused | CopyState::Incoming => {}
            state => return Err(changed(side, state)),
        }
        // It was seen to run across; since then that host may have been lost, and this copy may be the last.
        match self.look(side.other()) {
            CopyState::Running => {}
            state => return Err(changed(side.other(), state)),
        }
        self.domain(side).and_then(|domain| domain.destroy()).map_err(|error| failure(side, &error))
    }

    /// Stops the guest while it is being migrated, and not otherwise: no step would resume it.
    pub(super) fn suspend(&self) -> Result<(), Failure> {
        match self.look(Side::Source) {
            CopyState::Migrating => {}
            state => return Err(changed(Side::Source, state)),
        }
        self.domain(Side::Source)
            .and_then(|domain| domain.suspend())
            .map_err(|error| failure(Side::Source, &error))
    }

    /// Drops a definition that stands for nothing any more. The one across must outlive the guest's run, or the guest
    /// would be defined nowhere.
    pub(super) fn undefine(&self, side: Side) -> Result<(), Failure> {
        match self.look(side) {
            CopyState::Defined => {}
            state => return Err(changed(side, state)),
        }
        let across = self.domain(side.other()).and_then(|domain| domain.is_persistent());
        if !across.map_err(|error| failure(side.other(), &error))? {
            return Err(Failure::new(Fault::Refused, "the guest across has no definition of its own"));
        }
        self.domain(side).and_then(|domain| domain.undefine()).map_err(|error| failure(side, &error))
    }
}

pub(super) fn changed(side: Side, state: CopyState) -> Failure {
    Failure::new(Fault::Refused, format!("the copy on the {side} is {state} by now"))
}
