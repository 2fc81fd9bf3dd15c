//! Done: the migration is over, and its result does not change any more. **Who owns the guest stands in the result.**

use super::ledger::Mark;
use super::rolling_back::Stay;
use super::signal::{Order, Orders, Signal};
use super::{Ledger, Next, Phase, Unasked};
use crate::outcome::{Cause, Ending, Whereabouts};
use crate::port::{CopyState, Side};
use crate::vocabulary::{AdjustmentResult, Changes, PhaseName};

/// It is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Done {
    /// The result in one word.
    pub ending: Ending,
    /// Where the guest is.
    pub guest: Whereabouts,
    /// A side that could not be looked at, or on which a copy may be left.
    pub unsettled: Option<Side>,
    /// A side on which a definition is left that should not be there.
    pub definition_left: Option<Side>,
}

impl Done {
    /// Nothing was done to the guest.
    pub(super) fn untouched(ledger: &mut Ledger) -> Phase {
        Self::stayed(Stay::untouched(), ledger)
    }

    /// The guest stays on the source.
    pub(super) fn stayed(stay: Stay, ledger: &mut Ledger) -> Phase {
        ledger.give_up_undoing();
        let ending = match ledger.cause {
            Some(Cause::OperatorCancelled) => Ending::Cancelled,
            Some(
                Cause::TimedOut
                | Cause::RulesRefused
                | Cause::FactsMissing
                | Cause::SettingsUnreadable
                | Cause::SettingRefused
                | Cause::CopyFailed
                | Cause::ReplyLost
                | Cause::PostcopyLost
                | Cause::GuestStopped
                | Cause::DriverRestarted,
            )
            | None => Ending::Failed,
        };
        Phase::Done(Self {
            ending,
            guest: stay.guest,
            unsettled: stay.side_unsettled(),
            definition_left: stay.definition_left.then_some(Side::Destination),
        })
    }

    /// The guest is on the destination. What was changed on the source went with the copy that carried it, and disks that
    /// were made are used. A definition that is left on the source, which was seen in state `here`, is named.
    pub(super) fn completed(guest: Whereabouts, here: CopyState, ledger: &mut Ledger) -> Phase {
        let definition_left = ledger.definition_left_here(here);
        ledger.undo = Changes::EMPTY;
        ledger.cause = None;
        Phase::Done(Self { ending: Ending::Completed, guest, unsettled: None, definition_left })
    }

    /// The guest cannot go on anywhere. Its definition, and what was changed on it, may still be there: it is named.
    pub(super) fn lost(guest: Whereabouts, ledger: &mut Ledger) -> Phase {
        ledger.give_up_undoing();
        Phase::Done(Self { ending: Ending::Failed, guest, unsettled: None, definition_left: None })
    }

    /// Where the guest is could not be made sure. What is on record for undoing is named as not undone: the copy that
    /// carries it could not be told apart. So is a definition that is left on a side.
    pub(super) fn in_doubt(
        guest: Whereabouts,
        unsettled: Option<Side>,
        definition_left: Option<Side>,
        ledger: &mut Ledger,
    ) -> Phase {
        ledger.give_up_undoing();
        Phase::Done(Self { ending: Ending::InDoubt, guest, unsettled, definition_left })
    }

    pub(super) fn on(self, signal: Signal, ledger: &mut Ledger, orders: &mut Orders) -> Next {
        match signal {
            Signal::Begin => return Err(Unasked { phase: PhaseName::Done, signal }),
            Signal::Cancel => {
                ledger.mark(Mark::CancelAsked);
                orders.give(Order::ReportCancelAnswer);
            }
            Signal::React(kind) => orders.give(Order::ReportAdjustment(kind, AdjustmentResult::TooLate)),
            // Whatever was still out when the end was reached may be answered after it.
            Signal::Restarted
            | Signal::Setup(_)
            | Signal::Setting(_)
            | Signal::Reacted(_)
            | Signal::Call(_)
            | Signal::Job(_)
            | Signal::Abort(_)
            | Signal::Seen(..)
            | Signal::Act(_)
            | Signal::Hint(_)
            | Signal::Elapsed(_) => {}
        }
        Ok(Phase::Done(self))
    }
}
