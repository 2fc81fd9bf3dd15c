//! Resolving: it is not known where the guest is. **Ownership is in doubt; both ends are looked at until it is not.**
//!
//! Nothing is resumed or destroyed on a guess. A step is taken only when two looks in a row call for the same one,
//! which also leaves the hypervisors the time to tidy up by themselves, and the guard checks it once more. A host that
//! does not answer settles nothing. After [`MOST_LOOKS`] looks the best that was observed is reported, with the side
//! that could not be settled.

use super::rolling_back::{Stay, on_source};
use super::signal::{Order, Orders, Signal, Timer};
use super::{Assessment, Done, Ledger, Next, Phase, Precopy, RollingBack, Sighting, Unasked, guard};
use crate::event::PhaseName;
use crate::outcome::Recovery;
use crate::outcome::{Cause, Whereabouts};
use crate::port::{CopyState, Side};

/// Looks at both ends before the best observation is reported. With the back-off, about 20 s.
pub(super) const MOST_LOOKS: u8 = 9;

/// Looks in a row that must call for the same step before it is taken.
const STEADY: u8 = 2;

/// It is not known where the guest is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Resolving {
    sighting: Sighting,
    last: Assessment,
    steady: u8,
    looks: u8,
    /// The migrate call's reply was lost: the copy may still go on without us.
    adrift: bool,
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
    /// After a look that did not settle where the guest is.
    pub(super) fn enter(sighting: Sighting, ledger: &mut Ledger, orders: &mut Orders) -> Phase {
        Self { sighting, ..Self::new(false) }.judge(ledger, orders)
    }

    /// After a migrate call whose reply was lost: looks at both ends first.
    pub(super) fn after_lost_reply(orders: &mut Orders) -> Phase {
        orders.look();
        Phase::Resolving(Self::new(true))
    }

    const fn new(adrift: bool) -> Self {
        Self {
            sighting: Sighting::NONE,
            last: Assessment::Unclear,
            steady: 0,
            looks: 0,
            adrift,
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
            (Doing::Waiting, Signal::Elapsed(Timer::LookAgain)) => self.look(orders),
            // Whether it was done or not, only a new look tells where the guest is.
            (Doing::Acting, Signal::Acted) => {
                if let Some(recovery) = self.step_called_for(ledger) {
                    orders.give(Order::Tell(recovery));
                }
                self.look(orders);
            }
            (Doing::Acting, Signal::NotActed | Signal::Elapsed(Timer::Reply)) => self.wait(orders),
            (_, Signal::Cancel) => {
                ledger.cancel_asked = true;
                // A copy that is found going on is to be aborted then.
                ledger.blame(Cause::OperatorCancelled);
                orders.give(Order::TellCancelInDoubt);
            }
            // A copy that is found going on is to be aborted then.
            (_, Signal::Elapsed(Timer::GiveUp)) => ledger.blame(Cause::TimedOut),
            // Answers to what an earlier phase asked, hints, and timers of a step that is over.
            (
                _,
                Signal::JobActive
                | Signal::JobGone
                | Signal::JobUnknown
                | Signal::AbortAccepted
                | Signal::AbortRefused
                | Signal::IterationBegan
                | Signal::SourceSuspended
                | Signal::SourceResumed
                | Signal::JobEnded
                | Signal::Elapsed(Timer::Poll),
            )
            | (Doing::Waiting, Signal::Elapsed(Timer::Reply))
            | (Doing::Looking | Doing::Acting, Signal::Elapsed(Timer::LookAgain)) => {}
            (Doing::Waiting | Doing::Acting, Signal::Seen(..))
            | (Doing::Looking | Doing::Waiting, Signal::Acted | Signal::NotActed)
            | (
                _,
                Signal::Begin
                | Signal::FactsArrived(_)
                | Signal::FactsMissing
                | Signal::Allowed
                | Signal::Refused
                | Signal::SettingsRead
                | Signal::SettingsUnreadable
                | Signal::Applied
                | Signal::NotApplied
                | Signal::CallSucceeded
                | Signal::CallFailed
                | Signal::CallLost,
            ) => return Err(Unasked { phase: PhaseName::Resolving, signal }),
        }
        Ok(Phase::Resolving(self))
    }

    /// Draws the conclusion of a complete look.
    fn judge(mut self, ledger: &mut Ledger, orders: &mut Orders) -> Phase {
        let assessment = self.sighting.assess(ledger.guest_was);
        self.steady = if assessment == self.last { self.steady + 1 } else { 1 };
        self.last = assessment;
        self.looks += 1;
        match assessment {
            // A request whose reply was lost may still wait in the source's daemon: one look is not enough.
            Assessment::SourceRuns | Assessment::SourcePaused if self.adrift && self.steady < STEADY => {}
            Assessment::SourceRuns | Assessment::SourcePaused => {
                let guest = on_source(assessment == Assessment::SourceRuns);
                return self.stay(Stay { guest, unsettled: false }, ledger, orders);
            }
            Assessment::DestinationRuns | Assessment::DestinationPaused => {
                return Done::completed(assessment == Assessment::DestinationRuns, ledger);
            }
            Assessment::CopyGoesOn if self.adrift => return Precopy::adopt(ledger, orders),
            Assessment::Nowhere if self.steady > STEADY => {
                ledger.blame(self.what_failed());
                return Done::nowhere(ledger);
            }
            Assessment::CopyGoesOn
            | Assessment::ResumeSource
            | Assessment::ResumeDestination
            | Assessment::DestroySource
            | Assessment::DestroyDestination
            | Assessment::Both
            | Assessment::Nowhere
            | Assessment::Unclear => {}
        }
        if self.looks >= MOST_LOOKS {
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
            Some(Recovery::Resumed(side)) => guard::resume(side, self.sighting, orders),
            Some(Recovery::Destroyed(side)) => guard::destroy(side, self.sighting, orders),
            Some(Recovery::DowntimeLimitRestored | Recovery::BandwidthLimitRestored) | None => return false,
        }
        orders.give(Order::Arm(Timer::Reply));
        self.doing = Doing::Acting;
        true
    }

    fn step_called_for(&self, ledger: &Ledger) -> Option<Recovery> {
        match self.last {
            // An absence means something only on a host that was seen to receive the guest.
            Assessment::ResumeSource if !ledger.destination_receives => None,
            Assessment::ResumeSource => Some(Recovery::Resumed(Side::Source)),
            Assessment::ResumeDestination => Some(Recovery::Resumed(Side::Destination)),
            Assessment::DestroySource => Some(Recovery::Destroyed(Side::Source)),
            Assessment::DestroyDestination => Some(Recovery::Destroyed(Side::Destination)),
            Assessment::SourceRuns
            | Assessment::SourcePaused
            | Assessment::DestinationRuns
            | Assessment::DestinationPaused
            | Assessment::CopyGoesOn
            | Assessment::Both
            | Assessment::Nowhere
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
        orders.give(Order::ArmLookAgain(self.looks));
    }

    fn stay(self, stay: Stay, ledger: &mut Ledger, orders: &mut Orders) -> Phase {
        ledger.blame(self.what_failed());
        RollingBack::restore_then(stay, ledger, orders)
    }

    const fn what_failed(self) -> Cause {
        if self.adrift { Cause::ReplyLost } else { Cause::CopyFailed }
    }

    /// Reports the best that was observed when looking on brings nothing new.
    fn concede(self, ledger: &mut Ledger, orders: &mut Orders) -> Phase {
        let source = self.sighting.side(Side::Source);
        let destination = self.sighting.side(Side::Destination);
        let stay = |guest, unsettled| Stay { guest, unsettled };
        match (source, destination) {
            // Before the hand-over began the destination cannot have run.
            (CopyState::Running, CopyState::Unknown) if !ledger.switchover_began => {
                return self.stay(stay(Whereabouts::SourceRunning, true), ledger, orders);
            }
            // A leftover that could not be removed.
            (CopyState::Running, CopyState::Incoming | CopyState::Stopped | CopyState::Paused) => {
                return self.stay(stay(Whereabouts::SourceRunning, true), ledger, orders);
            }
            // It could not be resumed, or the host across was never seen to receive it.
            (CopyState::Stopped | CopyState::Paused, CopyState::Absent) => {
                let unsettled = !ledger.destination_receives;
                return self.stay(stay(Whereabouts::SourcePaused, unsettled), ledger, orders);
            }
            (_, _) => {}
        }
        ledger.blame(self.what_failed());
        let (guest, unsettled) = match (source, destination) {
            (CopyState::Running, CopyState::Running | CopyState::Migrating) => {
                (Whereabouts::BothRunning, None)
            }
            (CopyState::Running, CopyState::Unknown) => (Whereabouts::SourceRunning, Some(Side::Destination)),
            (CopyState::Absent, CopyState::Stopped | CopyState::Paused) => {
                (Whereabouts::DestinationPaused, None)
            }
            (_, CopyState::Running) => (Whereabouts::DestinationRunning, Some(Side::Source)),
            (CopyState::Unknown, _) => (Whereabouts::Unknown, Some(Side::Source)),
            (_, _) => (Whereabouts::Unknown, Some(Side::Destination)),
        };
        Done::in_doubt(guest, unsettled, ledger)
    }
}
