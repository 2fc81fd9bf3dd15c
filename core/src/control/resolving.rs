//! Resolving: it is not known where the guest is. **Ownership is in doubt; both ends are looked at until it is not.**
//!
//! Nothing is resumed or destroyed on a guess. A step is taken only when two looks in a row call for the same one,
//! which also leaves the hypervisors the time to tidy up by themselves, and the guard checks it once more. A host that
//! does not answer settles nothing. When patience is at its end, the best that was observed is reported, with the side
//! that could not be settled. Two halves of a guest in post-copy are [`Recovering`]'s business.

use super::ledger::Mark;
use super::rolling_back::{Stay, on_source};
use super::signal::{ActSignal, Order, Orders, Signal, Timer};
use super::{
    Assessment, Done, Ledger, Next, Phase, Precopy, Recovering, RollingBack, Sighting, Unasked, guard,
};
use crate::facts::GuestRun;
use crate::outcome::{Cause, Recovery, Whereabouts};
use crate::port::{CopyState, Side};
use crate::vocabulary::{AdjustmentResult, PhaseName};

/// Looks in a row that must call for the same step before it is taken.
pub(super) const STEADY: u8 = 2;

/// Looks in a row that must show the guest nowhere before it is believed.
pub(super) const SURE: u8 = 3;

/// It is not known where the guest is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Resolving {
    sighting: Sighting,
    last: Assessment,
    /// Looks in a row that meant the same, up to [`SURE`].
    steady: u8,
    /// The migrate call's reply was lost: the copy may still go on without us.
    adrift: bool,
    /// Patience is at its end: the next look is the last.
    last_look: bool,
    doing: Doing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Doing {
    Looking,
    Waiting,
    /// The step that the last look called for.
    Acting,
}

impl Resolving {
    /// Whether the last looks all meant the same, so that another would bring nothing new.
    #[must_use]
    pub const fn is_steady(self) -> bool {
        self.steady >= SURE
    }

    /// After a look that did not settle where the guest is.
    pub(super) fn enter(sighting: Sighting, ledger: &mut Ledger, orders: &mut Orders) -> Phase {
        orders.give(Order::Arm(Timer::Patience));
        Self { sighting, ..Self::new(false) }.judge(ledger, orders)
    }

    /// After a migrate call whose reply was lost: looks at both ends first.
    pub(super) fn after_lost_reply(orders: &mut Orders) -> Phase {
        orders.give(Order::Arm(Timer::Patience));
        orders.look();
        Phase::Resolving(Self::new(true))
    }

    const fn new(adrift: bool) -> Self {
        Self {
            sighting: Sighting::NONE,
            last: Assessment::Unclear,
            steady: 0,
            adrift,
            last_look: false,
            doing: Doing::Looking,
        }
    }

    pub(super) fn on(mut self, signal: Signal, ledger: &mut Ledger, orders: &mut Orders) -> Next {
        match (self.doing, signal) {
            (Doing::Looking, Signal::Seen(side, state)) => {
                ledger.note_seen(side, state);
                self.sighting = self.sighting.with(side, state);
                if self.sighting.is_complete() {
                    return Ok(self.judge(ledger, orders));
                }
            }
            (Doing::Looking, Signal::Elapsed(Timer::Reply)) => {
                self.sighting = self.sighting.closed();
                return Ok(self.judge(ledger, orders));
            }
            (Doing::Waiting, Signal::Elapsed(Timer::LookAgain)) | (_, Signal::Restarted) => self.look(orders),
            // Whether it was done or not, only a new look tells where the guest is.
            (Doing::Acting, Signal::Act(ActSignal::Done)) => {
                if let Some(recovery) = self.step_called_for(ledger) {
                    orders.give(Order::ReportRecovery(recovery));
                }
                self.look(orders);
            }
            (Doing::Acting, Signal::Act(ActSignal::Unknown) | Signal::Elapsed(Timer::Reply)) => {
                self.wait(orders);
            }
            (Doing::Waiting, Signal::Elapsed(Timer::Patience)) => return Ok(self.concede(ledger, orders)),
            (Doing::Looking | Doing::Acting, Signal::Elapsed(Timer::Patience)) => self.last_look = true,
            (_, Signal::Cancel) => {
                ledger.mark(Mark::CancelAsked);
                // A copy that is found going on is to be aborted then.
                ledger.blame(Cause::OperatorCancelled);
                orders.give(Order::ReportCancelInDoubt);
            }
            (_, Signal::React(kind)) => {
                orders.give(Order::ReportAdjustment(kind, AdjustmentResult::Busy));
            }
            // A copy that is found going on is to be aborted then.
            (_, Signal::Elapsed(Timer::GiveUp)) => ledger.blame(Cause::TimedOut),
            // Answers to what an earlier phase asked, hints, and timers of a step that is over.
            (
                _,
                Signal::Job(_) | Signal::Abort(_) | Signal::Reacted(_) | Signal::Hint(_) | Signal::Elapsed(_),
            ) => {}
            (Doing::Waiting | Doing::Acting, Signal::Seen(..))
            | (Doing::Looking | Doing::Waiting, Signal::Act(_))
            | (_, Signal::Begin | Signal::Setup(_) | Signal::Setting(_) | Signal::Call(_)) => {
                return Err(Unasked { phase: PhaseName::Resolving, signal });
            }
        }
        Ok(Phase::Resolving(self))
    }

