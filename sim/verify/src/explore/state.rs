//! The whole state that is explored: control as it ships, what it has out, and the hypervisors; and what each move makes of it.

use whimbrel_core::control::{
    AbortSignal, ActSignal, AdjustmentKind, AdjustmentSignal, CallSignal, Change, Changes, Control,
    ControlOptions, Found, JobSignal, Order, Phase, SettingSignal, SetupSignal, Signal,
};
use whimbrel_core::{AtTimeout, CopyState, GuestRun, Side};

use super::desk::{Asked, CallOut, Desk, JobSeen, Reacted};
use super::model::{Here, Model, Returned};
use super::moves::{Move, Place};
use super::scope::Scope;
use super::violation::Violation;

/// Everything at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct State {
    pub(crate) control: Control,
    pub(crate) desk: Desk,
    pub(crate) model: Model,
    /// Whether somebody drives the migration.
    pub(crate) is_driven: bool,
    pub(crate) faults: u8,
    pub(crate) requests: u8,
}

/// What a move leads to.
pub(crate) enum Outcome {
    /// It cannot happen here.
    No,
    /// The state after it.
    To(State),
    /// It must not happen.
    Bad(Violation),
}

impl State {
    /// Before anything was asked for.
    pub(crate) fn new(scope: &Scope) -> Self {
        let mut plan = Changes::EMPTY;
        if scope.limits {
            plan = plan.with(Change::DowntimeLimit).with(Change::BandwidthLimit);
        }
        let options = ControlOptions {
            postcopy: scope.postcopy,
            offline: scope.guest == GuestRun::NotRunning,
            at_timeout: AtTimeout::Cancel,
        };
        Self {
            control: Control::new(plan, options),
            desk: Desk::default(),
            model: Model {
                here: match scope.guest {
                    GuestRun::Running => Here::Running,
                    GuestRun::Paused => Here::Paused,
                    GuestRun::NotRunning => Here::Gone,
                },
                offline: scope.guest == GuestRun::NotRunning,
                defined_here: scope.persistent,
                ..Model::new()
            },
            is_driven: true,
            faults: 0,
            requests: 0,
        }
    }

    /// What a move leads to.
    pub(crate) fn after(&self, what: Move, scope: &Scope) -> Outcome {
        let mut next = *self;
        match what {
            Move::Begin => next.signal(Signal::Begin, scope),
            Move::Cancel => {
                next.requests += 1;
                next.signal(Signal::Cancel, scope)
            }
            Move::React(reaction) => {
                next.requests += 1;
                next.signal(Signal::React(reaction), scope)
            }
            Move::Hint(hint) => next.signal(Signal::Hint(hint), scope),
            Move::Timer(timer) => {
                next.desk.elapse(timer);
                next.signal(Signal::Elapsed(timer), scope)
            }
            Move::Judge(allows) => {
                next.desk.rules = Asked::No;
                let verdict = if allows { SetupSignal::Allowed } else { SetupSignal::Refused };
                next.signal(Signal::Setup(verdict), scope)
            }
            Move::CarryOut(place) => next.carry_out(place, scope),
            Move::Deliver(place) => next.deliver(place, scope),
            Move::Lose(place) => {
                next.faults += 1;
                next.take_answer(place);
                Outcome::To(next)
            }
            Move::CarryOutLate(command) => next.carry_out_late(command),
            Move::Step(step) => {
                let mut returned = None;
                let Some(model) = self.model.take(step, scope, &mut returned) else { return Outcome::No };
                next.hypervisors(model, returned)
            }
            Move::Break(what) => {
                next.faults += 1;
                let mut returned = None;
                let Some(model) = self.model.breaks(what, scope, &mut returned) else { return Outcome::No };
                next.hypervisors(model, returned)
            }
            Move::Mend(what) => {
                let mut returned = None;
                let Some(model) = self.model.mend(what, &mut returned) else { return Outcome::No };
                next.hypervisors(model, returned)
            }
            Move::Die(arrives) => {
                next.faults += 1;
                next.die(arrives, scope);
                Outcome::To(next)
            }
            Move::Restart => {
                next.is_driven = true;
                next.signal(Signal::Restarted, scope)
            }
        }
    }

