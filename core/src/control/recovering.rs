//! Recovering: a guest in post-copy whose two halves have lost each other. **The destination's half runs until it misses a
//! page; the source's half holds the pages. Neither may be ended, and the source's never runs again.**
//!
//! Both ends are looked at. Halves that have lost each other are joined again by a call that lets the migration go on,
//! again and again, until it works or patience is at its end. Halves that have each other are followed; whatever is whole
//! is [`Resolving`]'s business. When one half is gone for good the guest cannot go on, and that is said.

use super::ledger::Mark;
use super::resolving::SURE;
use super::signal::{Order, Orders, Signal, Timer};
use super::{Assessment, Done, Ledger, Next, Phase, Postcopy, Resolving, Sighting, Unasked};
use crate::outcome::{Cause, Whereabouts};
use crate::port::{CopyState, Side};
use crate::vocabulary::{AdjustmentResult, PhaseName};

/// The guest is in two halves that have lost each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Recovering {
    sighting: Sighting,
    last: Assessment,
    /// Looks in a row that meant the same, up to [`SURE`].
    steady: u8,
    /// Patience is at its end: the next look is the last.
    last_look: bool,
    waiting: bool,
    /// Nobody was seen to work on a post-copy that is said to go on.
    doubted: bool,
}

impl Recovering {
    /// Whether the last looks all meant the same, so that another would bring nothing new.
    #[must_use]
    pub const fn is_steady(self) -> bool {
        self.steady >= SURE
    }

    const NEW: Self = Self {
        sighting: Sighting::NONE,
        last: Assessment::Unclear,
        steady: 0,
        last_look: false,
        waiting: false,
        doubted: false,
    };

    /// A post-copy's call has returned without success: looks at both ends.
    pub(super) fn look(orders: &mut Orders) -> Phase {
        orders.give(Order::Arm(Timer::Patience));
        orders.look();
        Phase::Recovering(Self::NEW)
    }

    /// Nobody works on a post-copy that was found going on: looks at both ends, and patience goes on as before.
    pub(super) fn look_on(orders: &mut Orders) -> Phase {
        orders.look();
        Phase::Recovering(Self { doubted: true, ..Self::NEW })
    }

    /// The same at the end of patience.
    pub(super) fn look_last_on(orders: &mut Orders) -> Phase {
        orders.look();
        Phase::Recovering(Self { doubted: true, last_look: true, ..Self::NEW })
    }

    /// A call that was to let it go on has failed: the next look has time, and patience goes on as before.
    pub(super) fn wait(orders: &mut Orders) -> Phase {
        orders.give(Order::Arm(Timer::LookAgain));
        Phase::Recovering(Self { waiting: true, ..Self::NEW })
    }

    /// Patience came to its end while a call was out that was to let it go on.
    pub(super) fn look_last(orders: &mut Orders) -> Phase {
        orders.look();
        Phase::Recovering(Self { last_look: true, ..Self::NEW })
    }

    /// After a look that showed halves.
    pub(super) fn enter(sighting: Sighting, ledger: &mut Ledger, orders: &mut Orders) -> Phase {
        orders.give(Order::Arm(Timer::Patience));
        Self { sighting, ..Self::NEW }.judge(ledger, orders)
    }

    pub(super) fn on(mut self, signal: Signal, ledger: &mut Ledger, orders: &mut Orders) -> Next {
        match (self.waiting, signal) {
            (false, Signal::Seen(side, state)) => {
                ledger.note_seen(side, state);
                self.sighting = self.sighting.with(side, state);
                if self.sighting.is_complete() {
                    return Ok(self.judge(ledger, orders));
                }
            }
            (false, Signal::Elapsed(Timer::Reply)) => {
                self.sighting = self.sighting.closed();
                return Ok(self.judge(ledger, orders));
            }
            // An answer to a look that was made before.
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
            // Answers to what an earlier phase asked, hints, and timers of a step that is over.
            (
                _,
                Signal::Job(_) | Signal::Abort(_) | Signal::Reacted(_) | Signal::Hint(_) | Signal::Elapsed(_),
            ) => {}
            (_, Signal::Begin | Signal::Setup(_) | Signal::Setting(_) | Signal::Call(_) | Signal::Act(_)) => {
                return Err(Unasked { phase: PhaseName::Recovering, signal });
            }
        }
        Ok(Phase::Recovering(self))
    }

    /// Draws the conclusion of a complete look.
    fn judge(mut self, ledger: &mut Ledger, orders: &mut Orders) -> Phase {
        let assessment = self.sighting.assess(ledger);
        self.steady = if assessment == self.last { (self.steady + 1).min(SURE) } else { 1 };
        self.last = assessment;
        match assessment {
            Assessment::PostcopyGoesOn if !(self.last_look && self.doubted) => {
                return Postcopy::adopt(self.doubted, orders);
            }
            Assessment::PostcopyCutOff if !self.last_look => return Postcopy::resume(orders),
            Assessment::LeftBehind if self.steady >= SURE => return lost(Whereabouts::LeftBehind, ledger),
            Assessment::Incomplete if self.steady >= SURE => {
                return lost(Whereabouts::DestinationIncomplete, ledger);
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
            | Assessment::Nowhere => return Resolving::enter(self.sighting, ledger, orders),
        }
        if self.last_look {
            return self.concede(ledger);
        }
        self.waiting = true;
        orders.give(Order::Arm(Timer::LookAgain));
        Phase::Recovering(self)
    }

    fn look_again(&mut self, orders: &mut Orders) {
        self.sighting = Sighting::NONE;
        self.waiting = false;
        orders.look();
    }

    /// Reports the best that was observed when trying on brings nothing.
    fn concede(self, ledger: &mut Ledger) -> Phase {
        ledger.blame(Cause::PostcopyLost);
        let source = self.sighting.side(Side::Source);
        let destination = self.sighting.side(Side::Destination);
        let unsettled = match (source, destination) {
            (_, CopyState::Unknown) => Some(Side::Destination),
            (CopyState::Unknown, _) => Some(Side::Source),
            (_, _) => None,
        };
        Done::in_doubt(Whereabouts::DestinationPostcopy, unsettled, None, ledger)
    }
}

fn lost(guest: Whereabouts, ledger: &mut Ledger) -> Phase {
    ledger.blame(Cause::PostcopyLost);
    Done::lost(guest, ledger)
}
