//! Resolving: the guest's location is unknown. **Ownership is in doubt; both hosts are queried until it is not.**
//!
//! Nothing is resumed or destroyed on a guess. A step is taken only when two observations in a row require the same
//! one, which also leaves the hypervisors time for their own cleanup, and the guard checks it once more. A host that
//! does not answer proves nothing. At the end of the resolve timeout, the best observation is reported, with the side
//! that could not be determined. Two halves of a guest in post-copy are left to [`Recovering`].

use super::ledger::Mark;
use super::rolling_back::{Stay, on_source};
use super::signal::{ActSignal, Order, Orders, Signal, Timer};
use super::{
    Assessment, Done, HostObservations, Ledger, Next, Phase, Precopy, Recovering, RollingBack,
    UnexpectedSignal, guard,
};
use crate::facts::GuestRun;
use crate::outcome::{Cause, GuestLocation, Recovery};
use crate::port::{CopyState, Side};
use crate::vocabulary::{AdjustmentResult, PhaseName};

/// Observations in a row that must require the same step before it is taken.
pub(super) const CONFIRMATIONS_TO_ACT: u8 = 2;

/// Observations in a row that must show an irreversible result, such as a lost guest, before it is believed.
pub(super) const CONFIRMATIONS_TO_CONCLUDE: u8 = 3;

/// The guest's location is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Resolving {
    observations: HostObservations,
    last: Assessment,
    /// Observations in a row with the same assessment, up to [`CONFIRMATIONS_TO_CONCLUDE`].
    confirmations: u8,
    /// The migrate call's reply was lost: the copy may still continue without its caller.
    call_lost: bool,
    /// The timeout has elapsed: the next observation is the last.
    last_look: bool,
    doing: Doing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Doing {
    Looking,
    Waiting,
    /// The step that the last observation requires.
    Acting,
}

impl Resolving {
    /// Whether the last observations all had the same assessment, so another query would show nothing new.
    #[must_use]
    pub const fn is_confirmed(self) -> bool {
        self.confirmations >= CONFIRMATIONS_TO_CONCLUDE
    }

    /// After an observation that did not determine the guest's location.
    pub(super) fn enter(observations: HostObservations, ledger: &mut Ledger, orders: &mut Orders) -> Phase {
        orders.give(Order::Arm(Timer::Patience));
        Self { observations, ..Self::new(false) }.judge(ledger, orders)
    }

    /// After a migrate call whose reply was lost: queries both hosts first.
    pub(super) fn after_lost_reply(orders: &mut Orders) -> Phase {
        orders.give(Order::Arm(Timer::Patience));
        orders.look();
        Phase::Resolving(Self::new(true))
    }

    const fn new(call_lost: bool) -> Self {
        Self {
            observations: HostObservations::NONE,
            last: Assessment::Unclear,
            confirmations: 0,
            call_lost,
            last_look: false,
            doing: Doing::Looking,
        }
    }

    pub(super) fn on(mut self, signal: Signal, ledger: &mut Ledger, orders: &mut Orders) -> Next {
        match (self.doing, signal) {
            (Doing::Looking, Signal::Seen(side, state)) => {
                ledger.note_seen(side, state);
                self.observations = self.observations.with(side, state);
                if self.observations.is_complete() {
                    return Ok(self.judge(ledger, orders));
                }
            }
            (Doing::Looking, Signal::Elapsed(Timer::Reply)) => {
                self.observations = self.observations.closed();
                return Ok(self.judge(ledger, orders));
            }
            (Doing::Waiting, Signal::Elapsed(Timer::LookAgain)) | (_, Signal::Restarted) => self.look(orders),
            // Whether the step was executed or not, only a new observation shows where the guest is.
            (Doing::Acting, Signal::Act(ActSignal::Done)) => {
                if let Some(recovery) = self.step_called_for(ledger) {
                    orders.give(Order::ReportRecovery(recovery));
                }
                self.look(orders);
            }
            (Doing::Acting, Signal::Act(ActSignal::Unknown) | Signal::Elapsed(Timer::Reply)) => {
                self.wait(orders);
            }
            (Doing::Waiting, Signal::Elapsed(Timer::Patience)) => return Ok(self.give_up(ledger, orders)),
            // A query or a step is in flight, and its result may be the one that decides.
            (Doing::Looking | Doing::Acting, Signal::Elapsed(Timer::Patience)) => self.last_look = true,
            (_, Signal::Cancel) => {
                ledger.mark(Mark::CancelAsked);
                // A copy that is found in progress is to be aborted then.
                ledger.set_cause(Cause::OperatorCancelled);
                orders.give(Order::ReportCancelInDoubt);
            }
            (_, Signal::React(kind)) => {
                orders.give(Order::ReportAdjustment(kind, AdjustmentResult::Busy));
            }
            // A copy that is found in progress is to be aborted then.
            (_, Signal::Elapsed(Timer::GiveUp)) => ledger.set_cause(Cause::TimedOut),
            // Answers to queries of an earlier phase, hints, and timers of a step that is over.
            (
                _,
                Signal::Job(_) | Signal::Abort(_) | Signal::Reacted(_) | Signal::Hint(_) | Signal::Elapsed(_),
            ) => {}
            (Doing::Waiting | Doing::Acting, Signal::Seen(..))
            | (Doing::Looking | Doing::Waiting, Signal::Act(_))
            | (_, Signal::Begin | Signal::Setup(_) | Signal::Setting(_) | Signal::Call(_)) => {
                return Err(UnexpectedSignal { phase: PhaseName::Resolving, signal });
            }
        }
        Ok(Phase::Resolving(self))
    }

