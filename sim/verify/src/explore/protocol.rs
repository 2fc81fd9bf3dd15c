//! What libvirt and QEMU do by themselves when nothing goes wrong: the next step of their protocol.

use super::model::{Here, Host, Model, Returned, SourceEnd, Stage, There};
use super::scope::Scope;

/// A step of the hypervisors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// The destination's QEMU waits for pages.
    Prepare,
    /// The source's QEMU begins to send.
    Copy,
    /// The guest is stopped for the switchover.
    Stop,
    /// Everything was sent.
    Finish,
    /// The word to finish reaches the destination.
    ReachDestination,
    /// The destination lets the guest run.
    Start,
    /// The source hears of it.
    ReachSource,
    /// The source's copy ends, and the call returns.
    Confirm,
    /// An abort takes effect.
    Abort,
    /// The guest is moved before its memory.
    SwitchToPostcopy,
    /// The whole memory has arrived.
    Arrive,
    /// A daemon or a QEMU gives up the other end, which is silent.
    Silence,
}

impl Step {
    pub(crate) const ALL: [Self; 12] = [
        Self::Prepare,
        Self::Copy,
        Self::SwitchToPostcopy,
        Self::Abort,
        Self::Stop,
        Self::Finish,
        Self::ReachDestination,
        Self::Start,
        Self::ReachSource,
        Self::Confirm,
        Self::Arrive,
        Self::Silence,
    ];
}

impl Model {
    /// Takes a step, if it can be taken. What the migrate call returns with it goes into `returned`.
    pub(crate) fn take(&self, step: Step, scope: &Scope, returned: &mut Option<Returned>) -> Option<Self> {
        let mut next = *self;
        let can = match step {
            Step::Prepare => next.prepare(),
            Step::Copy => next.copy(),
            Step::Stop => next.stop(),
            Step::Finish => next.finish(returned),
            Step::ReachDestination => next.reach_destination(),
            Step::Start => next.start(scope, returned),
            Step::ReachSource => next.reach_source(),
            Step::Confirm => next.confirm(returned),
            Step::Abort => next.abort(returned),
            Step::SwitchToPostcopy => next.switch_to_postcopy(),
            Step::Arrive => next.arrive(returned),
            Step::Silence => next.silence(returned),
        };
        can.then_some(next)
    }

    fn prepare(&mut self) -> bool {
        let can = self.stage == Stage::Preparing
            && self.there == There::Nothing
            && self.is_joined()
            && self.is_followed();
        if can {
            self.there = There::Incoming;
            self.stage = Stage::Prepared;
        }
        can
    }

    fn copy(&mut self) -> bool {
        let can = self.stage == Stage::Prepared
            && self.there == There::Incoming
            && self.is_joined()
            && self.is_driven();
        if can {
            self.stage = Stage::Copying;
        }
        can
    }

    fn stop(&mut self) -> bool {
        let can = self.stage == Stage::Copying && !self.abort_pending;
        if can {
            self.stage = Stage::Stopping;
            self.here = Here::Stopped;
        }
        can
    }

    fn finish(&mut self, returned: &mut Option<Returned>) -> bool {
        let can = self.stage == Stage::Stopping && self.is_joined() && self.there == There::Incoming;
        if can && self.is_driven() {
            self.stage = Stage::FinishAsked;
        } else if can {
            self.end(None, returned);
        }
        can
    }

    fn reach_destination(&mut self) -> bool {
        let can = self.stage == Stage::FinishAsked && self.is_joined() && self.is_followed();
        if can {
            self.stage = Stage::Starting;
        }
        can
    }

    fn start(&mut self, scope: &Scope, returned: &mut Option<Returned>) -> bool {
        if self.stage != Stage::Starting || !self.is_followed() {
            return false;
        }
        if self.there == There::Incoming {
            self.start_there(scope);
        }
        self.defined_there |= self.offline;
        if self.source_end == SourceEnd::Through {
            self.end(None, returned);
        } else {
            self.stage = Stage::Started;
        }
        true
    }

    fn reach_source(&mut self) -> bool {
        let answered = matches!(self.stage, Stage::Started | Stage::PostcopyArrived);
        let can = answered && self.is_joined() && self.is_driven();
        if can {
            self.stage = Stage::Confirming;
        }
        can
    }

    fn confirm(&mut self, returned: &mut Option<Returned>) -> bool {
        if self.stage != Stage::Confirming || !self.is_driven() {
            return false;
        }
        let was_there = self.here != Here::Gone || self.offline && self.defined_here;
        self.here = Here::Gone;
        self.defined_here &= !self.defined_there;
        let result = if was_there { Returned::Well } else { Returned::Failed };
        self.end(Some(result), returned);
        true
    }

    fn abort(&mut self, returned: &mut Option<Returned>) -> bool {
        let can = self.abort_pending && matches!(self.stage, Stage::Copying | Stage::Stopping);
        if can {
            self.give_up(returned);
        }
        can
    }

    fn switch_to_postcopy(&mut self) -> bool {
        let can = self.postcopy_pending
            && self.stage == Stage::Copying
            && !self.abort_pending
            && self.there == There::Incoming
            && self.is_joined();
        if can {
            self.stage = Stage::Postcopy;
            self.here = Here::Half;
            self.there = There::Half;
            self.postcopy_began = true;
            self.ran_there = true;
        }
        can
    }

    fn arrive(&mut self, returned: &mut Option<Returned>) -> bool {
        let can = self.stage == Stage::Postcopy
            && matches!(self.here, Here::Half | Here::HalfCut)
            && self.there == There::Half
            && self.is_joined();
        if can {
            self.there = There::Running;
            self.stage = Stage::PostcopyArrived;
            // Daemons that have parted tidy up each for itself, and the source keeps the definition.
            if self.here == Here::HalfCut && self.source == Host::Up {
                self.here = Here::Gone;
                self.end(None, returned);
            }
        }
        can
    }

    /// Who has not heard from the other for too long, or hears from one who knows nothing of it, gives up.
    fn silence(&mut self, returned: &mut Option<Returned>) -> bool {
        let (joined, followed) = (self.is_joined(), self.is_followed());
        let streams = matches!(self.stage, Stage::Copying | Stage::Stopping);
        let broken = (streams || self.stage == Stage::Prepared) && self.there != There::Incoming;
        if self.stage == Stage::None || joined && followed && self.source == Host::Up && !broken {
            return false;
        }
        let before = *self;
        if !joined {
            self.destination_loses_source(returned);
        }
        if !joined || !followed || broken && self.stage == Stage::Prepared {
            self.source_loses_destination(returned);
        }
        // A QEMU whose stream has no other end gives up on its own, with a daemon or without.
        let streams = matches!(self.stage, Stage::Copying | Stage::Stopping);
        if streams && (!joined || self.there != There::Incoming) {
            self.give_up(returned);
        }
        *self != before
    }
}
