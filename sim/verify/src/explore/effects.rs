//! Commands that reach their daemon, in time or late. The driver's own checks before an action are made here too;
//! whether the guest is harmed is judged by the actual state.

use whimbrel_core::control::{AdjustmentKind, Change};
use whimbrel_core::{CopyState, Side};

use super::in_flight::{Act, CallOut, Exchange, JobSeen, Reacted, SettingOrder};
use super::model::{Here, Returned, SourceEnd, Stage, There};
use super::moves::{LateCommand, Slot};
use super::scope::Scope;
use super::state::{State, Transition};
use super::violation::Violation;

impl State {
    /// A command reaches its daemon. One to a host without power is lost.
    pub(super) fn carry_out(&mut self, slot: Slot, scope: &Scope) -> Transition {
        let concerned = self.concerned(slot);
        if self.model.host(concerned) == super::model::Host::Down {
            return Transition::Impossible;
        }
        let answers = self.model.answers(concerned);
        match slot {
            Slot::Facts => {
                let both = answers && self.model.answers(Side::Destination);
                self.in_flight.facts = Exchange::Answered(both);
            }
            Slot::Settings => {
                self.in_flight.settings = Exchange::Answered(answers && self.model.here != Here::Gone);
            }
            Slot::Setting => {
                if let Some((order, _)) = self.in_flight.setting {
                    let done = self.set(order);
                    self.in_flight.setting = Some((order, Exchange::Answered(done)));
                }
            }
            Slot::Call => self.make_call(scope),
            Slot::Job => self.in_flight.job = Exchange::Answered(self.job()),
            Slot::Abort => self.in_flight.abort = Exchange::Answered(self.abort()),
            Slot::Look(Side::Source) => {
                self.in_flight.source = Exchange::Answered(self.model.look(Side::Source));
            }
            Slot::Look(Side::Destination) => {
                self.in_flight.destination = Exchange::Answered(self.model.look(Side::Destination));
            }
            Slot::Act => {
                if let Some((act, _)) = self.in_flight.act {
                    match self.act(act) {
                        Ok(done) => self.in_flight.act = Some((act, Exchange::Answered(done))),
                        Err(violation) => return Transition::Violates(violation),
                    }
                }
            }
            Slot::Reaction => {
                if let Some((reaction, _)) = self.in_flight.reaction {
                    let reacted = self.react(reaction);
                    self.in_flight.reaction = Some((reaction, Exchange::Answered(reacted)));
                }
            }
        }
        Transition::To(*self)
    }

    /// A command is executed although its answer is not awaited.
    pub(super) fn carry_out_late(&mut self, command: LateCommand) -> Transition {
        if command != LateCommand::Setting && !self.in_flight.late.take(command) {
            return Transition::Impossible;
        }
        match command {
            LateCommand::Setting => {
                let Some(order) = self.in_flight.take_late_setting() else { return Transition::Impossible };
                self.set(order);
            }
            LateCommand::Act(act) => {
                if let Err(violation) = self.act(act) {
                    return Transition::Violates(violation);
                }
            }
            LateCommand::Pause => {
                self.react(AdjustmentKind::Pause);
            }
            LateCommand::Postcopy => {
                self.react(AdjustmentKind::Postcopy);
            }
            LateCommand::Abort => {
                self.abort();
            }
        }
        Transition::To(*self)
    }

    fn concerned(&self, slot: Slot) -> Side {
        match slot {
            Slot::Look(side) => side,
            Slot::Act => match self.in_flight.act {
                Some((Act::Resume(side) | Act::Destroy(side) | Act::Undefine(side), _)) => side,
                Some((Act::RemoveDisks, _)) => Side::Destination,
                None => Side::Source,
            },
            Slot::Facts
            | Slot::Settings
            | Slot::Setting
            | Slot::Call
            | Slot::Job
            | Slot::Abort
            | Slot::Reaction => Side::Source,
        }
    }

    fn make_call(&mut self, scope: &Scope) {
        let answers = self.model.answers(Side::Source);
        let taken = answers
            && match self.in_flight.call {
                CallOut::Start => self.model.begin(scope),
                CallOut::Resume => self.model.resume_postcopy(),
                CallOut::Idle | CallOut::Taken | CallOut::Returned(_) => false,
            };
        self.in_flight.call = match (taken, answers) {
            (true, _) => CallOut::Taken,
            (false, true) => CallOut::Returned(Returned::Failed),
            (false, false) => CallOut::Returned(Returned::Lost),
        };
    }

