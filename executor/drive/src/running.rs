//! What every driver reports of running guests in the same way: whether a guest runs, in the core's three states, and that
//! a host has no guest of a name.

use whimbrel_core::GuestRun;
use whimbrel_facts::RunState;

/// The core's state for a guest in this state.
///
/// A guest that crashed, or whose state is unknown, may be in memory and is not known to run: it is `Paused`. Therefore a
/// failed migration never resumes it, because the core resumes only a guest that it has seen running; its definition is
/// never migrated alone, as that of a guest that is off; and a copy on the destination counts as present. It must never be
/// `Running`: a crashed guest would be resumed, and downtime counted that did not exist.
#[must_use]
pub const fn guest_run(state: RunState) -> GuestRun {
    match state {
        RunState::Running => GuestRun::Running,
        RunState::Paused | RunState::Crashed | RunState::Unknown => GuestRun::Paused,
        RunState::Off => GuestRun::NotRunning,
    }
}

/// That a host has no guest of this name, with the names of those that it has: the mistake is mostly in a letter.
#[must_use]
pub fn no_such_guest(name: &str, running: &[String]) -> String {
    if running.is_empty() {
        return format!("no guest `{name}`, and no other guest runs there");
    }
    let running: Vec<String> = running.iter().map(|name| format!("`{name}`")).collect();
    format!("no guest `{name}`; running there: {}", running.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_guest_that_runs_is_reported_as_running_and_only_one_that_is_off_as_not_in_memory() {
        for state in RunState::ALL {
            let run = guest_run(*state);
            assert_eq!(run == GuestRun::Running, *state == RunState::Running, "{state:?}");
            assert_eq!(run == GuestRun::NotRunning, *state == RunState::Off, "{state:?}");
        }
    }
}
