//! Recovering: a guest in post-copy whose two halves have lost each other. **The destination's half runs until it
//! misses a page; the source's half holds the pages. Neither may be ended, and the source's never runs again.**
//!
//! Both hosts are queried. Halves that have lost each other are joined by a call that resumes the migration, repeated
//! until it works or the recovery timeout elapses. Halves that are connected are followed; a whole guest is left to
//! [`Resolving`]. When one half is gone for good the guest cannot continue, and that is reported.

use super::ledger::Mark;
use super::resolving::CONFIRMATIONS_TO_CONCLUDE;
use super::signal::{Order, Orders, Signal, Timer};
use super::{Assessment, Done, HostObservations, Ledger, Next, Phase, Postcopy, Resolving, UnexpectedSignal};
use crate::outcome::{Cause, GuestLocation};
use crate::port::{CopyState, Side};
use crate::vocabulary::{AdjustmentResult, PhaseName};

/// The guest is in two halves that have lost each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Recovering {
    observations: HostObservations,
    last: Assessment,
    /// Observations in a row with the same assessment, up to [`CONFIRMATIONS_TO_CONCLUDE`].
    confirmations: u8,
    /// The timeout has elapsed: the next observation is the last.
    last_look: bool,
    waiting: bool,
    /// No job was seen working on a post-copy that its hosts report as in progress.
    doubted: bool,
}

impl Recovering {
    /// Whether the last observations all had the same assessment, so another query would show nothing new.
    #[must_use]
    pub const fn is_confirmed(self) -> bool {
        self.confirmations >= CONFIRMATIONS_TO_CONCLUDE
    }

    const NEW: Self = Self {
        observations: HostObservations::NONE,
        last: Assessment::Unclear,
        confirmations: 0,
        last_look: false,
        waiting: false,
        doubted: false,
    };

    /// A post-copy's call has returned without success: queries both hosts.
    pub(super) fn look(orders: &mut Orders) -> Phase {
        orders.give(Order::Arm(Timer::Patience));
        orders.look();
        Phase::Recovering(Self::NEW)
    }

    /// No job works on a post-copy that was found in progress: queries both hosts; the timeout keeps running.
    pub(super) fn look_on(orders: &mut Orders) -> Phase {
        orders.look();
        Phase::Recovering(Self { doubted: true, ..Self::NEW })
    }

    /// The same when the timeout has elapsed.
    pub(super) fn look_last_on(orders: &mut Orders) -> Phase {
        orders.look();
        Phase::Recovering(Self { doubted: true, last_look: true, ..Self::NEW })
    }

    /// A call to resume it has failed: the next query waits; the timeout keeps running.
    pub(super) fn wait(orders: &mut Orders) -> Phase {
        orders.give(Order::Arm(Timer::LookAgain));
        Phase::Recovering(Self { waiting: true, ..Self::NEW })
    }

    /// The timeout elapsed while a call to resume it was in flight.
    pub(super) fn look_last(orders: &mut Orders) -> Phase {
        orders.look();
        Phase::Recovering(Self { last_look: true, ..Self::NEW })
    }

    /// After an observation that showed halves.
    pub(super) fn enter(observations: HostObservations, ledger: &mut Ledger, orders: &mut Orders) -> Phase {
        orders.give(Order::Arm(Timer::Patience));
        Self { observations, ..Self::NEW }.judge(ledger, orders)
    }

