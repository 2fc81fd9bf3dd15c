//! Rolling back: the guest stays on the source, and changes are put back. **The source owns the guest.**
//!
//! When a migrate call was made, both hosts are queried first: a call that reports failure is believed only when the
//! source is seen with the guest and the destination without. Otherwise [`Resolving`] takes over and returns here once
//! the location is known. Then limits are put back, and disks that the migration created are removed, if the
//! destination was seen without the guest. A change that cannot be put back after [`MOST_TRIES`] tries is reported in
//! the outcome.

use super::ledger::Mark;
use super::signal::{ActSignal, Order, Orders, SettingSignal, Signal, Timer};
use super::{Assessment, Done, HostObservations, Ledger, Next, Phase, Resolving, UnexpectedSignal, guard};
use crate::outcome::{GuestLocation, Recovery};
use crate::port::{CopyState, Side};
use crate::vocabulary::{AdjustmentResult, Change, PhaseName};

/// Tries to put one change back before it is reported as left over.
pub(super) const MOST_TRIES: u8 = 3;

/// The guest stays on the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RollingBack {
    step: Step,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Step {
    /// Both hosts are being queried.
    Looking(HostObservations),
    /// A change is being put back.
    Restoring { change: Change, tries: u8, then: Stay },
    /// It could not be put back and will be tried again.
    Waiting { change: Change, tries: u8, then: Stay },
}

/// How the guest stays on the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Stay {
    pub(super) guest: GuestLocation,
    /// The last observed state of the destination.
    pub(super) there: CopyState,
    /// Whether the destination could not be queried, or a copy may be left there.
    pub(super) unsettled: bool,
    /// Whether a definition is left there.
    pub(super) definition_left: bool,
}

impl RollingBack {
    /// After a migrate call that reports failure: queries both hosts.
    pub(super) fn look(orders: &mut Orders) -> Phase {
        orders.look();
        Phase::RollingBack(Self { step: Step::Looking(HostObservations::default()) })
    }

    /// Before any migrate call was made: the guest cannot be anywhere else.
    pub(super) fn restore(ledger: &mut Ledger, orders: &mut Orders) -> Phase {
        Self::restore_then(Stay::untouched(), ledger, orders)
    }

    /// Puts back every change on record, then ends with the guest on the source.
    pub(super) fn restore_then(then: Stay, ledger: &mut Ledger, orders: &mut Orders) -> Phase {
        match ledger.undo.first() {
            None => Done::stayed(then, ledger),
            // The guest runs again, whichever client resumed it; or it could not be resumed, which the outcome reports.
            Some(Change::Pause) => {
                if then.guest == GuestLocation::SourcePaused {
                    ledger.could_not_undo(Change::Pause);
                } else {
                    ledger.undone(Change::Pause);
                }
                Self::restore_then(then, ledger, orders)
            }
            // A copy that may still be there may use the disks.
            Some(Change::Disks) if !then.there.is_gone() => {
                ledger.could_not_undo(Change::Disks);
                Self::restore_then(then, ledger, orders)
            }
            Some(change) => Self::try_restore(change, 0, then, orders),
        }
    }

