//! virsh's `migrate --timeout`, with its default action (suspend) and `--timeout-postcopy`, and
//! `--postcopy-after-precopy`.
//!
//! Source: libvirt 11.3.0, `tools/virsh-domain.c` and its manual page. `--timeout` has no default: 120 s here, which is
//! this crate's choice. `virsh` waits for the end of the first pass by the event of the iteration.

use whimbrel_core::Instant;

use crate::action::Action;
use crate::decision::Decision;
use crate::intent::Intent;
use crate::observation::{Beforehand, Seen};
use crate::policy::Policy;
use crate::start::Start;

/// What `virsh` does, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum VirshAction {
    /// `--timeout` with `--timeout-suspend`, the default.
    SuspendAfter {
        /// `--timeout`, in seconds.
        seconds: u64,
    },
    /// `--timeout` with `--timeout-postcopy`.
    PostcopyAfter {
        /// `--timeout`, in seconds.
        seconds: u64,
    },
    /// `--postcopy-after-precopy`: after the first pass.
    PostcopyAfterPrecopy,
}

/// One `virsh migrate`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Virsh {
    action: VirshAction,
    has_acted: bool,
}

impl Virsh {
    /// With this action.
    #[must_use]
    pub const fn new(action: VirshAction) -> Self {
        Self { action, has_acted: false }
    }
}

impl Policy for Virsh {
    fn start(&mut self, _: &Beforehand, _: &Intent) -> Start {
        let postcopy = !matches!(self.action, VirshAction::SuspendAfter { .. });
        Start { postcopy, ..Start::default() }
    }

    fn on(&mut self, now: Instant, seen: Seen<'_>) -> Decision {
        let is_over = |seconds: u64| now.as_ms() >= seconds.saturating_mul(1000);
        let action = match (self.action, seen) {
            (VirshAction::SuspendAfter { seconds }, Seen::Poll(_)) if is_over(seconds) => Action::Pause,
            (VirshAction::PostcopyAfter { seconds }, Seen::Poll(_)) if is_over(seconds) => Action::Postcopy,
            (VirshAction::PostcopyAfterPrecopy, Seen::Sync(sync)) if sync.iteration >= 2 => Action::Postcopy,
            _ => return Decision::WAIT,
        };
        if core::mem::replace(&mut self.has_acted, true) {
            return Decision::WAIT;
        }
        Decision::act(action, "the time given is over")
    }

    fn poll_ms(&self) -> u64 {
        500
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::Script;

    fn played(action: VirshAction) -> (bool, std::vec::Vec<(u64, Action)>) {
        let script = Script::new(8_192, 100).syncs(82_000, 20_000, &[2_000; 10]);
        let played = script.play(&mut Virsh::new(action), 260_000);
        (played.start.postcopy, played.actions)
    }

    #[test]
    fn it_acts_once_at_its_time() {
        let suspend = played(VirshAction::SuspendAfter { seconds: 120 });
        assert_eq!(suspend, (false, [(120_000, Action::Pause)].into()));
        let postcopy = played(VirshAction::PostcopyAfter { seconds: 120 });
        assert_eq!(postcopy, (true, [(120_000, Action::Postcopy)].into()));
        let first_pass = played(VirshAction::PostcopyAfterPrecopy);
        assert_eq!(first_pass, (true, [(82_000, Action::Postcopy)].into()));
    }
}
