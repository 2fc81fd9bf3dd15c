//! The state of a domain, with the reason that distinguishes a migrating guest from any other paused or stopped one.
//!
//! Pure: it only names numbers. It must never guess; what libvirt adds later stays an `Other` or `Unknown`
//! number.

use super::numbered::numbered;
use whimbrel_facts::RunState;

numbered! {
    /// Why a domain runs (`virDomainRunningReason`).
    RunningReason {
        /// It was started.
        Booted = 1,
        /// It came from another host.
        Migrated = 2,
        /// A migration away from here was given up.
        MigrationCanceled = 6,
        /// It runs here while pages still come from the source (libvirt 1.3.3).
        Postcopy = 10,
        /// It runs here, but pages no longer come (libvirt 8.5.0).
        PostcopyFailed = 11,
    }
}

numbered! {
    /// Why a domain is paused (`virDomainPausedReason`).
    PausedReason {
        /// libvirt does not say.
        Unknown = 0,
        /// Somebody suspended it.
        User = 1,
        /// A migration: the switchover on the source, or the incoming copy on the destination.
        Migration = 2,
        /// A disk failed.
        IoError = 5,
        /// The guest crashed.
        Crashed = 10,
        /// It is being started.
        StartingUp = 11,
        /// Post-copy: the guest has left for the destination (libvirt 1.3.3).
        Postcopy = 12,
        /// Post-copy lost its link (libvirt 1.3.3).
        PostcopyFailed = 13,
    }
}

/// What a domain does now, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum State {
    /// Virtual processors run.
    Running(RunningReason),
    /// Blocked on a resource (not reported by QEMU).
    Blocked,
    /// Virtual processors are stopped; memory is kept.
    Paused(PausedReason),
    /// The guest is shutting down.
    ShuttingDown,
    /// There is no process; only the definition exists.
    Shutoff,
    /// The guest crashed and its process is kept.
    Crashed,
    /// The guest suspended itself to memory.
    GuestSuspended,
    /// A state that this version of Whimbrel has no name for, `NOSTATE` (0) included.
    Unknown {
        /// `virDomainState`.
        state: i32,
        /// The reason's number, in that state's own numbering.
        reason: i32,
    },
}

impl State {
    /// Names the two numbers of `virDomainGetState`.
    #[must_use]
    pub(crate) fn from_numbers(state: i32, reason: i32) -> Self {
        match state {
            1 => Self::Running(reason.into()),
            2 => Self::Blocked,
            3 => Self::Paused(reason.into()),
            4 => Self::ShuttingDown,
            5 => Self::Shutoff,
            6 => Self::Crashed,
            7 => Self::GuestSuspended,
            _ => Self::Unknown { state, reason },
        }
    }

    /// What the guest does, in the words of the facts. Only this decides whether a guest runs; `PausedReason`
    /// and the like give the reason.
    ///
    /// * Running: its virtual processors run, or wait for the host (`Blocked`), or run the guest's own shutdown.
    /// * Paused: they are stopped, by any client, and its memory is kept.
    /// * Off: there is no process.
    /// * Crashed: they are stopped because the guest failed; the process is kept, and nothing should resume it.
    /// * Unknown: libvirt does not say, or in a word of a later version. Nothing follows from it: it must never be taken
    ///   for a guest that runs, nor for one that is off.
    #[must_use]
    pub(crate) fn run_state(self) -> RunState {
        match self {
            Self::Running(_) | Self::Blocked | Self::ShuttingDown => RunState::Running,
            Self::Paused(_) | Self::GuestSuspended => RunState::Paused,
            Self::Shutoff => RunState::Off,
            Self::Crashed => RunState::Crashed,
            Self::Unknown { .. } => RunState::Unknown,
        }
    }

    /// Whether there is a process that holds the guest's memory. An unknown state counts as one, to be on the
    /// safe side.
    #[must_use]
    pub(crate) fn is_active(self) -> bool {
        !matches!(self, Self::Shutoff)
    }
}

#[cfg(test)]
mod tests {
    use super::{PausedReason, RunState, RunningReason, State};

    #[test]
    fn the_states_of_a_migration_have_names() {
        assert_eq!(State::from_numbers(3, 2), State::Paused(PausedReason::Migration));
        assert_eq!(State::from_numbers(3, 12), State::Paused(PausedReason::Postcopy));
        assert_eq!(State::from_numbers(3, 13), State::Paused(PausedReason::PostcopyFailed));
        assert_eq!(State::from_numbers(1, 2), State::Running(RunningReason::Migrated));
        assert_eq!(State::from_numbers(1, 6), State::Running(RunningReason::MigrationCanceled));
        assert_eq!(State::from_numbers(1, 11), State::Running(RunningReason::PostcopyFailed));
        assert_eq!(State::from_numbers(5, 4), State::Shutoff);
    }

    #[test]
    fn a_guest_that_crashed_or_is_of_an_unknown_state_does_not_run() {
        let run = |state| State::from_numbers(state, 0).run_state();
        assert_eq!([1, 2, 4].map(run), [RunState::Running; 3]);
        assert_eq!([3, 7].map(run), [RunState::Paused; 2]);
        assert_eq!([5, 6].map(run), [RunState::Off, RunState::Crashed]);
        assert_eq!([0, 8, -1, i32::MAX].map(run), [RunState::Unknown; 4]);
    }

    #[test]
    fn numbers_of_a_newer_libvirt_are_kept() {
        assert_eq!(State::from_numbers(3, 99), State::Paused(PausedReason::Other(99)));
        assert_eq!(State::from_numbers(8, 1), State::Unknown { state: 8, reason: 1 });
        assert!(State::from_numbers(8, 1).is_active());
    }
}