    pub(super) fn on(mut self, signal: Signal, ledger: &mut Ledger, orders: &mut Orders) -> Next {
        match (self.waiting, signal) {
            (false, Signal::Seen(side, state)) => {
                ledger.note_seen(side, state);
                self.observations = self.observations.with(side, state);
                if self.observations.is_complete() {
                    return Ok(self.judge(ledger, orders));
                }
            }
            (false, Signal::Elapsed(Timer::Reply)) => {
                self.observations = self.observations.closed();
                return Ok(self.judge(ledger, orders));
            }
            // An answer to an earlier query.
            (true, Signal::Seen(side, state)) => ledger.note_seen(side, state),
            (true, Signal::Elapsed(Timer::LookAgain)) | (_, Signal::Restarted) => {
                self.look_again(orders);
            }
            (true, Signal::Elapsed(Timer::Patience)) => {
                self.last_look = true;
                self.look_again(orders);
            }
            (false, Signal::Elapsed(Timer::Patience)) => self.last_look = true,
            (_, Signal::Cancel) => {
                ledger.mark(Mark::CancelAsked);
                orders.give(Order::ReportCancelRefused);
            }
            (_, Signal::React(kind)) => {
                orders.give(Order::ReportAdjustment(kind, AdjustmentResult::TooLate));
            }
            // Answers to queries of an earlier phase, hints, and timers of a step that is over.
            (
                _,
                Signal::Job(_) | Signal::Abort(_) | Signal::Reacted(_) | Signal::Hint(_) | Signal::Elapsed(_),
            ) => {}
            (_, Signal::Begin | Signal::Setup(_) | Signal::Setting(_) | Signal::Call(_) | Signal::Act(_)) => {
                return Err(UnexpectedSignal { phase: PhaseName::Recovering, signal });
            }
        }
        Ok(Phase::Recovering(self))
    }

    /// Draws the conclusion from a complete observation.
    fn judge(mut self, ledger: &mut Ledger, orders: &mut Orders) -> Phase {
        let assessment = self.observations.assess(ledger);
        self.confirmations =
            if assessment == self.last { (self.confirmations + 1).min(CONFIRMATIONS_TO_CONCLUDE) } else { 1 };
        self.last = assessment;
        match assessment {
            Assessment::PostcopyGoesOn if !(self.last_look && self.doubted) => {
                return Postcopy::adopt(self.doubted, orders);
            }
            Assessment::PostcopyCutOff if !self.last_look => return Postcopy::resume(orders),
            Assessment::LeftBehind if self.confirmations >= CONFIRMATIONS_TO_CONCLUDE => {
                return lost(GuestLocation::LeftBehind, ledger);
            }
            Assessment::Incomplete if self.confirmations >= CONFIRMATIONS_TO_CONCLUDE => {
                return lost(GuestLocation::DestinationIncomplete, ledger);
            }
            Assessment::PostcopyGoesOn
            | Assessment::PostcopyCutOff
            | Assessment::LeftBehind
            | Assessment::Incomplete
            | Assessment::HalfAlone
            | Assessment::Unclear => {}
            Assessment::SourceRuns
            | Assessment::SourcePaused
            | Assessment::SourceOff
            | Assessment::DestinationRuns
            | Assessment::DestinationPaused
            | Assessment::DestinationOff
            | Assessment::CopyGoesOn
            | Assessment::ResumeSource
            | Assessment::ResumeDestination
            | Assessment::DestroySource
            | Assessment::DestroyDestination
            | Assessment::UndefineSource
            | Assessment::UndefineDestination
            | Assessment::Both
            | Assessment::Nowhere => return Resolving::enter(self.observations, ledger, orders),
        }
        if self.last_look {
            return self.give_up(ledger);
        }
        self.waiting = true;
        orders.give(Order::Arm(Timer::LookAgain));
        Phase::Recovering(self)
    }

    fn look_again(&mut self, orders: &mut Orders) {
        self.observations = HostObservations::NONE;
        self.waiting = false;
        orders.look();
    }

    /// Reports the best observation when further attempts would change nothing.
    fn give_up(self, ledger: &mut Ledger) -> Phase {
        ledger.set_cause(Cause::PostcopyLost);
        let source = self.observations.side(Side::Source);
        let destination = self.observations.side(Side::Destination);
        let unsettled = match (source, destination) {
            (_, CopyState::Unknown) => Some(Side::Destination),
            (CopyState::Unknown, _) => Some(Side::Source),
            (_, _) => None,
        };
        Done::in_doubt(GuestLocation::DestinationPostcopy, unsettled, None, ledger)
    }
}

fn lost(guest: GuestLocation, ledger: &mut Ledger) -> Phase {
    ledger.set_cause(Cause::PostcopyLost);
    Done::lost(guest, ledger)
}