    fn set(&mut self, order: SettingOrder) -> bool {
        let can = self.model.answers(Side::Source) && self.model.here != Here::Gone;
        if can {
            let changed = match order.change {
                Change::DowntimeLimit => &mut self.model.changed_downtime,
                Change::BandwidthLimit => &mut self.model.changed_bandwidth,
                Change::Pause | Change::Disks => return false,
            };
            *changed = !order.restores;
        }
        can
    }

    fn job(&self) -> JobSeen {
        if !self.model.answers(Side::Source) {
            return JobSeen::Unknown;
        }
        let is_there = self.model.stage != Stage::None && self.model.source_end != SourceEnd::Through;
        if is_there { JobSeen::Active } else { JobSeen::Gone }
    }

    fn abort(&mut self) -> bool {
        if !self.model.answers(Side::Source) {
            return false;
        }
        match self.model.stage {
            Stage::Preparing | Stage::Prepared => {
                let mut returned = None;
                self.model.give_up(&mut returned);
                self.in_flight.return_call(returned);
                true
            }
            Stage::Copying | Stage::Stopping => {
                self.model.abort_pending = true;
                true
            }
            Stage::None
            | Stage::FinishAsked
            | Stage::Starting
            | Stage::Started
            | Stage::Confirming
            | Stage::Postcopy
            | Stage::PostcopyArrived => false,
        }
    }

    fn react(&mut self, reaction: AdjustmentKind) -> Reacted {
        if !self.model.answers(Side::Source) {
            return Reacted::Unknown;
        }
        match reaction {
            AdjustmentKind::DowntimeLimit => {
                self.set(SettingOrder { change: Change::DowntimeLimit, restores: false });
            }
            AdjustmentKind::BandwidthLimit => {
                self.set(SettingOrder { change: Change::BandwidthLimit, restores: false });
            }
            AdjustmentKind::Pause => {
                let migrates =
                    matches!(self.model.stage, Stage::Preparing | Stage::Prepared | Stage::Copying);
                if !migrates || self.model.here != Here::Running {
                    return Reacted::Refused;
                }
                self.model.here = Here::Paused;
            }
            AdjustmentKind::Postcopy => {
                if self.model.stage != Stage::Copying {
                    return Reacted::Refused;
                }
                self.model.postcopy_pending = true;
            }
        }
        Reacted::Done
    }

    /// Acts on a copy as the driver does: it queries the copy again first.
    fn act(&mut self, act: Act) -> Result<bool, Violation> {
        let side = match act {
            Act::Resume(side) | Act::Destroy(side) | Act::Undefine(side) => side,
            Act::RemoveDisks => Side::Destination,
        };
        let seen = self.model.look(side);
        let may = match act {
            Act::Resume(_) => matches!(seen, CopyState::Stopped | CopyState::Paused),
            Act::Destroy(_) => {
                let still = matches!(seen, CopyState::Stopped | CopyState::Paused | CopyState::Incoming);
                still && self.model.look(side.other()) == CopyState::Running
            }
            Act::Undefine(_) => {
                let other = match side {
                    Side::Source => self.model.defined_there,
                    Side::Destination => self.model.defined_here,
                };
                seen == CopyState::Defined && other && self.model.answers(side.other())
            }
            Act::RemoveDisks => seen.is_gone(),
        };
        if !may {
            return Ok(false);
        }
        match (act, side) {
            (Act::Resume(_), Side::Source) => {
                if self.model.postcopy_began {
                    return Err(Violation::LeftBehindResumed);
                }
                if matches!(self.model.there, There::Running | There::Half | There::HalfCut) {
                    return Err(Violation::TwoRun);
                }
                if self.model.ran_there {
                    return Err(Violation::StaleResumed);
                }
                self.model.here = Here::Running;
            }
            (Act::Resume(_), Side::Destination) => {
                if self.model.here == Here::Running {
                    return Err(Violation::TwoRun);
                }
                if self.model.restarted_here || self.model.is_stale_one_moved {
                    return Err(Violation::StaleResumed);
                }
                self.model.there = There::Running;
                self.model.ran_there = true;
            }
            (Act::Destroy(_), Side::Source) => {
                if !self.model.guest_is_there() {
                    return Err(Violation::LastCopyDestroyed);
                }
                self.model.here = Here::Gone;
            }
            (Act::Destroy(_), Side::Destination) => {
                if !self.model.guest_is_here() {
                    return Err(Violation::LastCopyDestroyed);
                }
                self.model.there = There::Nothing;
            }
            (Act::Undefine(_), Side::Source) => self.model.defined_here = false,
            (Act::Undefine(_), Side::Destination) => self.model.defined_there = false,
            (Act::RemoveDisks, _) => {
                if self.model.there != There::Nothing {
                    return Err(Violation::DisksRemovedInUse);
                }
                self.model.made_disks = false;
            }
        }
        Ok(true)
    }
}
