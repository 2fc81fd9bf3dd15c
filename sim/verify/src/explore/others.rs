//! Actions of the guest itself, and of other clients of the same hypervisors: operators, high availability.
//!
//! These actions are allowed, so none of them is a violation; a wrong response of the machine is.

use super::model::{Here, Host, Model, Stage, There};
use super::scope::Scope;

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

    /// Another client's migrate call: the job lock is theirs until it ends, and the call returns to them alone. It
    /// takes the same steps as ours.
    pub(super) fn is_migrated_away(&mut self, scope: &Scope) -> bool {
        let made_disks = self.made_disks;
        let is_stale = self.here == Here::Paused && self.ran_there;
        let can = !self.offline && self.source == Host::Up && self.begin(scope);
        self.has_caller = false;
        self.is_moved_by_others |= can;
        self.is_stale_one_moved |= can && is_stale;
        // What theirs creates is not ours to remove.
        self.made_disks = made_disks;
        can
    }

    /// A whole migration in one step: our machine gives no command to a destination between its steps that could meet
    /// it.
    pub(super) fn is_migrated_back(&mut self, scope: &Scope) -> bool {
        let can = self.stage == Stage::None
            && self.there == There::Running
            && self.here == Here::Gone
            && self.source == Host::Up
            && self.destination == Host::Up
            && self.is_joined();
        if can {
            self.is_moved_by_others = true;
            self.there = There::Nothing;
            self.here = Here::Running;
            self.ran_there = false;
            self.postcopy_began = false;
            self.halted_here = false;
            self.defined_here |= scope.persistent;
            self.defined_there &= !scope.persistent;
        }
        can
    }
}
