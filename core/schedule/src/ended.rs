//! The result of a migration, as far as the schedule depends on it.

use whimbrel_core::{Cause, Ending, Fault, GuestLocation, Outcome};

/// The result of a guest's migration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Where the guest is.
    pub guest: After,
    /// Whether the source is to be left alone for a while.
    pub rests_source: bool,
    /// Whether the destination is.
    pub rests_destination: bool,
}

/// Where a guest is after a migration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// At the destination.
    Moved,
    /// On the source, whole, and may be tried again.
    MayRetry,
    /// On the source, and is not to be tried again.
    Stays,
    /// A copy may be left at the destination.
    Unsettled,
}

impl Ended {
    /// What an outcome means for what is started next. A guest of which the outcome does not say that it is whole on
    /// its source is never tried again.
    #[must_use]
    pub fn of(outcome: &Outcome) -> Self {
        let fault = outcome.failure.as_ref().map(|failure| failure.fault);
        let guest = match outcome.guest {
            GuestLocation::DestinationRunning | GuestLocation::DestinationPaused => After::Moved,
            GuestLocation::Untouched | GuestLocation::SourceRunning if outcome.unsettled.is_none() => {
                if outcome.ending == Ending::Failed {
                    After::MayRetry
                } else {
                    After::Stays
                }
            }
            GuestLocation::Untouched
            | GuestLocation::SourceRunning
            | GuestLocation::SourcePaused
            | GuestLocation::SourceOff
            | GuestLocation::DestinationOff
            | GuestLocation::DestinationPostcopy
            | GuestLocation::DestinationIncomplete
            | GuestLocation::LeftBehind
            | GuestLocation::BothRunning
            | GuestLocation::Nowhere
            | GuestLocation::Unknown => After::Unsettled,
        };
        // A timeout is caused by a guest that dirties too much, not by a host.
        let blames = guest != After::Moved && outcome.cause != Some(Cause::TimedOut);
        let source_failed = matches!(fault, Some(Fault::SourceUnreachable | Fault::ReplyLost))
            || matches!(outcome.cause, Some(Cause::FactsMissing | Cause::SettingsUnreadable))
                && fault.is_none();
        Self {
            guest,
            rests_source: blames && source_failed,
            rests_destination: blames && (!source_failed || fault.is_none()),
        }
    }
}