    /// Draws the conclusion from a complete observation.
    fn judge(mut self, ledger: &mut Ledger, orders: &mut Orders) -> Phase {
        let assessment = self.observations.assess(ledger);
        let here = self.observations.side(Side::Source);
        self.confirmations =
            if assessment == self.last { (self.confirmations + 1).min(CONFIRMATIONS_TO_CONCLUDE) } else { 1 };
        self.last = assessment;
        match assessment {
            // A request whose reply was lost may still be queued in the source's daemon: one observation is not enough.
            Assessment::SourceRuns | Assessment::SourcePaused | Assessment::SourceOff
                if self.call_lost && self.confirmations < CONFIRMATIONS_TO_ACT => {}
            Assessment::SourceRuns | Assessment::SourcePaused | Assessment::SourceOff => {
                if let Some(guest) = on_source(assessment) {
                    return self.stay(Stay::settled(guest, self.observations, ledger), ledger, orders);
                }
            }
            Assessment::DestinationRuns => {
                return Done::completed(GuestLocation::DestinationRunning, here, ledger);
            }
            // A guest that ran may be paused for a moment only, for example by a snapshot.
            Assessment::DestinationPaused
                if ledger.guest_was == GuestRun::Running
                    && self.confirmations < CONFIRMATIONS_TO_CONCLUDE
                    && !self.last_look => {}
            Assessment::DestinationPaused => {
                return Done::completed(GuestLocation::DestinationPaused, here, ledger);
            }
            Assessment::DestinationOff => {
                return Done::completed(GuestLocation::DestinationOff, here, ledger);
            }
            // Only then: a call that returned has ended its copy, and a job that is still seen is being cleaned up.
            Assessment::CopyGoesOn if self.call_lost => return Precopy::adopt(ledger, orders),
            Assessment::PostcopyGoesOn
            | Assessment::PostcopyCutOff
            | Assessment::LeftBehind
            | Assessment::Incomplete
            | Assessment::HalfAlone => return Recovering::enter(self.observations, ledger, orders),
            Assessment::Nowhere if self.confirmations >= CONFIRMATIONS_TO_CONCLUDE => {
                ledger.set_cause(self.what_failed());
                return Done::lost(GuestLocation::Nowhere, ledger);
            }
            Assessment::CopyGoesOn
            | Assessment::ResumeSource
            | Assessment::ResumeDestination
            | Assessment::DestroySource
            | Assessment::DestroyDestination
            | Assessment::UndefineSource
            | Assessment::UndefineDestination
            | Assessment::Both
            | Assessment::Nowhere
            | Assessment::Unclear => {}
        }
        // Before a step: after the timeout no observation follows that could show its result.
        if self.last_look {
            return self.give_up(ledger, orders);
        }
        if self.confirmations >= CONFIRMATIONS_TO_ACT && self.act(ledger, orders) {
            return Phase::Resolving(self);
        }
        self.wait(orders);
        Phase::Resolving(self)
    }

    /// Takes the step that the observations require, if they require one.
    fn act(&mut self, ledger: &Ledger, orders: &mut Orders) -> bool {
        match self.step_called_for(ledger) {
            Some(Recovery::Resumed(side)) => guard::resume(side, self.observations, ledger, orders),
            Some(Recovery::Destroyed(side)) => guard::destroy(side, self.observations, orders),
            Some(Recovery::Undefined(side)) => guard::undefine(side, self.observations, orders),
            Some(
                Recovery::DowntimeLimitRestored
                | Recovery::BandwidthLimitRestored
                | Recovery::DisksRemoved
                | Recovery::PostcopyResumed,
            )
            | None => return false,
        }
        orders.give(Order::Arm(Timer::Reply));
        self.doing = Doing::Acting;
        true
    }

