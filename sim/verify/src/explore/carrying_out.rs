//! Commands that reach their daemon, in time or late. What the driver checks before it acts is checked here too; whether
//! the guest is harmed is judged by how things really are.

use whimbrel_core::control::{AdjustmentKind, Change};
use whimbrel_core::{CopyState, Side};

use super::desk::{Act, Asked, CallOut, JobSeen, Reacted, SettingOrder};
use super::model::{Here, Returned, SourceEnd, Stage, There};
use super::moves::{LateCommand, Place};
use super::scope::Scope;
use super::state::{Outcome, State};
use super::violation::Violation;

impl State {
    /// A command reaches its daemon. One to a host without power reaches nobody.
    pub(super) fn carry_out(&mut self, place: Place, scope: &Scope) -> Outcome {
        let concerned = self.concerned(place);
        if self.model.host(concerned) == super::model::Host::Down {
            return Outcome::No;
        }
        let answers = self.model.answers(concerned);
        match place {
            Place::Facts => {
                let both = answers && self.model.answers(Side::Destination);
                self.desk.facts = Asked::Answered(both);
            }
            Place::Settings => self.desk.settings = Asked::Answered(answers && self.model.here != Here::Gone),
            Place::Setting => {
                if let Some((order, _)) = self.desk.setting {
                    let done = self.set(order);
                    self.desk.setting = Some((order, Asked::Answered(done)));
                }
            }
            Place::Call => self.make_call(scope),
            Place::Job => self.desk.job = Asked::Answered(self.job()),
            Place::Abort => self.desk.abort = Asked::Answered(self.abort()),
            Place::Look(Side::Source) => {
                self.desk.source = Asked::Answered(self.model.look(Side::Source));
            }
            Place::Look(Side::Destination) => {
                self.desk.destination = Asked::Answered(self.model.look(Side::Destination));
            }
            Place::Act => {
                if let Some((act, _)) = self.desk.act {
                    match self.act(act) {
                        Ok(done) => self.desk.act = Some((act, Asked::Answered(done))),
                        Err(violation) => return Outcome::Bad(violation),
                    }
                }
            }
            Place::Reaction => {
                if let Some((reaction, _)) = self.desk.reaction {
                    let reacted = self.react(reaction);
                    self.desk.reaction = Some((reaction, Asked::Answered(reacted)));
                }
            }
        }
        Outcome::To(*self)
    }

    /// A command is carried out although nobody waits for it.
    pub(super) fn carry_out_late(&mut self, command: LateCommand) -> Outcome {
        if command != LateCommand::Setting && !self.desk.late.take(command) {
            return Outcome::No;
        }
        match command {
            LateCommand::Setting => {
                let Some(order) = self.desk.take_late_setting() else { return Outcome::No };
                self.set(order);
            }
            LateCommand::Act(act) => {
                if let Err(violation) = self.act(act) {
                    return Outcome::Bad(violation);
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
        Outcome::To(*self)
    }

    fn concerned(&self, place: Place) -> Side {
        match place {
            Place::Look(side) => side,
            Place::Act => match self.desk.act {
                Some((Act::Resume(side) | Act::Destroy(side) | Act::Undefine(side), _)) => side,
                Some((Act::RemoveDisks, _)) => Side::Destination,
                None => Side::Source,
            },
            Place::Facts
            | Place::Settings
            | Place::Setting
            | Place::Call
            | Place::Job
            | Place::Abort
            | Place::Reaction => Side::Source,
        }
    }

    fn make_call(&mut self, scope: &Scope) {
        let answers = self.model.answers(Side::Source);
        let taken = answers
            && match self.desk.call {
                CallOut::Start => self.model.begin(scope),
                CallOut::Resume => self.model.resume_postcopy(),
                CallOut::No | CallOut::Taken | CallOut::Returned(_) => false,
            };
        self.desk.call = match (taken, answers) {
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
                self.desk.return_call(returned);
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

    /// Does something to a copy, as the driver does it: it looks once more first.
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
