//! Done: the migration is over, and its result does not change any more. **The result says who owns the guest.**

use super::ledger::Mark;
use super::rolling_back::Stay;
use super::signal::{Order, Orders, Signal};
use super::{Ledger, Next, Phase, UnexpectedSignal};
use crate::outcome::{Cause, Ending, GuestLocation};
use crate::port::{CopyState, Side};
use crate::vocabulary::{AdjustmentResult, Changes, PhaseName};

/// It is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Done {
    /// The result in one word.
    pub ending: Ending,
    /// Where the guest is.
    pub guest: GuestLocation,
    /// A side that could not be queried, or on which a copy may be left.
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

    /// The guest is on the destination. Changes of the source's copy are gone with it, and disks that
    /// were created are in use. A definition that is left on the source, observed in state `here`, is reported.
    pub(super) fn completed(guest: GuestLocation, here: CopyState, ledger: &mut Ledger) -> Phase {
        let definition_left = ledger.definition_left_here(here);
        ledger.undo = Changes::EMPTY;
        ledger.cause = None;
        Phase::Done(Self { ending: Ending::Completed, guest, unsettled: None, definition_left })
    }

    /// The guest cannot continue anywhere. Its definition, and changes of it, may still be there: they are reported.
    pub(super) fn lost(guest: GuestLocation, ledger: &mut Ledger) -> Phase {
        ledger.give_up_undoing();
        Phase::Done(Self { ending: Ending::Failed, guest, unsettled: None, definition_left: None })
    }

    /// The guest's location could not be determined. Changes on record are reported as not undone, because the copy
    /// that carries them could not be identified. So is a definition that is left on a side.
    pub(super) fn in_doubt(
        guest: GuestLocation,
        unsettled: Option<Side>,
        definition_left: Option<Side>,
        ledger: &mut Ledger,
    ) -> Phase {
        ledger.give_up_undoing();
        Phase::Done(Self { ending: Ending::InDoubt, guest, unsettled, definition_left })
    }

    pub(super) fn on(self, signal: Signal, ledger: &mut Ledger, orders: &mut Orders) -> Next {
        match signal {
            Signal::Begin => return Err(UnexpectedSignal { phase: PhaseName::Done, signal }),
            Signal::Cancel => {
                ledger.mark(Mark::CancelAsked);
                orders.give(Order::ReportCancelAnswer);
            }
            Signal::React(kind) => orders.give(Order::ReportAdjustment(kind, AdjustmentResult::TooLate)),
            // Commands that were in flight at the end may be answered after it.
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