    fn step_called_for(&self, ledger: &Ledger) -> Option<Recovery> {
        match self.last {
            // An absence is evidence only on a host that was seen to receive the guest.
            Assessment::ResumeSource if !ledger.has(Mark::DestinationReceives) => None,
            Assessment::ResumeSource => Some(Recovery::Resumed(Side::Source)),
            Assessment::ResumeDestination => Some(Recovery::Resumed(Side::Destination)),
            // Inferred knowledge may be of a migration that ended long ago: a copy or a definition may be another
            // client's.
            Assessment::DestroySource
            | Assessment::DestroyDestination
            | Assessment::UndefineSource
            | Assessment::UndefineDestination
                if ledger.has(Mark::Inferred) =>
            {
                None
            }
            Assessment::DestroySource => Some(Recovery::Destroyed(Side::Source)),
            Assessment::DestroyDestination => Some(Recovery::Destroyed(Side::Destination)),
            Assessment::UndefineSource => Some(Recovery::Undefined(Side::Source)),
            Assessment::UndefineDestination => Some(Recovery::Undefined(Side::Destination)),
            Assessment::SourceRuns
            | Assessment::SourcePaused
            | Assessment::SourceOff
            | Assessment::DestinationRuns
            | Assessment::DestinationPaused
            | Assessment::DestinationOff
            | Assessment::CopyGoesOn
            | Assessment::PostcopyGoesOn
            | Assessment::PostcopyCutOff
            | Assessment::Both
            | Assessment::Nowhere
            | Assessment::LeftBehind
            | Assessment::Incomplete
            | Assessment::HalfAlone
            | Assessment::Unclear => None,
        }
    }

    fn look(&mut self, orders: &mut Orders) {
        self.observations = HostObservations::NONE;
        self.doing = Doing::Looking;
        orders.look();
    }

    fn wait(&mut self, orders: &mut Orders) {
        self.doing = Doing::Waiting;
        if self.last_look {
            // The timeout elapsed while a step was in flight: one more observation, at once.
            self.look(orders);
        } else {
            orders.give(Order::Arm(Timer::LookAgain));
        }
    }

    fn stay(self, stay: Stay, ledger: &mut Ledger, orders: &mut Orders) -> Phase {
        ledger.set_cause(self.what_failed());
        RollingBack::restore_then(stay, ledger, orders)
    }

    /// The cause that led to this phase.
    #[must_use]
    pub const fn what_failed(self) -> Cause {
        if self.call_lost { Cause::ReplyLost } else { Cause::CopyFailed }
    }

    /// Reports the best observation when further queries would show nothing new.
    fn give_up(self, ledger: &mut Ledger, orders: &mut Orders) -> Phase {
        let there = self.observations.side(Side::Destination);
        let definition_left = ledger.has_left_definition(there);
        let stay = |guest, unsettled| Stay { guest, there, unsettled, definition_left };
        match self.observations.assess(ledger) {
            // It could not be resumed. A destination that was never seen to receive the guest proves nothing by its
            // absence.
            Assessment::ResumeSource if ledger.has(Mark::DestinationReceives) => {
                return self.stay(stay(GuestLocation::SourcePaused, false), ledger, orders);
            }
            Assessment::SourcePaused => {
                let unsettled = !ledger.has(Mark::DestinationReceives);
                return self.stay(stay(GuestLocation::SourcePaused, unsettled), ledger, orders);
            }
            _ => {}
        }
        match (self.observations.side(Side::Source), there) {
            // Before the switchover began the destination cannot have run.
            (CopyState::Running, CopyState::Unknown) if !ledger.has(Mark::SwitchoverBegan) => {
                return self.stay(stay(GuestLocation::SourceRunning, true), ledger, orders);
            }
            // A leftover that could not be removed.
            (CopyState::Running, CopyState::Incoming | CopyState::Stopped | CopyState::Paused) => {
                return self.stay(stay(GuestLocation::SourceRunning, true), ledger, orders);
            }
            (CopyState::Running, CopyState::Defined) => {
                return self.stay(stay(GuestLocation::SourceRunning, false), ledger, orders);
            }
            (CopyState::Defined, CopyState::Running) => {
                return Done::completed(GuestLocation::DestinationRunning, CopyState::Defined, ledger);
            }
            (_, _) => {}
        }
        ledger.set_cause(self.what_failed());
        let (guest, unsettled) = self.best_guess();
        let here = self.observations.side(Side::Source);
        let is_there = guest.side() == Some(Side::Destination);
        let definition_left = ledger.definition_left_here(here).filter(|_| is_there);
        Done::in_doubt(guest, unsettled, definition_left, ledger)
    }

    /// The guest's location, as far as it was observed, and the side that could not be determined.
    fn best_guess(self) -> (GuestLocation, Option<Side>) {
        let source = self.observations.side(Side::Source);
        let destination = self.observations.side(Side::Destination);
        match (source, destination) {
            (CopyState::Running, CopyState::Running | CopyState::Migrating) => {
                (GuestLocation::BothRunning, None)
            }
            (CopyState::Running, _) if destination.is_half() => (GuestLocation::BothRunning, None),
            (CopyState::Running, CopyState::Unknown) => {
                (GuestLocation::SourceRunning, Some(Side::Destination))
            }
            (CopyState::Stopped | CopyState::Paused, _) if destination.is_gone() => {
                (GuestLocation::SourcePaused, Some(Side::Destination))
            }
            (_, CopyState::Stopped | CopyState::Paused) if source.is_gone() => {
                (GuestLocation::DestinationPaused, None)
            }
            (_, CopyState::Running) => (GuestLocation::DestinationRunning, Some(Side::Source)),
            (CopyState::Unknown, _) => (GuestLocation::Unknown, Some(Side::Source)),
            (_, _) => (GuestLocation::Unknown, Some(Side::Destination)),
        }
    }
}
