//! Done: the migration is over, and its result does not change any more. **Who owns the guest stands in the result.**

use super::rolling_back::Stay;
use super::signal::{Order, Orders, Signal};
use super::{Ledger, Next, Phase, Unasked};
use crate::event::PhaseName;
use crate::outcome::{Cause, Ending, Whereabouts};
use crate::port::Side;

/// It is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Done {
    /// The result in one word.
    pub ending: Ending,
    /// Where the guest is.
    pub guest: Whereabouts,
    /// A side that could not be looked at, or on which a copy may be left.
    pub unsettled: Option<Side>,
}

impl Done {
    /// Nothing was done to the guest.
    pub(super) fn untouched(ledger: &Ledger) -> Phase {
        Self::stayed(Stay { guest: Whereabouts::Untouched, unsettled: false }, ledger)
    }

    /// The guest stays on the source.
    pub(super) fn stayed(stay: Stay, ledger: &Ledger) -> Phase {
        let ending = match ledger.cause {
            Some(Cause::OperatorCancelled) => Ending::Cancelled,
            Some(
                Cause::TimedOut
                | Cause::RulesRefused
                | Cause::FactsMissing
                | Cause::SettingsUnreadable
                | Cause::SettingRefused
                | Cause::CopyFailed
                | Cause::ReplyLost,
            )
            | None => Ending::Failed,
        };
        Phase::Done(Self { ending, guest: stay.guest, unsettled: stay.side_unsettled() })
    }

    /// The guest is on the destination. Settings changed on the source went with the copy that carried them.
    pub(super) fn completed(running: bool, ledger: &mut Ledger) -> Phase {
        ledger.undo = super::SettingSet::EMPTY;
        ledger.cause = None;
        let guest = if running { Whereabouts::DestinationRunning } else { Whereabouts::DestinationPaused };
        Phase::Done(Self { ending: Ending::Completed, guest, unsettled: None })
    }

    /// The guest is in neither host's memory.
    /// Its definition, and the limits that it remembers, may still be there: they are named.
    pub(super) fn nowhere(ledger: &mut Ledger) -> Phase {
        ledger.not_undone = ledger.undo;
        ledger.undo = super::SettingSet::EMPTY;
        Phase::Done(Self { ending: Ending::Failed, guest: Whereabouts::Nowhere, unsettled: None })
    }

    /// Where the guest is could not be made sure. What is on record for undoing is named as not undone: the copy that
    /// carries it could not be told apart.
    pub(super) fn in_doubt(guest: Whereabouts, unsettled: Option<Side>, ledger: &mut Ledger) -> Phase {
        ledger.not_undone = ledger.undo;
        ledger.undo = super::SettingSet::EMPTY;
        Phase::Done(Self { ending: Ending::InDoubt, guest, unsettled })
    }

    pub(super) fn on(self, signal: Signal, ledger: &mut Ledger, orders: &mut Orders) -> Next {
        match signal {
            Signal::Begin => Err(Unasked { phase: PhaseName::Done, signal }),
            Signal::Cancel => {
                ledger.cancel_asked = true;
                orders.give(Order::TellCancelAnswer);
                Ok(Phase::Done(self))
            }
            // Whatever was still out when the end was reached may be answered after it.
            Signal::FactsArrived(_)
            | Signal::FactsMissing
            | Signal::Allowed
            | Signal::Refused
            | Signal::SettingsRead
            | Signal::SettingsUnreadable
            | Signal::Applied
            | Signal::NotApplied
            | Signal::CallSucceeded
            | Signal::CallFailed
            | Signal::CallLost
            | Signal::JobActive
            | Signal::JobGone
            | Signal::JobUnknown
            | Signal::AbortAccepted
            | Signal::AbortRefused
            | Signal::Seen(..)
            | Signal::Acted
            | Signal::NotActed
            | Signal::IterationBegan
            | Signal::SourceSuspended
            | Signal::SourceResumed
            | Signal::JobEnded
            | Signal::Elapsed(_) => Ok(Phase::Done(self)),
        }
    }
}