    pub(super) fn on(self, signal: Signal, ledger: &mut Ledger, orders: &mut Orders) -> Next {
        match (self.step, signal) {
            (Step::Looking(observations), Signal::Seen(side, state)) => {
                ledger.note_seen(side, state);
                Ok(Self::looked(observations.with(side, state), ledger, orders))
            }
            (Step::Looking(observations), Signal::Elapsed(Timer::Reply)) => {
                Ok(Self::looked(observations.closed(), ledger, orders))
            }
            (Step::Looking(_), Signal::Restarted) => Ok(Self::look(orders)),
            (
                Step::Restoring { change, then, .. },
                Signal::Setting(SettingSignal::Applied) | Signal::Act(ActSignal::Done),
            ) => {
                ledger.undone(change);
                if let Some(recovery) = restored(change) {
                    orders.give(Order::ReportRecovery(recovery));
                }
                Ok(Self::restore_then(then, ledger, orders))
            }
            (
                Step::Restoring { change, tries, then },
                Signal::Setting(SettingSignal::Unknown)
                | Signal::Act(ActSignal::Unknown)
                | Signal::Elapsed(Timer::Reply),
            ) => Ok(Self::not_restored(change, tries + 1, then, ledger, orders)),
            // The reply is lost with the driver that waited for it; to put a change back twice does no harm.
            (Step::Restoring { change, tries, then }, Signal::Restarted)
            | (
                Step::Waiting { change, tries, then },
                Signal::Restarted | Signal::Elapsed(Timer::LookAgain),
            ) => Ok(Self::try_restore(change, tries, then, orders)),
            (_, Signal::Cancel) => {
                ledger.mark(Mark::CancelAsked);
                Ok(Phase::RollingBack(self))
            }
            (_, Signal::React(kind)) => {
                orders.give(Order::ReportAdjustment(kind, AdjustmentResult::TooLate));
                Ok(Phase::RollingBack(self))
            }
            // Answers to the last queries of pre-copy, hints, and timers of a step that is over.
            (
                _,
                Signal::Job(_) | Signal::Abort(_) | Signal::Reacted(_) | Signal::Hint(_) | Signal::Elapsed(_),
            ) => Ok(Phase::RollingBack(self)),
            (Step::Restoring { .. } | Step::Waiting { .. }, Signal::Seen(..))
            | (Step::Looking(_) | Step::Waiting { .. }, Signal::Setting(_) | Signal::Act(_))
            | (_, Signal::Begin | Signal::Setup(_) | Signal::Call(_)) => {
                Err(UnexpectedSignal { phase: PhaseName::RollingBack, signal })
            }
        }
    }

    fn looked(observations: HostObservations, ledger: &mut Ledger, orders: &mut Orders) -> Phase {
        if !observations.is_complete() {
            return Phase::RollingBack(Self { step: Step::Looking(observations) });
        }
        match on_source(observations.assess(ledger)) {
            Some(guest) => Self::restore_then(Stay::settled(guest, observations, ledger), ledger, orders),
            None => Resolving::enter(observations, ledger, orders),
        }
    }

    fn try_restore(change: Change, tries: u8, then: Stay, orders: &mut Orders) -> Phase {
        match change {
            Change::Disks => guard::remove_disks(then.there, orders),
            Change::DowntimeLimit | Change::BandwidthLimit | Change::Pause => {
                orders.give(Order::Restore(change));
            }
        }
        orders.give(Order::Arm(Timer::Reply));
        Phase::RollingBack(Self { step: Step::Restoring { change, tries, then } })
    }

    fn not_restored(
        change: Change,
        tries: u8,
        then: Stay,
        ledger: &mut Ledger,
        orders: &mut Orders,
    ) -> Phase {
        if tries < MOST_TRIES {
            orders.give(Order::Arm(Timer::LookAgain));
            return Phase::RollingBack(Self { step: Step::Waiting { change, tries, then } });
        }
        ledger.could_not_undo(change);
        Self::restore_then(then, ledger, orders)
    }
}

impl Stay {
    pub(super) const fn untouched() -> Self {
        Self {
            guest: GuestLocation::Untouched,
            there: CopyState::Unknown,
            unsettled: false,
            definition_left: false,
        }
    }

    /// Both hosts were observed, and no copy is left at the destination.
    pub(super) fn settled(guest: GuestLocation, observations: HostObservations, ledger: &Ledger) -> Self {
        let there = observations.side(Side::Destination);
        Self { guest, there, unsettled: false, definition_left: ledger.has_left_definition(there) }
    }

    pub(super) fn side_unsettled(self) -> Option<Side> {
        self.unsettled.then_some(Side::Destination)
    }
}

/// The location of a guest that is on the source and nowhere else.
pub(super) const fn on_source(assessment: Assessment) -> Option<GuestLocation> {
    match assessment {
        Assessment::SourceRuns => Some(GuestLocation::SourceRunning),
        Assessment::SourcePaused => Some(GuestLocation::SourcePaused),
        Assessment::SourceOff => Some(GuestLocation::SourceOff),
        Assessment::DestinationRuns
        | Assessment::DestinationPaused
        | Assessment::DestinationOff
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
        | Assessment::Unclear => None,
    }
}

const fn restored(change: Change) -> Option<Recovery> {
    match change {
        Change::DowntimeLimit => Some(Recovery::DowntimeLimitRestored),
        Change::BandwidthLimit => Some(Recovery::BandwidthLimitRestored),
        Change::Disks => Some(Recovery::DisksRemoved),
        // It was reported when the guest was resumed.
        Change::Pause => None,
    }
}
