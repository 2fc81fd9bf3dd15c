//! Rolling back: the guest stays on the source, and what was changed is put back. **The source owns the guest.**
//!
//! When a migrate call was made, both ends are looked at first: a call that says it failed is believed only when the
//! source is seen with the guest and the destination without. Otherwise [`Resolving`] takes over and comes back here
//! once it knows. Then limits are put back, and disks that the migration made are removed, if the destination was seen
//! without the guest. What cannot be put back after [`MOST_TRIES`] tries is named in the outcome.

use super::ledger::Mark;
use super::signal::{ActSignal, Order, Orders, SettingSignal, Signal, Timer};
use super::{Assessment, Done, Ledger, Next, Phase, Resolving, Sighting, Unasked, guard};
use crate::outcome::{Recovery, Whereabouts};
use crate::port::{CopyState, Side};
use crate::vocabulary::{AdjustmentResult, Change, PhaseName};

/// Tries to put one thing back before it is named as left over.
pub(super) const MOST_TRIES: u8 = 3;

/// The guest stays on the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RollingBack {
    step: Step,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Step {
    /// Both ends are being looked at.
    Looking(Sighting),
    /// Something is being put back.
    Restoring { change: Change, tries: u8, then: Stay },
    /// It could not be put back and will be tried again.
    Waiting { change: Change, tries: u8, then: Stay },
}

/// How the guest stays on the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Stay {
    pub(super) guest: Whereabouts,
    /// What was seen on the destination last.
    pub(super) there: CopyState,
    /// Whether the destination could not be looked at, or a copy may be left there.
    pub(super) unsettled: bool,
    /// Whether a definition is left there.
    pub(super) definition_left: bool,
}

impl RollingBack {
    /// After a migrate call that says it failed: looks at both ends.
    pub(super) fn look(orders: &mut Orders) -> Phase {
        orders.look();
        Phase::RollingBack(Self { step: Step::Looking(Sighting::default()) })
    }

    /// Before any migrate call was made: the guest cannot be anywhere else.
    pub(super) fn restore(ledger: &mut Ledger, orders: &mut Orders) -> Phase {
        Self::restore_then(Stay::untouched(), ledger, orders)
    }

    /// Puts back what is on record, then ends with the guest on the source.
    pub(super) fn restore_then(then: Stay, ledger: &mut Ledger, orders: &mut Orders) -> Phase {
        match ledger.undo.first() {
            None => Done::stayed(then, ledger),
            // The guest runs, whoever let it; or it could not be let run, which the outcome says.
            Some(Change::Pause) => {
                if then.guest == Whereabouts::SourcePaused {
                    ledger.could_not_undo(Change::Pause);
                } else {
                    ledger.undone(Change::Pause);
                }
                Self::restore_then(then, ledger, orders)
            }
            // A copy that may be there may use them.
            Some(Change::Disks) if !then.there.is_gone() => {
                ledger.could_not_undo(Change::Disks);
                Self::restore_then(then, ledger, orders)
            }
            Some(change) => Self::try_restore(change, 0, then, orders),
        }
    }

    pub(super) fn on(self, signal: Signal, ledger: &mut Ledger, orders: &mut Orders) -> Next {
        match (self.step, signal) {
            (Step::Looking(sighting), Signal::Seen(side, state)) => {
                ledger.note_seen(side, state);
                Ok(Self::looked(sighting.with(side, state), ledger, orders))
            }
            (Step::Looking(sighting), Signal::Elapsed(Timer::Reply)) => {
                Ok(Self::looked(sighting.closed(), ledger, orders))
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
            // Answers to what pre-copy asked last, hints, and timers of a step that is over.
            (
                _,
                Signal::Job(_) | Signal::Abort(_) | Signal::Reacted(_) | Signal::Hint(_) | Signal::Elapsed(_),
            ) => Ok(Phase::RollingBack(self)),
            (Step::Restoring { .. } | Step::Waiting { .. }, Signal::Seen(..))
            | (Step::Looking(_) | Step::Waiting { .. }, Signal::Setting(_) | Signal::Act(_))
            | (_, Signal::Begin | Signal::Setup(_) | Signal::Call(_)) => {
                Err(Unasked { phase: PhaseName::RollingBack, signal })
            }
        }
    }

    fn looked(sighting: Sighting, ledger: &mut Ledger, orders: &mut Orders) -> Phase {
        if !sighting.is_complete() {
            return Phase::RollingBack(Self { step: Step::Looking(sighting) });
        }
        match on_source(sighting.assess(ledger)) {
            Some(guest) => Self::restore_then(Stay::settled(guest, sighting, ledger), ledger, orders),
            None => Resolving::enter(sighting, ledger, orders),
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
            guest: Whereabouts::Untouched,
            there: CopyState::Unknown,
            unsettled: false,
            definition_left: false,
        }
    }

    /// Both ends were seen, and no copy is left at the destination.
    pub(super) fn settled(guest: Whereabouts, sighting: Sighting, ledger: &Ledger) -> Self {
        let there = sighting.side(Side::Destination);
        Self { guest, there, unsettled: false, definition_left: ledger.has_left_definition(there) }
    }

    pub(super) fn side_unsettled(self) -> Option<Side> {
        self.unsettled.then_some(Side::Destination)
    }
}

/// The whereabouts of a guest that is on the source and nowhere else.
pub(super) const fn on_source(assessment: Assessment) -> Option<Whereabouts> {
    match assessment {
        Assessment::SourceRuns => Some(Whereabouts::SourceRunning),
        Assessment::SourcePaused => Some(Whereabouts::SourcePaused),
        Assessment::SourceOff => Some(Whereabouts::SourceOff),
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
        // Told when it was resumed.
        Change::Pause => None,
    }
}
