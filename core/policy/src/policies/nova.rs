//! OpenStack Nova: the downtime rises in steps of time, and a timeout ends or forces the migration.
//!
//! Source: openstack/nova `00a0304`, `nova/virt/libvirt/migration.py` (`downtime_steps`, `should_abort`,
//! `should_switch_to_postcopy`) and `nova/conf/libvirt.py` (defaults): downtime 500 ms in 10 steps of 75 s for each GiB,
//! completion timeout 800 s for each GiB, GiB counted as 2 at least, for memory and for each copied disk. Post-copy and
//! auto-converge are off by default. The progress timeout is gone.

use whimbrel_core::Instant;

use super::gib;
use crate::action::Action;
use crate::decision::Decision;
use crate::intent::Intent;
use crate::observation::{Beforehand, Seen};
use crate::policy::Policy;
use crate::start::Start;

/// `live_migration_downtime`.
const DOWNTIME_MS: u64 = 500;
/// `live_migration_downtime_steps`.
const STEPS: u64 = 10;
/// `live_migration_downtime_delay`, for each GiB.
const DELAY_S: u64 = 75;
/// `live_migration_completion_timeout`, for each GiB.
const COMPLETION_S: u64 = 800;
/// The least that counts for memory and for disks.
const LEAST_GIB: u64 = 2;

/// `live_migration_timeout_action`, and whether post-copy is permitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NovaTimeout {
    /// `abort`, the default.
    Abort,
    /// `force_complete` with `live_migration_permit_post_copy`.
    ForcePostcopy,
    /// `force_complete` without it: the guest is paused.
    ForcePause,
}

/// Nova's monitor of one migration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nova {
    timeout: NovaTimeout,
    gib: u64,
    /// The next step of the downtime.
    step: u64,
    has_timed_out: bool,
}

impl Nova {
    /// With this action at the completion timeout.
    #[must_use]
    pub const fn new(timeout: NovaTimeout) -> Self {
        Self { timeout, gib: LEAST_GIB, step: 0, has_timed_out: false }
    }

    /// The first step is a tenth; the others add a tenth of the rest each.
    const fn downtime_ms(step: u64) -> u64 {
        let base = DOWNTIME_MS / STEPS;
        base + (DOWNTIME_MS - base) / STEPS * step
    }
}

impl Policy for Nova {
    fn start(&mut self, before: &Beforehand, _: &Intent) -> Start {
        let disks = if before.disk_bytes == 0 { 0 } else { gib(before.disk_bytes).max(LEAST_GIB) };
        self.gib = gib(before.memory_bytes).max(LEAST_GIB) + disks;
        self.step = 1;
        let postcopy = self.timeout == NovaTimeout::ForcePostcopy;
        Start { postcopy, ..Start::with_limit(Self::downtime_ms(0)) }
    }

    fn on(&mut self, now: Instant, seen: Seen<'_>) -> Decision {
        let Seen::Poll(_) = seen else { return Decision::WAIT };
        let elapsed_s = now.as_ms() / 1000;
        if !self.has_timed_out && elapsed_s > COMPLETION_S.saturating_mul(self.gib) {
            self.has_timed_out = true;
            let action = match self.timeout {
                NovaTimeout::Abort => Action::Cancel,
                NovaTimeout::ForcePostcopy => Action::Postcopy,
                NovaTimeout::ForcePause => Action::Pause,
            };
            return Decision::act(action, "completion timeout");
        }
        if self.step <= STEPS && elapsed_s > DELAY_S.saturating_mul(self.gib).saturating_mul(self.step) {
            let limit_ms = Self::downtime_ms(self.step);
            self.step += 1;
            return Decision::limit(limit_ms, "the next step is due");
        }
        Decision::WAIT
    }

    fn poll_ms(&self) -> u64 {
        500
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::Script;

    fn busy(memory_mib: u64) -> Script {
        Script::new(memory_mib, 100).syncs(41_000, 15_000, &[1_500; 300])
    }

    /// 50 ms at 0 s, 95 at 150 s, ... 500 at 1,500 s for a guest of 2 GiB.
    #[test]
    fn the_downtime_rises_in_ten_steps() {
        let played = busy(2_048).play(&mut Nova::new(NovaTimeout::Abort), 1_590_000);
        assert_eq!(played.start.downtime_limit_ms, 50);
        let expected = (1..=10).map(|step| {
            // The next half second is past it.
            (step * 150_000 + 1_000, Action::DowntimeLimit { ms: 50 + 45 * step })
        });
        assert!(played.actions.into_iter().eq(expected));
    }

    #[test]
    fn each_timeout_action_comes_after_800_seconds_for_each_gib() {
        for (timeout, action, postcopy) in [
            (NovaTimeout::Abort, Action::Cancel, false),
            (NovaTimeout::ForcePostcopy, Action::Postcopy, true),
            (NovaTimeout::ForcePause, Action::Pause, false),
        ] {
            let played = busy(1_024).play(&mut Nova::new(timeout), 1_700_000);
            assert_eq!(played.start.postcopy, postcopy);
            let last = played.actions.iter().filter(|(_, one)| !matches!(one, Action::DowntimeLimit { .. }));
            assert!(last.copied().eq([(1_601_000, action)]), "{:?}", played.actions);
        }
    }

    #[test]
    fn copied_disks_count_two_gib_at_least() {
        let script = busy(4_096).before(|before| before.disk_bytes = 1 << 30);
        let played = script.play(&mut Nova::new(NovaTimeout::Abort), 460_000);
        assert_eq!(played.actions, [(451_000, Action::DowntimeLimit { ms: 95 })]);
    }
}
