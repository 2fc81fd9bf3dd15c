//! Whether a migrate call may still be made.
//!
//! Between the command to make the call and the call itself are a connection, a look-up and checks, which may take many
//! seconds. In the meantime the call may have been abandoned, or the driver may be about to detach: a call made afterwards
//! would migrate a guest without a driver. Each call has a permit of its own, which is checked at the last moment before the
//! call. A withdrawn permit must never be restored: a later call has a new one.

use std::sync::{Arc, OnceLock};

use whimbrel_core::{CommandId, Failure, Fault};

/// The permit of one call. Clones are the same permit.
#[derive(Clone, Debug, Default)]
pub struct CallPermit(Arc<OnceLock<Withdrawn>>);

/// Why a call must no longer be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Withdrawn {
    /// A cancel was requested.
    Cancelled,
    /// Its answer is no longer awaited, or the driver is detaching.
    GivenUp,
}

impl CallPermit {
    /// From now on the call must not be made. The first reason stays.
    pub fn withdraw(&self, why: Withdrawn) {
        let _ = self.0.set(why);
    }

    /// To be checked at the last moment before the call.
    ///
    /// # Errors
    /// The answer to the command, when the call must no longer be made.
    pub fn check(&self) -> Result<(), Failure> {
        match self.0.get() {
            None => Ok(()),
            Some(Withdrawn::Cancelled) => {
                Err(Failure::new(Fault::Aborted, "the cancel was requested before the migrate call was made"))
            }
            Some(Withdrawn::GivenUp) => Err(Failure::new(
                Fault::Refused,
                "the migrate call was abandoned before it was made, and was not made",
            )),
        }
    }
}

/// The permit of the last call that a port was commanded to make. Dropped with the port, which withdraws it.
#[derive(Debug, Default)]
pub struct CallPermits(Option<(CommandId, CallPermit)>);

impl CallPermits {
    /// A permit for a new call. The previous one is withdrawn: two calls are never in flight.
    pub fn issue(&mut self, call: CommandId) -> CallPermit {
        self.withdraw_last(Withdrawn::GivenUp);
        let permit = CallPermit::default();
        self.0 = Some((call, permit.clone()));
        permit
    }

    /// Withdraws the permit of this call. A call that was made continues, and later calls have permits of their own.
    pub fn withdraw(&mut self, call: CommandId, why: Withdrawn) {
        if self.0.as_ref().is_some_and(|(last, _)| *last == call) {
            self.withdraw_last(why);
        }
    }

    /// Withdraws the permit of the last call, whichever it was.
    pub fn withdraw_last(&mut self, why: Withdrawn) {
        if let Some((_, permit)) = &self.0 {
            permit.withdraw(why);
        }
    }
}

impl Drop for CallPermits {
    fn drop(&mut self) {
        self.withdraw_last(Withdrawn::GivenUp);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_call_has_a_permit_of_its_own() {
        let mut permits = CallPermits::default();
        let first = permits.issue(CommandId(1));
        permits.withdraw(CommandId(1), Withdrawn::GivenUp);
        let second = permits.issue(CommandId(2));
        // The first one is withdrawn again, late.
        permits.withdraw(CommandId(1), Withdrawn::GivenUp);
        assert!(first.check().is_err() && second.check().is_ok());
        drop(permits);
        assert!(second.check().is_err(), "the port has gone");
    }

    #[test]
    fn a_cancel_is_answered_as_one() {
        let mut permits = CallPermits::default();
        let permit = permits.issue(CommandId(1));
        permits.withdraw_last(Withdrawn::Cancelled);
        permits.withdraw(CommandId(1), Withdrawn::GivenUp);
        assert_eq!(permit.check().unwrap_err().fault, Fault::Aborted);
    }
}
