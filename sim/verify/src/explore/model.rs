//! Two hosts, their daemons and QEMUs, the link, the guest's copies and the migrate call, without time or amounts: what
//! libvirt may do next, and what it may have done when somebody died.
//!
//! It is [`whimbrel_sim::world`] with every number taken out: each step that takes time may take any, so whatever
//! happens between two steps there may happen between two steps here. A test holds the two together.

use whimbrel_core::{CopyState, GuestRun, Side};

use super::scope::Scope;

/// The guest's copy on the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Here {
    Running,
    /// By this migration's own pause.
    Paused,
    /// By the migration.
    Stopped,
    /// Left for post-copy.
    Half,
    /// Left for post-copy, and cut off.
    HalfCut,
    Gone,
}

/// The guest's copy on the destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum There {
    Nothing,
    /// It has never run.
    Incoming,
    Running,
    Paused,
    /// It runs, and its memory follows.
    Half,
    /// It runs without the memory that has not arrived.
    HalfCut,
}

/// How far the migrate call has come; see `world::call`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Stage {
    None,
    Preparing,
    /// The destination's QEMU waits for pages.
    Prepared,
    Copying,
    /// The guest is stopped while the rest is copied.
    Stopping,
    /// The word to finish is on its way.
    FinishAsked,
    /// The destination's daemon is at it.
    Starting,
    /// The answer is on its way.
    Started,
    Confirming,
    Postcopy,
    /// The whole memory is there, and the word of it is on its way.
    PostcopyArrived,
}

/// What the source's daemon is to the migration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum SourceEnd {
    Drives,
    Died,
    Through,
}

/// A host and its daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Host {
    /// Its daemon answers.
    Up,
    /// It runs without its daemon.
    Daemonless,
    /// It has lost its power.
    Down,
}

/// What becomes of the migrate call's caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Returned {
    Well,
    Failed,
    Lost,
}

/// Hosts, copies and call.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own, and any of them goes with any other"
)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Model {
    pub(crate) source: Host,
    pub(crate) destination: Host,
    pub(crate) link_is_cut: bool,
    pub(crate) here: Here,
    pub(crate) there: There,
    pub(crate) stage: Stage,
    pub(crate) source_end: SourceEnd,
    /// Whether the destination's daemon knows the migration.
    pub(crate) takes_part: bool,
    /// A caller waits for the call's return.
    pub(crate) has_caller: bool,
    pub(crate) abort_pending: bool,
    pub(crate) postcopy_pending: bool,
    /// Post-copy began at some time: the source's copy is older than the guest.
    pub(crate) postcopy_began: bool,
    /// The destination's copy ran at some time: the disks are newer than the memory of a stopped source's copy.
    pub(crate) ran_there: bool,
    /// The source's copy was started again from its disks: a stopped destination's copy is older.
    pub(crate) restarted_here: bool,
    /// The guest was started on the destination from its disks, by another client.
    pub(crate) restarted_there: bool,
    /// Another client has begun to migrate the guest.
    pub(crate) is_moved_by_others: bool,
    /// They moved a stopped copy that was older than the disks.
    pub(crate) is_stale_one_moved: bool,
    /// The guest woke up in post-copy: its destination reports it as plainly running until its memory has arrived.
    pub(crate) woke_up: bool,
    /// The source's guest is stopped for a reason that has nothing to do with the migration.
    pub(crate) halted_here: bool,
    pub(crate) defined_here: bool,
    pub(crate) defined_there: bool,
    /// The migration made disks at the destination.
    pub(crate) made_disks: bool,
    /// The limits differ from what they were.
    pub(crate) changed_downtime: bool,
    pub(crate) changed_bandwidth: bool,
    /// The guest is not in memory: its definition alone is moved.
    pub(crate) offline: bool,
    /// The guest died on the source: its process, or the host with it.
    pub(crate) died_here: bool,
    /// The guest died on the destination.
    pub(crate) died_there: bool,
}

impl Model {
    /// A guest that runs on the source, and nothing else.
    pub(crate) const fn new() -> Self {
        Self {
            source: Host::Up,
            destination: Host::Up,
            link_is_cut: false,
            here: Here::Running,
            there: There::Nothing,
            stage: Stage::None,
            source_end: SourceEnd::Drives,
            takes_part: false,
            has_caller: false,
            abort_pending: false,
            postcopy_pending: false,
            postcopy_began: false,
            ran_there: false,
            restarted_here: false,
            restarted_there: false,
            is_moved_by_others: false,
            is_stale_one_moved: false,
            woke_up: false,
            halted_here: false,
            defined_here: true,
            defined_there: false,
            made_disks: false,
            changed_downtime: false,
            changed_bandwidth: false,
            offline: false,
            died_here: false,
            died_there: false,
        }
    }

    pub(crate) const fn host(&self, side: Side) -> Host {
        match side {
            Side::Source => self.source,
            Side::Destination => self.destination,
        }
    }

    pub(crate) fn answers(&self, side: Side) -> bool {
        self.host(side) == Host::Up
    }

