//! The moves: what may happen at each state.

use whimbrel_core::control::{AdjustmentKind, Phase, Timer};
use whimbrel_core::{Hint, Side};

use super::faults::{Disruption, Repair};
use super::in_flight::{Act, CallOut, Exchange};
use super::model::Stage;
use super::protocol::Step;
use super::scope::Scope;
use super::state::State;

/// One thing that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Move {
    /// The operator begins.
    Begin,
    /// The operator cancels.
    Cancel,
    /// The operator requests an adjustment.
    React(AdjustmentKind),
    /// A hint comes, true or not.
    Hint(Hint),
    /// A timer runs out.
    Timer(Timer),
    /// A command is executed.
    CarryOut(Slot),
    /// An answer arrives.
    Deliver(Slot),
    /// An answer is lost.
    Lose(Slot),
    /// The rules answer: whether they allow it.
    Judge(bool),
    /// A command whose answer is not awaited any more is executed after all.
    CarryOutLate(LateCommand),
    /// The hypervisors take a step.
    Step(Step),
    /// A disruption.
    Break(Disruption),
    /// A repair.
    Repair(Repair),
    /// The driver dies; whether a migrate call that was in flight still arrives.
    Die(bool),
    /// Another driver continues from the journal.
    Restart,
}

/// The slot of a command in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Slot {
    /// The facts.
    Facts,
    /// The settings, to be read.
    Settings,
    /// A setting, to be changed.
    Setting,
    /// The migrate call.
    Call,
    /// A query of the job.
    Job,
    /// An abort.
    Abort,
    /// A query of a host.
    Look(Side),
    /// A resume, destroy, undefine or removal.
    Act,
    /// An adjustment.
    Reaction,
}

/// A command whose answer is not awaited any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LateCommand {
    /// A setting.
    Setting,
    /// An act.
    Act(Act),
    /// A pause.
    Pause,
    /// A switch to post-copy.
    Postcopy,
    /// An abort.
    Abort,
}

impl LateCommand {
    /// Those that are executed in any order, each once. Settings keep theirs.
    pub(crate) const UNORDERED: [Self; 10] = [
        Self::Act(Act::Resume(Side::Source)),
        Self::Act(Act::Resume(Side::Destination)),
        Self::Act(Act::Destroy(Side::Source)),
        Self::Act(Act::Destroy(Side::Destination)),
        Self::Act(Act::Undefine(Side::Source)),
        Self::Act(Act::Undefine(Side::Destination)),
        Self::Act(Act::RemoveDisks),
        Self::Pause,
        Self::Postcopy,
        Self::Abort,
    ];
}

impl Slot {
    pub(crate) const ALL: [Self; 10] = [
        Self::Facts,
        Self::Settings,
        Self::Setting,
        Self::Call,
        Self::Job,
        Self::Abort,
        Self::Look(Side::Source),
        Self::Look(Side::Destination),
        Self::Act,
        Self::Reaction,
    ];
}

impl State {
    /// Calls `each` with every move that may happen here.
    pub(crate) fn for_each_move(&self, scope: &Scope, mut each: impl FnMut(Move)) {
        let may_break = self.faults < scope.faults;
        if self.is_driven {
            self.driver_moves(scope, may_break, &mut each);
        } else {
            each(Move::Restart);
        }
        if self.in_flight.has_late_setting() {
            each(Move::CarryOutLate(LateCommand::Setting));
        }
        for command in self.in_flight.late.iter() {
            each(Move::CarryOutLate(command));
        }
        if self.model.stage != Stage::None {
            for step in Step::ALL {
                each(Move::Step(step));
            }
        }
        if may_break {
            for what in Disruption::ALL {
                each(Move::Break(what));
            }
        }
        for what in Repair::ALL {
            each(Move::Repair(what));
        }
    }

    fn driver_moves(&self, scope: &Scope, may_break: bool, each: &mut impl FnMut(Move)) {
        let phase = self.control.phase();
        if matches!(phase, Phase::Validating(validating) if !validating.has_begun()) {
            each(Move::Begin);
            return;
        }
        if matches!(phase, Phase::Done(_)) {
            return;
        }
        for slot in Slot::ALL {
            if self.is_out(slot) {
                // A definition moves faster than a query arrives.
                if !matches!(slot, Slot::Look(_)) || !self.model.offline || !self.is_under_way(scope) {
                    each(Move::CarryOut(slot));
                }
            } else if self.is_answered(slot) {
                each(Move::Deliver(slot));
                if may_break {
                    each(Move::Lose(slot));
                }
            }
        }
        if self.in_flight.rules == Exchange::Sent {
            each(Move::Judge(true));
            each(Move::Judge(false));
        }
        for timer in Timer::ALL {
            if self.in_flight.is_armed(timer) && (timer != Timer::GiveUp || scope.timeout) {
                each(Move::Timer(timer));
            }
        }
        if scope.hints {
            for hint in Hint::ALL {
                each(Move::Hint(hint));
            }
        }
        if self.requests < scope.requests {
            each(Move::Cancel);
            for reaction in AdjustmentKind::ALL {
                each(Move::React(reaction));
            }
        }
        if scope.restarts && may_break {
            each(Move::Die(false));
            if matches!(self.in_flight.call, CallOut::Start | CallOut::Resume) {
                each(Move::Die(true));
            }
        }
    }

    /// Whether the hypervisors can take a step.
    fn is_under_way(&self, scope: &Scope) -> bool {
        let can = |step| self.model.take(step, scope, &mut None).is_some();
        self.model.stage != Stage::None && Step::ALL.into_iter().any(can)
    }
}
