//! The whole explored state: control as it ships, its commands in flight, and the hypervisors; and the result of each
//! move.

use whimbrel_core::control::{
    AbortSignal, ActSignal, AdjustmentKind, AdjustmentSignal, CallSignal, Change, Changes, Control,
    ControlOptions, Found, JobSignal, Order, Phase, SettingSignal, SetupSignal, Signal,
};
use whimbrel_core::{AtTimeout, CopyState, GuestRun, Side};

use super::in_flight::{CallOut, Exchange, InFlight, JobSeen, Reacted};
use super::model::{Here, Model, Returned};
use super::moves::{Move, Slot};
use super::scope::Scope;
use super::violation::Violation;

/// Everything at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct State {
    pub(crate) control: Control,
    pub(crate) in_flight: InFlight,
    pub(crate) model: Model,
    /// Whether the migration has a driver.
    pub(crate) is_driven: bool,
    pub(crate) faults: u8,
    pub(crate) requests: u8,
}

/// What a move leads to.
pub(crate) enum Transition {
    /// It cannot happen here.
    Impossible,
    /// The state after it.
    To(State),
    /// It must not happen.
    Violates(Violation),
}

impl State {
    /// Before the first request.
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
            in_flight: InFlight::default(),
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
    pub(crate) fn after(&self, what: Move, scope: &Scope) -> Transition {
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
                next.in_flight.elapse(timer);
                next.signal(Signal::Elapsed(timer), scope)
            }
            Move::Judge(allows) => {
                next.in_flight.rules = Exchange::Idle;
                let verdict = if allows { SetupSignal::Allowed } else { SetupSignal::Refused };
                next.signal(Signal::Setup(verdict), scope)
            }
            Move::CarryOut(place) => next.carry_out(place, scope),
            Move::Deliver(place) => next.deliver(place, scope),
            Move::Lose(place) => {
                next.faults += 1;
                next.take_answer(place);
                Transition::To(next)
            }
            Move::CarryOutLate(command) => next.carry_out_late(command),
            Move::Step(step) => {
                let mut returned = None;
                let Some(model) = self.model.take(step, scope, &mut returned) else {
                    return Transition::Impossible;
                };
                next.hypervisors(model, returned)
            }
            Move::Break(what) => {
                next.faults += 1;
                let mut returned = None;
                let Some(model) = self.model.disrupt(what, scope, &mut returned) else {
                    return Transition::Impossible;
                };
                next.hypervisors(model, returned)
            }
            Move::Repair(what) => {
                let mut returned = None;
                let Some(model) = self.model.repair(what, &mut returned) else {
                    return Transition::Impossible;
                };
                next.hypervisors(model, returned)
            }
            Move::Die(arrives) => {
                next.faults += 1;
                next.die(arrives, scope);
                Transition::To(next)
            }
            Move::Restart => {
                next.is_driven = true;
                next.signal(Signal::Restarted, scope)
            }
        }
    }

    /// Control takes a signal, and its orders go out.
    pub(crate) fn signal(&mut self, signal: Signal, scope: &Scope) -> Transition {
        let before = self.control;
        let (control, orders) = match (scope.machine.0)(self.control, signal) {
            Ok(taken) => taken,
            Err(unexpected) => return Transition::Violates(Violation::UnexpectedSignal(unexpected)),
        };
        self.control = control;
        self.in_flight.keep_wanted(control.phase());
        self.in_flight.give(&orders);
        if signal == Signal::Setup(SetupSignal::Refused) && !matches!(control.phase(), Phase::Done(_)) {
            return Transition::Violates(Violation::WentOnRefused);
        }
        if orders.iter().any(|order| matches!(order, Order::StartMigration))
            && !matches!(before.phase(), Phase::Preparing(_) | Phase::Validating(_))
        {
            return Transition::Violates(Violation::StartedTwice);
        }
        if let Phase::Done(done) = control.phase()
            && !matches!(before.phase(), Phase::Done(_))
        {
            if let Some(violation) = Violation::of_the_end(self, done) {
                return Transition::Violates(violation);
            }
            self.forget();
        }
        Transition::To(*self)
    }

    /// After the end no answer is awaited; states that differ only in such answers are one.
    fn forget(&mut self) {
        let Self { in_flight, .. } = self;
        in_flight.give_up_all();
    }

    fn hypervisors(&mut self, model: Model, returned: Option<Returned>) -> Transition {
        self.model = model;
        self.in_flight.return_call(returned);
        Transition::To(*self)
    }

    fn die(&mut self, arrives: bool, scope: &Scope) {
        if arrives && self.model.source == super::model::Host::Up {
            let taken = match self.in_flight.call {
                CallOut::Start => self.model.begin(scope),
                CallOut::Resume => self.model.resume_postcopy(),
                CallOut::Idle | CallOut::Taken | CallOut::Returned(_) => false,
            };
            if taken {
                self.model.has_caller = false;
            }
        }
        // The call is not awaited any more; it continues without a caller.
        self.model.has_caller = false;
        self.in_flight.give_up_all();
        self.is_driven = false;
    }

    pub(super) fn is_out(&self, place: Slot) -> bool {
        let in_flight = &self.in_flight;
        match place {
            Slot::Facts => in_flight.facts == Exchange::Sent,
            Slot::Settings => in_flight.settings == Exchange::Sent,
            // No change of a setting overtakes an earlier one, whether by an adjustment or otherwise.
            Slot::Setting => {
                matches!(in_flight.setting, Some((_, Exchange::Sent)))
                    && !in_flight.has_late_setting()
                    && !matches!(
                        in_flight.reaction,
                        Some((
                            AdjustmentKind::DowntimeLimit | AdjustmentKind::BandwidthLimit,
                            Exchange::Sent
                        ))
                    )
            }
            Slot::Call => matches!(in_flight.call, CallOut::Start | CallOut::Resume),
            Slot::Job => in_flight.job == Exchange::Sent,
            Slot::Abort => in_flight.abort == Exchange::Sent,
            Slot::Look(Side::Source) => in_flight.source == Exchange::Sent,
            Slot::Look(Side::Destination) => in_flight.destination == Exchange::Sent,
            Slot::Act => matches!(in_flight.act, Some((_, Exchange::Sent))),
            Slot::Reaction => match in_flight.reaction {
                Some((AdjustmentKind::DowntimeLimit | AdjustmentKind::BandwidthLimit, Exchange::Sent)) => {
                    !in_flight.has_late_setting()
                }
                Some((_, Exchange::Sent)) => true,
                _ => false,
            },
        }
    }

    pub(super) fn is_answered(&self, place: Slot) -> bool {
        let in_flight = &self.in_flight;
        match place {
            Slot::Facts => matches!(in_flight.facts, Exchange::Answered(_)),
            Slot::Settings => matches!(in_flight.settings, Exchange::Answered(_)),
            Slot::Setting => matches!(in_flight.setting, Some((_, Exchange::Answered(_)))),
            Slot::Call => matches!(in_flight.call, CallOut::Returned(_)),
            Slot::Job => matches!(in_flight.job, Exchange::Answered(_)),
            Slot::Abort => matches!(in_flight.abort, Exchange::Answered(_)),
            Slot::Look(Side::Source) => matches!(in_flight.source, Exchange::Answered(_)),
            Slot::Look(Side::Destination) => matches!(in_flight.destination, Exchange::Answered(_)),
            Slot::Act => matches!(in_flight.act, Some((_, Exchange::Answered(_)))),
            Slot::Reaction => matches!(in_flight.reaction, Some((_, Exchange::Answered(_)))),
        }
    }

    /// An answer arrives.
    fn deliver(&mut self, place: Slot, scope: &Scope) -> Transition {
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
            None => return Transition::Impossible,
        };
        self.signal(signal, scope)
    }

    fn take_answer(&mut self, place: Slot) -> Option<Answer> {
        let in_flight = &mut self.in_flight;
        match place {
            Slot::Facts => take(&mut in_flight.facts).map(Answer::Facts),
            Slot::Settings => take(&mut in_flight.settings).map(Answer::Settings),
            Slot::Setting => match in_flight.setting.take() {
                Some((_, Exchange::Answered(done))) => Some(Answer::Setting(done)),
                _ => None,
            },
            Slot::Call => match std::mem::take(&mut in_flight.call) {
                CallOut::Returned(returned) => Some(Answer::Call(returned)),
                _ => None,
            },
            Slot::Job => take(&mut in_flight.job).map(Answer::Job),
            Slot::Abort => take(&mut in_flight.abort).map(Answer::Abort),
            Slot::Look(Side::Source) => {
                take(&mut in_flight.source).map(|state| Answer::Look(Side::Source, state))
            }
            Slot::Look(Side::Destination) => {
                take(&mut in_flight.destination).map(|state| Answer::Look(Side::Destination, state))
            }
            Slot::Act => match in_flight.act.take() {
                Some((_, Exchange::Answered(done))) => Some(Answer::Act(done)),
                _ => None,
            },
            Slot::Reaction => match in_flight.reaction.take() {
                Some((_, Exchange::Answered(reacted))) => Some(Answer::Reaction(reacted)),
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

fn take<A: Copy>(asked: &mut Exchange<A>) -> Option<A> {
    match std::mem::take(asked) {
        Exchange::Answered(answer) => Some(answer),
        Exchange::Idle | Exchange::Sent => None,
    }
}
