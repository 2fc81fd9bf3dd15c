//! Events of libvirt: hints that something happened, in order, on one thread.
//!
//! An event may be lost with its connection and may arrive after the next poll has already shown its effect.
//! Nobody may conclude from an event, or from its absence, where a guest runs: polling is the truth.

use super::numbered::numbered;
use super::statistics::JobStatistics;

numbered! {
    /// How a guest started (`virDomainEventStartedDetailType`).
    Started {
        /// It was started.
        Booted = 0,
        /// An incoming migration began: the copy exists, and does not run.
        Migrated = 1,
        /// It was restored from a file.
        Restored = 2,
        /// It was restored from a snapshot.
        FromSnapshot = 3,
        /// It woke up.
        WokenUp = 4,
    }
}

numbered! {
    /// Why a guest was suspended (`virDomainEventSuspendedDetailType`).
    Suspended {
        /// Somebody suspended it.
        Paused = 0,
        /// For the switchover of a migration.
        Migrated = 1,
        /// A disk failed.
        IoError = 2,
        /// The watchdog fired.
        Watchdog = 3,
        /// It was restored paused.
        Restored = 4,
        /// It was restored paused from a snapshot.
        FromSnapshot = 5,
        /// A call of libvirt failed.
        ApiError = 6,
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
        /// From a snapshot.
        FromSnapshot = 2,
        /// On the destination, while pages still come.
        Postcopy = 3,
        /// On the destination, although pages no longer come.
        PostcopyFailed = 4,
    }
}

numbered! {
    /// Why a guest stopped (`virDomainEventStoppedDetailType`).
    Stopped {
        /// It shut down.
        Shutdown = 0,
        /// It was powered off by force.
        Destroyed = 1,
        /// It crashed.
        Crashed = 2,
        /// It has moved to another host.
        Migrated = 3,
        /// It was saved.
        Saved = 4,
        /// The hypervisor failed; also an incoming copy that was given up.
        Failed = 5,
        /// A snapshot that is switched off was restored.
        FromSnapshot = 6,
    }
}

numbered! {
    /// Why a connection was closed (`virConnectCloseReason`).
    CloseReason {
        /// A fault of input or output, as when the daemon is killed.
        Error = 0,
        /// The daemon closed it.
        EndOfFile = 1,
        /// The daemon did not answer the keep-alive messages in time.
        KeepAlive = 2,
        /// This process closed it.
        Client = 3,
    }
}

/// A step in a domain's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lifecycle {
    /// Its definition was stored.
    Defined,
    /// Its definition was removed.
    Undefined,
    /// It has a process now.
    Started(Started),
    /// Its processors stand still.
    Suspended(Suspended),
    /// Its processors run again.
    Resumed(Resumed),
    /// It has no process any more.
    Stopped(Stopped),
    /// The guest is shutting down.
    Shutdown,
    /// The guest suspended itself.
    GuestSuspended,
    /// The guest crashed.
    Crashed,
    /// An event that this version of Whimbrel has no name for.
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
    pub fn from_numbers(event: i32, detail: i32) -> Self {
        match event {
            0 => Self::Defined,
            1 => Self::Undefined,
            2 => Self::Started(detail.into()),
            3 => Self::Suspended(detail.into()),
            4 => Self::Resumed(detail.into()),
            5 => Self::Stopped(detail.into()),
            6 => Self::Shutdown,
            7 => Self::GuestSuspended,
            8 => Self::Crashed,
            _ => Self::Other { event, detail },
        }
    }
}

/// What happened to a domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DomainEventKind {
    /// A step in its life.
    Lifecycle(Lifecycle),
    /// QEMU synchronised the dirty bitmap and begins this pass, counted from 1 (needs the capability "events"
    /// of QEMU's migration, which libvirt switches on since 1.3.2).
    MigrationIteration(i32),
    /// A job ended well, with its last statistics (libvirt 1.3.3). `JobStatistics::job` is not told by this
    /// event, and a job that failed or was aborted has none.
    JobCompleted(Box<JobStatistics>),
}

/// An event of a domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DomainEvent {
    /// The domain's name on the host of the connection.
    pub domain_name: String,
    /// The domain's uuid, lower case with hyphens; it is the same on both hosts.
    pub domain_uuid: String,
    /// What happened.
    pub kind: DomainEventKind,
}