    /// Whether words and pages get from one host to the other.
    pub(crate) fn is_joined(&self) -> bool {
        !self.link_is_cut && self.source != Host::Down && self.destination != Host::Down
    }

    pub(crate) fn is_driven(&self) -> bool {
        self.source_end == SourceEnd::Drives && self.source == Host::Up
    }

    /// Whether the destination's daemon follows the migration.
    pub(crate) fn is_followed(&self) -> bool {
        self.takes_part && self.destination == Host::Up
    }

    pub(crate) const fn guest_is_here(&self) -> bool {
        if self.offline {
            return self.defined_here;
        }
        let is_whole = match self.here {
            Here::Running => true,
            Here::Paused | Here::Stopped => !self.ran_there,
            Here::Half | Here::HalfCut | Here::Gone => false,
        };
        is_whole && !self.postcopy_began
    }

    pub(crate) const fn guest_is_there(&self) -> bool {
        if self.offline {
            return self.defined_there;
        }
        matches!(self.there, There::Running | There::Paused)
    }

    /// The observation of one host.
    pub(crate) fn look(&self, side: Side) -> CopyState {
        if !self.answers(side) {
            return CopyState::Unknown;
        }
        match side {
            Side::Source => {
                let leaving = self.stage != Stage::None && self.source_end != SourceEnd::Through;
                match self.here {
                    Here::Running | Here::Paused | Here::Stopped if leaving => CopyState::Migrating,
                    Here::Running => CopyState::Running,
                    Here::Paused => CopyState::Paused,
                    Here::Stopped => CopyState::Stopped,
                    Here::Half => CopyState::Postcopy,
                    Here::HalfCut => CopyState::PostcopyFailed,
                    Here::Gone if self.defined_here => CopyState::Defined,
                    Here::Gone => CopyState::Absent,
                }
            }
            Side::Destination => match self.there {
                There::Incoming => CopyState::Incoming,
                There::Running => CopyState::Running,
                There::Paused => CopyState::Paused,
                There::Half if self.woke_up => CopyState::Running,
                There::Half => CopyState::Postcopy,
                There::HalfCut => CopyState::PostcopyFailed,
                There::Nothing if self.defined_there => CopyState::Defined,
                There::Nothing => CopyState::Absent,
            },
        }
    }

    /// The migrate call reaches the source's daemon; false if it is refused.
    pub(crate) fn begin(&mut self, scope: &Scope) -> bool {
        let is_here = if self.offline {
            self.defined_here && !self.defined_there
        } else {
            matches!(self.here, Here::Running | Here::Paused)
        };
        let may = is_here
            && self.stage == Stage::None
            && self.there == There::Nothing
            && self.destination == Host::Up
            && self.is_joined();
        if may {
            self.stage = if self.offline { Stage::FinishAsked } else { Stage::Preparing };
            self.source_end = SourceEnd::Drives;
            self.takes_part = true;
            self.has_caller = true;
            self.abort_pending = false;
            self.postcopy_pending = false;
            self.made_disks |= scope.disks;
        }
        may
    }

    /// The call that resumes a post-copy reaches the source's daemon; false if it is refused.
    pub(crate) fn resume_postcopy(&mut self) -> bool {
        let may = self.stage == Stage::Postcopy
            && self.here == Here::HalfCut
            && self.there == There::HalfCut
            && !self.has_caller
            && self.destination == Host::Up
            && self.is_joined();
        if may {
            self.here = Here::Half;
            self.there = There::Half;
            self.source_end = SourceEnd::Drives;
            self.takes_part = true;
            self.has_caller = true;
        }
        may
    }

    /// The guest continues where it was; the destination's copy ends if it can be reached or its stream breaks.
    pub(crate) fn give_up(&mut self, returned: &mut Option<Returned>) {
        self.let_source_go_on();
        let streams = matches!(self.stage, Stage::Copying | Stage::Stopping);
        let notices = self.is_followed();
        if self.there == There::Incoming && (notices || streams && self.is_joined()) {
            self.there = There::Nothing;
        }
        self.end(Some(Returned::Failed), returned);
    }

    pub(crate) fn let_source_go_on(&mut self) {
        if self.here == Here::Stopped {
            self.here = Here::Running;
        }
    }

    /// The migration is over for both daemons; a waiting caller receives the result.
    pub(crate) fn end(&mut self, result: Option<Returned>, returned: &mut Option<Returned>) {
        self.stage = Stage::None;
        self.takes_part = false;
        self.abort_pending = false;
        self.postcopy_pending = false;
        self.return_call(result, returned);
    }

    pub(crate) fn return_call(&mut self, result: Option<Returned>, returned: &mut Option<Returned>) {
        if std::mem::take(&mut self.has_caller) {
            *returned = result;
        }
    }

    /// The guest is let run at the destination.
    pub(crate) fn start_there(&mut self, scope: &Scope) {
        self.there = if scope.guest == GuestRun::Running { There::Running } else { There::Paused };
        self.ran_there |= self.there == There::Running;
        self.defined_there |= scope.persistent;
    }
}
