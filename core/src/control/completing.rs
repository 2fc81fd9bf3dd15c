//! Completing: the call reports that the guest is on the destination. **The destination owns the guest, if that is
//! true.**
//!
//! Both hosts are queried before it is believed, and the job's last numbers are read. Anything but a clean switchover
//! leads to [`Resolving`]. Nothing is resumed or destroyed here.

use super::ledger::Mark;
use super::signal::{Order, Orders, Signal, Timer};
use super::{Assessment, Done, HostObservations, Ledger, Next, Phase, Resolving, UnexpectedSignal};
use crate::facts::GuestRun;
use crate::outcome::GuestLocation;
use crate::port::Side;
use crate::vocabulary::{AdjustmentResult, PhaseName};

/// The call reported that the guest is on the destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Completing {
    observations: HostObservations,
    numbers_read: bool,
}

impl Completing {
    /// After a migrate call that reported success: whatever is observed now, the guest has run on the destination.
    pub(super) fn enter(ledger: &mut Ledger, orders: &mut Orders) -> Phase {
        ledger.mark(Mark::DestinationRan);
        Self::look(orders)
    }

    fn look(orders: &mut Orders) -> Phase {
        orders.give(Order::PollJob);
        orders.look();
        Phase::Completing(Self { observations: HostObservations::default(), numbers_read: false })
    }

    pub(super) fn on(mut self, signal: Signal, ledger: &mut Ledger, orders: &mut Orders) -> Next {
        match signal {
            Signal::Seen(side, state) => {
                ledger.note_seen(side, state);
                self.observations = self.observations.with(side, state);
            }
            Signal::Job(_) => self.numbers_read = true,
            Signal::Elapsed(Timer::Reply) => {
                self.observations = self.observations.closed();
                self.numbers_read = true;
            }
            Signal::Restarted => return Ok(Self::look(orders)),
            // The answer is given at the end, from the observations.
            Signal::Cancel => ledger.mark(Mark::CancelAsked),
            Signal::React(kind) => orders.give(Order::ReportAdjustment(kind, AdjustmentResult::TooLate)),
            // Answers to commands that were given before the call returned.
            Signal::Abort(_) | Signal::Reacted(_) | Signal::Hint(_) | Signal::Elapsed(_) => {}
            Signal::Begin | Signal::Setup(_) | Signal::Setting(_) | Signal::Call(_) | Signal::Act(_) => {
                return Err(UnexpectedSignal { phase: PhaseName::Completing, signal });
            }
        }
        Ok(self.conclude(ledger, orders))
    }

    fn conclude(self, ledger: &mut Ledger, orders: &mut Orders) -> Phase {
        if !self.observations.is_complete() || !self.numbers_read {
            return Phase::Completing(self);
        }
        let here = self.observations.side(Side::Source);
        match self.observations.assess(ledger) {
            Assessment::DestinationRuns => Done::completed(GuestLocation::DestinationRunning, here, ledger),
            // A guest that ran may be paused for a moment only: it is queried again.
            Assessment::DestinationPaused if ledger.guest_was == GuestRun::Running => {
                Resolving::enter(self.observations, ledger, orders)
            }
            Assessment::DestinationPaused => Done::completed(GuestLocation::DestinationPaused, here, ledger),
            Assessment::DestinationOff => Done::completed(GuestLocation::DestinationOff, here, ledger),
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
            | Assessment::Unclear => Resolving::enter(self.observations, ledger, orders),
        }
    }
}