    /// Draws the conclusion of a complete look.
    fn judge(mut self, ledger: &mut Ledger, orders: &mut Orders) -> Phase {
        let assessment = self.sighting.assess(ledger);
        let here = self.sighting.side(Side::Source);
        self.steady = if assessment == self.last { (self.steady + 1).min(SURE) } else { 1 };
        self.last = assessment;
        match assessment {
            // A request whose reply was lost may still wait in the source's daemon: one look is not enough.
            Assessment::SourceRuns | Assessment::SourcePaused | Assessment::SourceOff
                if self.adrift && self.steady < STEADY => {}
            Assessment::SourceRuns | Assessment::SourcePaused | Assessment::SourceOff => {
                if let Some(guest) = on_source(assessment) {
                    return self.stay(Stay::settled(guest, self.sighting, ledger), ledger, orders);
                }
            }
            Assessment::DestinationRuns => {
                return Done::completed(Whereabouts::DestinationRunning, here, ledger);
            }
            // A guest that ran may be paused for a moment only, for example by a snapshot.
            Assessment::DestinationPaused
                if ledger.guest_was == GuestRun::Running && self.steady < SURE && !self.last_look => {}
            Assessment::DestinationPaused => {
                return Done::completed(Whereabouts::DestinationPaused, here, ledger);
            }
            Assessment::DestinationOff => return Done::completed(Whereabouts::DestinationOff, here, ledger),
            Assessment::CopyGoesOn if self.adrift => return Precopy::adopt(ledger, orders),
            Assessment::PostcopyGoesOn
            | Assessment::PostcopyCutOff
            | Assessment::LeftBehind
            | Assessment::Incomplete
            | Assessment::HalfAlone => return Recovering::enter(self.sighting, ledger, orders),
            Assessment::Nowhere if self.steady >= SURE => {
                ledger.blame(self.what_failed());
                return Done::lost(Whereabouts::Nowhere, ledger);
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
        if self.last_look {
            return self.concede(ledger, orders);
        }
        if self.steady >= STEADY && self.act(ledger, orders) {
            return Phase::Resolving(self);
        }
        self.wait(orders);
        Phase::Resolving(self)
    }

    /// Takes the step that the sighting calls for, if it calls for one.
    fn act(&mut self, ledger: &Ledger, orders: &mut Orders) -> bool {
        match self.step_called_for(ledger) {
            Some(Recovery::Resumed(side)) => guard::resume(side, self.sighting, ledger, orders),
            Some(Recovery::Destroyed(side)) => guard::destroy(side, self.sighting, orders),
            Some(Recovery::Undefined(side)) => guard::undefine(side, self.sighting, orders),
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
            // An absence means something only on a host that was seen to receive the guest.
            Assessment::ResumeSource if !ledger.has(Mark::DestinationReceives) => None,
            Assessment::ResumeSource => Some(Recovery::Resumed(Side::Source)),
            Assessment::ResumeDestination => Some(Recovery::Resumed(Side::Destination)),
            // Inferred knowledge may be of a migration that is over since long: a copy or a definition may be another's.
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
        self.sighting = Sighting::NONE;
        self.doing = Doing::Looking;
        orders.look();
    }

    fn wait(&mut self, orders: &mut Orders) {
        self.doing = Doing::Waiting;
        if self.last_look {
            // Patience ran out while something was being done: one more look, at once.
            self.look(orders);
        } else {
            orders.give(Order::Arm(Timer::LookAgain));
        }
    }

    fn stay(self, stay: Stay, ledger: &mut Ledger, orders: &mut Orders) -> Phase {
        ledger.blame(self.what_failed());
        RollingBack::restore_then(stay, ledger, orders)
    }

    /// What led here.
    #[must_use]
    pub const fn what_failed(self) -> Cause {
        if self.adrift { Cause::ReplyLost } else { Cause::CopyFailed }
    }

    /// Reports the best that was observed when looking on brings nothing new.
    fn concede(self, ledger: &mut Ledger, orders: &mut Orders) -> Phase {
        let there = self.sighting.side(Side::Destination);
        let definition_left = ledger.has_left_definition(there);
        let stay = |guest, unsettled| Stay { guest, there, unsettled, definition_left };
        match self.sighting.assess(ledger) {
            // It could not be resumed. A destination that was never seen to receive the guest proves nothing by its absence.
            Assessment::ResumeSource if ledger.has(Mark::DestinationReceives) => {
                return self.stay(stay(Whereabouts::SourcePaused, false), ledger, orders);
            }
            Assessment::SourcePaused => {
                let unsettled = !ledger.has(Mark::DestinationReceives);
                return self.stay(stay(Whereabouts::SourcePaused, unsettled), ledger, orders);
            }
            _ => {}
        }
        match (self.sighting.side(Side::Source), there) {
            // Before the hand-over began the destination cannot have run.
            (CopyState::Running, CopyState::Unknown) if !ledger.has(Mark::SwitchoverBegan) => {
                return self.stay(stay(Whereabouts::SourceRunning, true), ledger, orders);
            }
            // A leftover that could not be removed.
            (CopyState::Running, CopyState::Incoming | CopyState::Stopped | CopyState::Paused) => {
                return self.stay(stay(Whereabouts::SourceRunning, true), ledger, orders);
            }
            (CopyState::Running, CopyState::Defined) => {
                return self.stay(stay(Whereabouts::SourceRunning, false), ledger, orders);
            }
            (CopyState::Defined, CopyState::Running) => {
                return Done::completed(Whereabouts::DestinationRunning, CopyState::Defined, ledger);
            }
            (_, _) => {}
        }
        ledger.blame(self.what_failed());
        let (guest, unsettled) = self.best_guess();
        let here = self.sighting.side(Side::Source);
        let is_there = guest.side() == Some(Side::Destination);
        let definition_left = ledger.definition_left_here(here).filter(|_| is_there);
        Done::in_doubt(guest, unsettled, definition_left, ledger)
    }

    /// Where the guest is, as far as it was seen, and the side that could not be settled.
    fn best_guess(self) -> (Whereabouts, Option<Side>) {
        let source = self.sighting.side(Side::Source);
        let destination = self.sighting.side(Side::Destination);
        match (source, destination) {
            (CopyState::Running, CopyState::Running | CopyState::Migrating) => {
                (Whereabouts::BothRunning, None)
            }
            (CopyState::Running, _) if destination.is_half() => (Whereabouts::BothRunning, None),
            (CopyState::Running, CopyState::Unknown) => (Whereabouts::SourceRunning, Some(Side::Destination)),
            (CopyState::Stopped | CopyState::Paused, _) if destination.is_gone() => {
                (Whereabouts::SourcePaused, Some(Side::Destination))
            }
            (_, CopyState::Stopped | CopyState::Paused) if source.is_gone() => {
                (Whereabouts::DestinationPaused, None)
            }
            (_, CopyState::Running) => (Whereabouts::DestinationRunning, Some(Side::Source)),
            (CopyState::Unknown, _) => (Whereabouts::Unknown, Some(Side::Source)),
            (_, _) => (Whereabouts::Unknown, Some(Side::Destination)),
        }
    }
}
