//! What the guest does by itself, and what others do to it with the same hypervisors: operators, high availability.
//!
//! None of it is forbidden to them, so none of it is a violation. What the machine does after it is.

use super::model::{Here, Host, Model, There};

impl Model {
    /// libvirt reports a guest that wakes up as running, whatever the migration does (`qemuProcessHandlePMWakeup`).
    pub(super) fn wakes_up(&mut self) -> bool {
        let can = self.there == There::Half && self.destination == Host::Up && !self.woke_up;
        self.woke_up |= can;
        can
    }

    pub(super) fn source_guest_stops(&mut self) -> bool {
        let can = self.here == Here::Running;
        if can {
            self.here = Here::Paused;
            self.halted_here = true;
        }
        can
    }

    pub(super) fn destination_guest_stops(&mut self) -> bool {
        let can = self.there == There::Running;
        if can {
            self.there = There::Paused;
        }
        can
    }

    pub(super) fn source_guest_is_resumed(&mut self) -> bool {
        let can = matches!(self.here, Here::Paused | Here::Stopped) && self.source == Host::Up;
        if can {
            self.here = Here::Running;
            self.halted_here = false;
        }
        can
    }

    pub(super) fn destination_guest_is_resumed(&mut self) -> bool {
        let can = self.there == There::Paused && self.destination == Host::Up;
        if can {
            self.there = There::Running;
            self.ran_there = true;
        }
        can
    }

    pub(super) fn source_guest_is_started(&mut self) -> bool {
        let can = self.here == Here::Gone && self.defined_here && !self.offline && self.source == Host::Up;
        if can {
            self.here = Here::Running;
            self.restarted_here = true;
            self.postcopy_began = false;
        }
        can
    }

    pub(super) fn destination_guest_is_started(&mut self) -> bool {
        let can = self.there == There::Nothing
            && self.defined_there
            && !self.offline
            && self.destination == Host::Up;
        if can {
            self.there = There::Running;
            self.ran_there = true;
            self.restarted_there = true;
        }
        can
    }
}
