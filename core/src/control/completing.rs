//! Completing: the call says that the guest is on the destination. **The destination owns the guest, if that is true.**
//!
//! Both ends are looked at before it is believed, and the job's last numbers are read. What does not look like a
//! clean hand-over goes to [`Resolving`]. Nothing is resumed or destroyed here.

use super::ledger::Mark;
use super::signal::{Order, Orders, Signal, Timer};
use super::{Assessment, Done, Ledger, Next, Phase, Resolving, Sighting, Unasked};
use crate::facts::GuestRun;
use crate::outcome::Whereabouts;
use crate::port::Side;
use crate::vocabulary::{AdjustmentResult, PhaseName};

/// The guest is said to be on the destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Completing {
    sighting: Sighting,
    numbers_read: bool,
}

impl Completing {
    /// After a migrate call that reported success: whatever is found now, the guest has been let run on the destination.
    pub(super) fn enter(ledger: &mut Ledger, orders: &mut Orders) -> Phase {
        ledger.mark(Mark::DestinationRan);
        Self::look(orders)
    }

    fn look(orders: &mut Orders) -> Phase {
        orders.give(Order::PollJob);
        orders.look();
        Phase::Completing(Self { sighting: Sighting::default(), numbers_read: false })
    }

    pub(super) fn on(mut self, signal: Signal, ledger: &mut Ledger, orders: &mut Orders) -> Next {
        match signal {
            Signal::Seen(side, state) => {
                ledger.note_seen(side, state);
                self.sighting = self.sighting.with(side, state);
            }
            Signal::Job(_) => self.numbers_read = true,
            Signal::Elapsed(Timer::Reply) => {
                self.sighting = self.sighting.closed();
                self.numbers_read = true;
            }
            Signal::Restarted => return Ok(Self::look(orders)),
            // The answer is given at the end, by what was seen.
            Signal::Cancel => ledger.mark(Mark::CancelAsked),
            Signal::React(kind) => orders.give(Order::ReportAdjustment(kind, AdjustmentResult::TooLate)),
            // Answers to what was asked for before the call returned.
            Signal::Abort(_) | Signal::Reacted(_) | Signal::Hint(_) | Signal::Elapsed(_) => {}
            Signal::Begin | Signal::Setup(_) | Signal::Setting(_) | Signal::Call(_) | Signal::Act(_) => {
                return Err(Unasked { phase: PhaseName::Completing, signal });
            }
        }
        Ok(self.conclude(ledger, orders))
    }

    fn conclude(self, ledger: &mut Ledger, orders: &mut Orders) -> Phase {
        if !self.sighting.is_complete() || !self.numbers_read {
            return Phase::Completing(self);
        }
        let here = self.sighting.side(Side::Source);
        match self.sighting.assess(ledger) {
            Assessment::DestinationRuns => Done::completed(Whereabouts::DestinationRunning, here, ledger),
            // A guest that ran and is paused now may be so for a moment only: it is observed again.
            Assessment::DestinationPaused if ledger.guest_was == GuestRun::Running => {
                Resolving::enter(self.sighting, ledger, orders)
            }
            Assessment::DestinationPaused => Done::completed(Whereabouts::DestinationPaused, here, ledger),
            Assessment::DestinationOff => Done::completed(Whereabouts::DestinationOff, here, ledger),
            Assessment::SourceRuns
            | Assessment::SourcePaused
            | Assessment::SourceOff
            | Assessment::CopyGoesOn
            | Assessment::PostcopyGoesOn
            | Assessment::PostcopyCutOff
            | Assessment::ResumeSource
            | Assessment::ResumeDestination
            | Assessment::DestroySource
            | Assessment::DestroyDestination
            | Assessment::UndefineSource
            | Assessment::UndefineDestination
            | Assessment::Both
            | Assessment::Nowhere
            | Assessment::LeftBehind
            | Assessment::Incomplete
            | Assessment::HalfAlone
            | Assessment::Unclear => Resolving::enter(self.sighting, ledger, orders),
        }
    }
}
