//! Whether a guest runs, in the core's three words: one projection of what a host reports, for every driver.

use whimbrel_core::GuestRun;
use whimbrel_facts::RunState;

/// What the core takes a guest in this state for.
///
/// A guest that crashed, or whose state has no name, is in memory for all that is known, and is not known to run: it is
/// `Paused`. So a migration of it that fails never resumes it, for the core resumes only what it has seen running; its
/// definition is never moved alone, as that of a guest that is off; and a copy on the destination counts as one that is
/// there. It must never be `Running`: a crashed guest would be resumed, and downtime counted that nobody had.
#[must_use]
pub const fn guest_run(state: RunState) -> GuestRun {
    match state {
        RunState::Running => GuestRun::Running,
        RunState::Paused | RunState::Crashed | RunState::Unknown => GuestRun::Paused,
        RunState::Off => GuestRun::NotRunning,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_guest_that_runs_is_told_as_running_and_only_one_that_is_off_as_not_in_memory() {
        for state in RunState::ALL {
            let run = guest_run(*state);
            assert_eq!(run == GuestRun::Running, *state == RunState::Running, "{state:?}");
            assert_eq!(run == GuestRun::NotRunning, *state == RunState::Off, "{state:?}");
        }
    }
}
