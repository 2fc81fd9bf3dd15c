//! Apache CloudStack's KVM agent: one downtime limit, one suspend, one abort.
//!
//! Source: apache/cloudstack, `LibvirtMigrateCommandWrapper.java` (two files of it were read): the downtime is set once,
//! a second after the start; `vm.migrate.wait` ends the migration, `vm.migrate.pauseafter` suspends the guest. The wait of
//! an hour is the management server's `migratewait` (its default from memory); the suspend is off by default.

use whimbrel_core::Instant;

use crate::action::Action;
use crate::decision::Decision;
use crate::intent::Intent;
use crate::observation::{Beforehand, Seen};
use crate::policy::Policy;
use crate::start::Start;

const SET_AFTER_MS: u64 = 1_000;
/// The value that most guides set; the agent sets none where the property is absent.
const DOWNTIME_MS: u64 = 500;
const WAIT_S: u64 = 3_600;

/// The agent's watch over one migration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CloudStack {
    pause_after_ms: Option<u64>,
    has_set: bool,
    has_paused: bool,
}

impl CloudStack {
    /// With `vm.migrate.pauseafter`, if set.
    #[must_use]
    pub const fn new(pause_after_ms: Option<u64>) -> Self {
        Self { pause_after_ms, has_set: false, has_paused: false }
    }
}

impl Policy for CloudStack {
    fn start(&mut self, _: &Beforehand, _: &Intent) -> Start {
        Start::default()
    }

    fn on(&mut self, now: Instant, seen: Seen<'_>) -> Decision {
        let Seen::Poll(_) = seen else { return Decision::WAIT };
        let now_ms = now.as_ms();
        if !self.has_set && now_ms >= SET_AFTER_MS {
            self.has_set = true;
            return Decision::limit(DOWNTIME_MS, "a second after the start");
        }
        if now_ms > WAIT_S * 1000 {
            return Decision::act(Action::Cancel, "the wait is over");
        }
        if !self.has_paused && self.pause_after_ms.is_some_and(|after_ms| now_ms > after_ms) {
            self.has_paused = true;
            return Decision::act(Action::Pause, "the time before a suspend is over");
        }
        Decision::WAIT
    }

    fn poll_ms(&self) -> u64 {
        1_000
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::Script;

    #[test]
    fn it_sets_once_suspends_if_configured_and_ends_after_an_hour() {
        let script = Script::new(4_096, 100).syncs(41_000, 60_000, &[3_000; 70]);
        let set = (1_000, Action::DowntimeLimit { ms: 500 });
        let end = (3_601_000, Action::Cancel);
        assert_eq!(script.play(&mut CloudStack::new(None), 3_700_000).actions, [set, end]);
        let pause = (300_000 + 1_000, Action::Pause);
        assert_eq!(script.play(&mut CloudStack::new(Some(300_000)), 3_700_000).actions, [set, pause, end]);
    }
}