    /// Control takes a signal, and its orders go out.
    pub(crate) fn signal(&mut self, signal: Signal, scope: &Scope) -> Outcome {
        let before = self.control;
        let (control, orders) = match (scope.machine.0)(self.control, signal) {
            Ok(taken) => taken,
            Err(unexpected) => return Outcome::Bad(Violation::UnexpectedSignal(unexpected)),
        };
        self.control = control;
        self.desk.keep_wanted(control.phase());
        self.desk.give(&orders);
        if signal == Signal::Setup(SetupSignal::Refused) && !matches!(control.phase(), Phase::Done(_)) {
            return Outcome::Bad(Violation::WentOnRefused);
        }
        if orders.iter().any(|order| matches!(order, Order::StartMigration))
            && !matches!(before.phase(), Phase::Preparing(_) | Phase::Validating(_))
        {
            return Outcome::Bad(Violation::StartedTwice);
        }
        if let Phase::Done(done) = control.phase()
            && !matches!(before.phase(), Phase::Done(_))
        {
            if let Some(violation) = Violation::of_the_end(self, done) {
                return Outcome::Bad(violation);
            }
            self.forget();
        }
        Outcome::To(*self)
    }

    /// After the end nothing is waited for; states that differ only in what nobody will hear are one.
    fn forget(&mut self) {
        let Self { desk, .. } = self;
        desk.give_up_all();
    }

    fn hypervisors(&mut self, model: Model, returned: Option<Returned>) -> Outcome {
        self.model = model;
        self.desk.return_call(returned);
        Outcome::To(*self)
    }

    fn die(&mut self, arrives: bool, scope: &Scope) {
        if arrives && self.model.source == super::model::Host::Up {
            let taken = match self.desk.call {
                CallOut::Start => self.model.begin(scope),
                CallOut::Resume => self.model.resume_postcopy(),
                CallOut::No | CallOut::Taken | CallOut::Returned(_) => false,
            };
            if taken {
                self.model.has_caller = false;
            }
        }
        // Nobody waits for the call any more; it goes on without a caller.
        self.model.has_caller = false;
        self.desk.give_up_all();
        self.is_driven = false;
    }

    pub(super) fn is_out(&self, place: Place) -> bool {
        let desk = &self.desk;
        match place {
            Place::Facts => desk.facts == Asked::Out,
            Place::Settings => desk.settings == Asked::Out,
            // No change of a setting overtakes one that was asked for before, by a reaction or otherwise.
            Place::Setting => {
                matches!(desk.setting, Some((_, Asked::Out)))
                    && !desk.has_late_setting()
                    && !matches!(
                        desk.reaction,
                        Some((AdjustmentKind::DowntimeLimit | AdjustmentKind::BandwidthLimit, Asked::Out))
                    )
            }
            Place::Call => matches!(desk.call, CallOut::Start | CallOut::Resume),
            Place::Job => desk.job == Asked::Out,
            Place::Abort => desk.abort == Asked::Out,
            Place::Look(Side::Source) => desk.source == Asked::Out,
            Place::Look(Side::Destination) => desk.destination == Asked::Out,
            Place::Act => matches!(desk.act, Some((_, Asked::Out))),
            Place::Reaction => match desk.reaction {
                Some((AdjustmentKind::DowntimeLimit | AdjustmentKind::BandwidthLimit, Asked::Out)) => {
                    !desk.has_late_setting()
                }
                Some((_, Asked::Out)) => true,
                _ => false,
            },
        }
    }

    pub(super) fn is_answered(&self, place: Place) -> bool {
        let desk = &self.desk;
        match place {
            Place::Facts => matches!(desk.facts, Asked::Answered(_)),
            Place::Settings => matches!(desk.settings, Asked::Answered(_)),
            Place::Setting => matches!(desk.setting, Some((_, Asked::Answered(_)))),
            Place::Call => matches!(desk.call, CallOut::Returned(_)),
            Place::Job => matches!(desk.job, Asked::Answered(_)),
            Place::Abort => matches!(desk.abort, Asked::Answered(_)),
            Place::Look(Side::Source) => matches!(desk.source, Asked::Answered(_)),
            Place::Look(Side::Destination) => matches!(desk.destination, Asked::Answered(_)),
            Place::Act => matches!(desk.act, Some((_, Asked::Answered(_)))),
            Place::Reaction => matches!(desk.reaction, Some((_, Asked::Answered(_)))),
        }
    }

