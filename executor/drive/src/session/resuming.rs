//! Resuming a migration from the journal of an earlier driver.
//!
//! It never starts a migration: one that was requested and not started ends, because events since then are unknown.

use whimbrel_core::journal::{self, JournalError, Left, Lines, Record};
use whimbrel_core::{Ending, Instant, Migration, Outcome, Output, SpecError};

use super::DriveSession;

/// The work that a journal leaves for a driver.
#[derive(Debug)]
pub enum Resumption {
    /// None: the migration has ended.
    Ended(Box<Outcome>),
    /// The migration is to be continued.
    DriveSession {
        /// The migration, and its first input.
        session: Box<DriveSession>,
        /// Why the journal could not be replayed, if it could not: another release wrote it, or it is damaged. The migration
        /// continues from what could be read of it.
        not_replayed: Option<JournalError>,
    },
}

/// Why a journal cannot be resumed.
#[derive(Debug, thiserror::Error)]
pub enum ResumptionError {
    /// It cannot be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// Its spec is out of its bounds.
    #[error(transparent)]
    Spec(#[from] SpecError),
}

/// Reads a journal. `now` is the present in the migration's own time by the clock; time never goes back before the last
/// record. `each` receives the records that are replayed.
///
/// # Errors
/// See [`ResumptionError`].
pub fn resume<L: Lines + ?Sized>(
    journal: &L,
    now: Instant,
    each: impl FnMut(&Record, &Migration, &[Output]),
) -> Result<Resumption, ResumptionError> {
    let (session, not_replayed) = match journal::resume_lines(journal, each)? {
        Left::Replayed(replayed) => {
            let (view, last) = (replayed.migration.view(), replayed.migration.now());
            if let Some(outcome) = view.outcome {
                return Ok(Resumption::Ended(Box::new(outcome.clone())));
            }
            let session = if replayed.records == 0 {
                DriveSession::take_over(view.spec.clone(), replayed.migration.takeover(), now)?
            } else {
                DriveSession::adopt(replayed.migration, now.max(last))
            };
            (session, None)
        }
        Left::Read { spec, takeover, last, why } => {
            if let Some(outcome) = takeover.snapshot.outcome {
                return Ok(Resumption::Ended(outcome));
            }
            (DriveSession::take_over(*spec, *takeover, now.max(last))?, Some(why))
        }
    };
    Ok(Resumption::DriveSession { session: Box::new(session), not_replayed })
}

/// Reads the journal of a migration that ended in doubt, to resolve it again. Returns `None` for a journal with another end, or
/// without one.
///
/// # Errors
/// See [`ResumptionError`].
pub fn examine_again<L: Lines + ?Sized>(
    journal: &L,
    now: Instant,
) -> Result<Option<DriveSession>, ResumptionError> {
    let (spec, takeover, last) = match journal::resume_lines(journal, |_, _, _| ())? {
        Left::Replayed(replayed) => {
            let migration = &replayed.migration;
            (migration.view().spec.clone(), migration.takeover(), migration.now())
        }
        Left::Read { spec, takeover, last, .. } => (*spec, *takeover, last),
    };
    let is_in_doubt = |outcome: &Outcome| outcome.ending == Ending::InDoubt;
    if !takeover.snapshot.outcome.as_deref().is_some_and(is_in_doubt) {
        return Ok(None);
    }
    Ok(Some(DriveSession::take_over(spec, takeover.examined_again(), now.max(last))?))
}
