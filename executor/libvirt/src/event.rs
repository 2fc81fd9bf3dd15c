//! Events of libvirt: hints that something happened, in order, on one thread.
//!
//! An event may be lost with its connection and may arrive after the next poll has already shown its effect.
//! Neither an event nor its absence shows where a guest runs: only polling does.

use super::numbered::numbered;
use super::statistics::JobStatistics;

numbered! {
    /// Why a guest was suspended (`virDomainEventSuspendedDetailType`).
    Suspended {
        /// Somebody suspended it.
        Paused = 0,
        /// For the switchover of a migration.
        Migrated = 1,
        /// It went over in post-copy.
        Postcopy = 7,
        /// Post-copy lost its link.
        PostcopyFailed = 8,
    }
}

numbered! {
    /// Why a guest was resumed (`virDomainEventResumedDetailType`).
    Resumed {
        /// Somebody resumed it.
        Unpaused = 0,
        /// A migration ended: on the destination when it arrived, on the source when it was given up.
        Migrated = 1,
    }
}

/// A step in a domain's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Lifecycle {
    /// Its processors are stopped.
    Suspended(Suspended),
    /// Its processors run again.
    Resumed(Resumed),
    /// Anything else: nothing follows from it.
    Other {
        /// `virDomainEventType`.
        event: i32,
        /// Its detail, in that event's own numbering.
        detail: i32,
    },
}

impl Lifecycle {
    /// Names the two numbers of libvirt's lifecycle event.
    #[must_use]
    pub(crate) fn from_numbers(event: i32, detail: i32) -> Self {
        match event {
            3 => Self::Suspended(detail.into()),
            4 => Self::Resumed(detail.into()),
            _ => Self::Other { event, detail },
        }
    }
}

/// What happened to a domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum DomainEvent {
    /// A step in its life.
    Lifecycle(Lifecycle),
    /// QEMU synchronised the dirty bitmap and begins this pass, counted from 1 (needs the capability "events"
    /// of QEMU's migration, which libvirt switches on since 1.3.2).
    MigrationIteration(i32),
    /// A job ended well, with its last statistics (libvirt 1.3.3). `JobStatistics::job` is not part of this
    /// event, and a job that failed or was aborted has none.
    JobCompleted(Box<JobStatistics>),
}