    /// An answer arrives.
    fn deliver(&mut self, place: Place, scope: &Scope) -> Outcome {
        let signal = match self.take_answer(place) {
            Some(Answer::Facts(true)) => Signal::Setup(SetupSignal::FactsArrived(Found {
                run: scope.guest,
                is_persistent: scope.persistent,
                is_defined_there: false,
                makes_disks: scope.disks,
            })),
            Some(Answer::Facts(false)) => Signal::Setup(SetupSignal::FactsMissing),
            Some(Answer::Settings(true)) => Signal::Setup(SetupSignal::SettingsRead),
            Some(Answer::Settings(false)) => Signal::Setup(SetupSignal::SettingsUnreadable),
            Some(Answer::Setting(true)) => Signal::Setting(SettingSignal::Applied),
            Some(Answer::Setting(false)) => Signal::Setting(SettingSignal::Unknown),
            Some(Answer::Call(Returned::Well)) => Signal::Call(CallSignal::Succeeded),
            Some(Answer::Call(Returned::Failed)) => Signal::Call(CallSignal::Failed),
            Some(Answer::Call(Returned::Lost)) => Signal::Call(CallSignal::Lost),
            Some(Answer::Job(JobSeen::Active)) => Signal::Job(JobSignal::Active),
            Some(Answer::Job(JobSeen::Gone)) => Signal::Job(JobSignal::Gone),
            Some(Answer::Job(JobSeen::Unknown)) => Signal::Job(JobSignal::Unknown),
            Some(Answer::Abort(true)) => Signal::Abort(AbortSignal::Accepted),
            Some(Answer::Abort(false)) => Signal::Abort(AbortSignal::Refused),
            Some(Answer::Look(side, state)) => Signal::Seen(side, state),
            Some(Answer::Act(true)) => Signal::Act(ActSignal::Done),
            Some(Answer::Act(false)) => Signal::Act(ActSignal::Unknown),
            Some(Answer::Reaction(Reacted::Done)) => Signal::Reacted(AdjustmentSignal::Done),
            Some(Answer::Reaction(Reacted::Refused)) => Signal::Reacted(AdjustmentSignal::Refused),
            Some(Answer::Reaction(Reacted::Unknown)) => Signal::Reacted(AdjustmentSignal::Unknown),
            None => return Outcome::No,
        };
        self.signal(signal, scope)
    }

    fn take_answer(&mut self, place: Place) -> Option<Answer> {
        let desk = &mut self.desk;
        match place {
            Place::Facts => take(&mut desk.facts).map(Answer::Facts),
            Place::Settings => take(&mut desk.settings).map(Answer::Settings),
            Place::Setting => match desk.setting.take() {
                Some((_, Asked::Answered(done))) => Some(Answer::Setting(done)),
                _ => None,
            },
            Place::Call => match std::mem::take(&mut desk.call) {
                CallOut::Returned(returned) => Some(Answer::Call(returned)),
                _ => None,
            },
            Place::Job => take(&mut desk.job).map(Answer::Job),
            Place::Abort => take(&mut desk.abort).map(Answer::Abort),
            Place::Look(Side::Source) => {
                take(&mut desk.source).map(|state| Answer::Look(Side::Source, state))
            }
            Place::Look(Side::Destination) => {
                take(&mut desk.destination).map(|state| Answer::Look(Side::Destination, state))
            }
            Place::Act => match desk.act.take() {
                Some((_, Asked::Answered(done))) => Some(Answer::Act(done)),
                _ => None,
            },
            Place::Reaction => match desk.reaction.take() {
                Some((_, Asked::Answered(reacted))) => Some(Answer::Reaction(reacted)),
                _ => None,
            },
        }
    }
}

enum Answer {
    Facts(bool),
    Settings(bool),
    Setting(bool),
    Call(Returned),
    Job(JobSeen),
    Abort(bool),
    Look(Side, CopyState),
    Act(bool),
    Reaction(Reacted),
}

fn take<A: Copy>(asked: &mut Asked<A>) -> Option<A> {
    match std::mem::take(asked) {
        Asked::Answered(answer) => Some(answer),
        Asked::No | Asked::Out => None,
    }
}
