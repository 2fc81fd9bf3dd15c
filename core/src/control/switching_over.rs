//! Switching over: the guest is stopped while the rest is copied. **No host runs the guest; the hypervisors decide
//! between themselves which one will.**
//!
//! Nothing is resumed or destroyed here. A cancel is passed on, because the hypervisor may still be able to end the
//! job, but it is answered with "in doubt" until both hosts have been queried. A pause and post-copy come too late.
//! Everything else is as in [`Precopy`]: another client may have suspended the guest, and the copy may take as long as
//! before.

use super::ledger::Mark;
use super::precopy::Precopy;
use super::signal::{Order, Orders, Signal};
use super::{Ledger, Next, Phase};
use crate::outcome::Cause;
use crate::port::Hint;
use crate::vocabulary::{AdjustmentKind, AdjustmentResult};

/// The guest is stopped for the switchover.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SwitchingOver {
    copy: Precopy,
}

impl SwitchingOver {
    /// As [`Precopy::is_stalled`].
    #[must_use]
    pub const fn is_stalled(self) -> bool {
        self.copy.is_stalled()
    }

    /// The source's copy was seen stopped: from now on the destination may have run.
    pub(super) fn enter(copy: Precopy, ledger: &mut Ledger) -> Phase {
        ledger.mark(Mark::SwitchoverBegan);
        Phase::SwitchingOver(Self { copy })
    }

    pub(super) fn on(mut self, signal: Signal, ledger: &mut Ledger, orders: &mut Orders) -> Next {
        match signal {
            // The source gave up the switchover and runs the guest again: pre-copy continues, or the call will report a
            // failure.
            Signal::Hint(Hint::SourceResumed) => return Ok(Phase::Precopy(self.copy)),
            Signal::Hint(Hint::SourceSuspended) => {}
            Signal::Cancel => {
                ledger.mark(Mark::CancelAsked);
                self.copy.leave(Cause::OperatorCancelled, ledger, orders);
                orders.give(Order::ReportCancelInDoubt);
            }
            Signal::React(kind @ (AdjustmentKind::Pause | AdjustmentKind::Postcopy)) => {
                orders.give(Order::ReportAdjustment(kind, AdjustmentResult::TooLate));
            }
            other => {
                return Ok(match self.copy.on(other, ledger, orders)? {
                    Phase::Precopy(copy) => Phase::SwitchingOver(Self { copy }),
                    next => next,
                });
            }
        }
        Ok(Phase::SwitchingOver(self))
    }
}
