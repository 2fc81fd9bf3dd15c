//! A course from a journal: where a driver goes on with a migration that another left.
//!
//! It never begins a migration: one that was requested and not begun ends, because nothing is known of what happened since.

use whimbrel_core::journal::{self, JournalError, Left, Record};
use whimbrel_core::{Ending, Instant, Migration, Outcome, Output, SpecError};

use super::Course;

/// What a journal leaves a driver to do.
#[derive(Debug)]
pub enum Resumption {
    /// Nothing: the migration has ended.
    Ended(Box<Outcome>),
    /// To go on.
    Course {
        /// From where.
        course: Box<Course>,
        /// Why the journal could not be replayed, if it could not: another release wrote it, or it is damaged. The migration
        /// goes on from what could be read of it.
        not_replayed: Option<JournalError>,
    },
}

/// Why a journal leaves nothing that could be driven on.
#[derive(Debug, thiserror::Error)]
pub enum ResumptionError {
    /// Nothing may be done with it.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// Its spec is out of its bounds.
    #[error(transparent)]
    Spec(#[from] SpecError),
}

/// Reads a journal. `now` is the present in the migration's own time by the clock; time never goes back behind the last
/// record. `each` sees the records that are replayed.
///
/// # Errors
/// See [`ResumptionError`].
pub fn resume(
    text: &str,
    now: Instant,
    each: impl FnMut(&Record, &Migration, &[Output]),
) -> Result<Resumption, ResumptionError> {
    let (course, not_replayed) = match journal::resume(text, each)? {
        Left::Replayed(replayed) => {
            let (view, last) = (replayed.migration.view(), replayed.migration.now());
            if let Some(outcome) = view.outcome {
                return Ok(Resumption::Ended(Box::new(outcome.clone())));
            }
            let course = if replayed.records == 0 {
                Course::take_over(view.spec.clone(), replayed.migration.takeover(), now)?
            } else {
                Course::adopt(replayed.migration, now.max(last))
            };
            (course, None)
        }
        Left::Read { spec, takeover, last, why } => {
            if let Some(outcome) = takeover.snapshot.outcome {
                return Ok(Resumption::Ended(outcome));
            }
            (Course::take_over(*spec, *takeover, now.max(last))?, Some(why))
        }
    };
    Ok(Resumption::Course { course: Box::new(course), not_replayed })
}

/// Reads the journal of a migration that ended in doubt, to examine it once more. A journal of another end, or of none, leaves
/// nothing to examine.
///
/// # Errors
/// See [`ResumptionError`].
pub fn examine_again(text: &str, now: Instant) -> Result<Option<Course>, ResumptionError> {
    let (spec, takeover, last) = match journal::resume(text, |_, _, _| ())? {
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
    Ok(Some(Course::take_over(spec, takeover.examined_again(), now.max(last))?))
}
