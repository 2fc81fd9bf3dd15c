//! Rolling back: the guest stays on the source, and what was changed is put back. **The source owns the guest.**
//!
//! When a migrate call was made, both ends are looked at first: a call that says it failed is believed only when the
//! source is seen with the guest and the destination without. Otherwise [`Resolving`] takes over and comes back here
//! once it knows. A setting that cannot be put back after [`MOST_TRIES`] tries is named in the outcome.

use super::signal::{Order, Orders, Signal, Timer};
use super::{Assessment, Done, Ledger, Next, Phase, Resolving, SettingKind, Sighting, Unasked};
use crate::event::PhaseName;
use crate::outcome::Whereabouts;
use crate::port::Side;

/// Tries to put one setting back before it is named as left over.
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
    /// A setting is being put back.
    Restoring { kind: SettingKind, tries: u8, then: Stay },
    /// A setting could not be put back and will be tried again.
    Waiting { kind: SettingKind, tries: u8, then: Stay },
}

/// How the guest stays on the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Stay {
    pub(super) guest: Whereabouts,
    /// The destination could not be looked at, or a copy may be left there.
    pub(super) unsettled: bool,
}

impl RollingBack {
    /// After a migrate call that says it failed: looks at both ends.
    pub(super) fn look(orders: &mut Orders) -> Phase {
        orders.look();
        Phase::RollingBack(Self { step: Step::Looking(Sighting::default()) })
    }

    /// Before any migrate call was made: the guest cannot be anywhere else.
    pub(super) fn restore(ledger: &mut Ledger, orders: &mut Orders) -> Phase {
        Self::restore_then(Stay { guest: Whereabouts::Untouched, unsettled: false }, ledger, orders)
    }

    /// Puts back what is on record, then ends with the guest on the source.
    pub(super) fn restore_then(then: Stay, ledger: &mut Ledger, orders: &mut Orders) -> Phase {
        match ledger.undo.first() {
            None => Done::stayed(then, ledger),
            Some(kind) => Self::try_restore(kind, 0, then, orders),
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
            (Step::Restoring { kind, then, .. }, Signal::Applied) => {
                ledger.undo = ledger.undo.without(kind);
                orders.give(Order::Tell(kind.restored()));
                Ok(Self::restore_then(then, ledger, orders))
            }
            (Step::Restoring { kind, tries, then }, Signal::NotApplied | Signal::Elapsed(Timer::Reply)) => {
                Ok(Self::not_restored(kind, tries + 1, then, ledger, orders))
            }
            (Step::Waiting { kind, tries, then }, Signal::Elapsed(Timer::LookAgain)) => {
                Ok(Self::try_restore(kind, tries, then, orders))
            }
            (_, Signal::Cancel) => {
                ledger.cancel_asked = true;
                Ok(Phase::RollingBack(self))
            }
            // Answers to what pre-copy asked last, hints, and timers of a step that is over.
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
                | Signal::Elapsed(Timer::Poll | Timer::GiveUp),
            )
            | (Step::Looking(_) | Step::Restoring { .. }, Signal::Elapsed(Timer::LookAgain))
            | (Step::Waiting { .. }, Signal::Elapsed(Timer::Reply)) => Ok(Phase::RollingBack(self)),
            (Step::Restoring { .. } | Step::Waiting { .. }, Signal::Seen(..))
            | (Step::Looking(_) | Step::Waiting { .. }, Signal::Applied | Signal::NotApplied)
            | (
                _,
                Signal::Begin
                | Signal::FactsArrived(_)
                | Signal::FactsMissing
                | Signal::Allowed
                | Signal::Refused
                | Signal::SettingsRead
                | Signal::SettingsUnreadable
                | Signal::CallSucceeded
                | Signal::CallFailed
                | Signal::CallLost
                | Signal::Acted
                | Signal::NotActed,
            ) => Err(Unasked { phase: PhaseName::RollingBack, signal }),
        }
    }

    fn looked(sighting: Sighting, ledger: &mut Ledger, orders: &mut Orders) -> Phase {
        if !sighting.is_complete() {
            return Phase::RollingBack(Self { step: Step::Looking(sighting) });
        }
        let stay = |running| Stay { guest: on_source(running), unsettled: false };
        match sighting.assess(ledger.guest_was) {
            Assessment::SourceRuns => Self::restore_then(stay(true), ledger, orders),
            Assessment::SourcePaused => Self::restore_then(stay(false), ledger, orders),
            Assessment::DestinationRuns
            | Assessment::DestinationPaused
            | Assessment::CopyGoesOn
            | Assessment::ResumeSource
            | Assessment::ResumeDestination
            | Assessment::DestroySource
            | Assessment::DestroyDestination
            | Assessment::Both
            | Assessment::Nowhere
            | Assessment::Unclear => Resolving::enter(sighting, ledger, orders),
        }
    }

    fn try_restore(kind: SettingKind, tries: u8, then: Stay, orders: &mut Orders) -> Phase {
        orders.give(Order::Restore(kind));
        orders.give(Order::Arm(Timer::Reply));
        Phase::RollingBack(Self { step: Step::Restoring { kind, tries, then } })
    }

    fn not_restored(
        kind: SettingKind,
        tries: u8,
        then: Stay,
        ledger: &mut Ledger,
        orders: &mut Orders,
    ) -> Phase {
        if tries < MOST_TRIES {
            orders.give(Order::ArmLookAgain(tries));
            return Phase::RollingBack(Self { step: Step::Waiting { kind, tries, then } });
        }
        ledger.undo = ledger.undo.without(kind);
        ledger.not_undone = ledger.not_undone.with(kind);
        Self::restore_then(then, ledger, orders)
    }
}

impl Stay {
    pub(super) fn side_unsettled(self) -> Option<Side> {
        self.unsettled.then_some(Side::Destination)
    }
}

/// The whereabouts of a guest on the source.
pub(super) const fn on_source(running: bool) -> Whereabouts {
    if running { Whereabouts::SourceRunning } else { Whereabouts::SourcePaused }
}
