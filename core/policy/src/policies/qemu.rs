//! QEMU alone, without a manager that acts: plain, with auto-converge, with its tail-slow steps, with `dirty-limit`.
//!
//! Source: QEMU 10.0.13, `migration/options.c` (defaults), `migration/ram.c` (trigger), `migration/cpu-throttle.c`,
//! `docs/devel/migration/dirty-limit.rst`. The steps themselves are QEMU's, here as in the simulator; libvirt has flags
//! for auto-converge's first step and increment only.

use whimbrel_core::Instant;

use crate::decision::Decision;
use crate::intent::Intent;
use crate::observation::{Beforehand, Seen};
use crate::policy::Policy;
use crate::start::{AutoConverge, Start};

/// Starts a migration with given options, and never acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Qemu(Start);

impl Qemu {
    /// QEMU's defaults: a limit of 300 ms, no throttle.
    #[must_use]
    pub fn plain() -> Self {
        Self(Start::default())
    }

    /// With auto-converge: 20 %, then 10 % more at each trigger, up to 99 %.
    #[must_use]
    pub fn auto_converge() -> Self {
        Self(Start { auto_converge: Some(AutoConverge::default()), ..Start::default() })
    }

    /// The same with steps that become smaller near the end.
    #[must_use]
    pub fn tail_slow() -> Self {
        let steps = AutoConverge { tailslow: true, ..AutoConverge::default() };
        Self(Start { auto_converge: Some(steps), ..Start::default() })
    }

    /// With `dirty-limit`: each virtual CPU may dirty 1 MiB/s from the trigger on.
    #[must_use]
    pub fn dirty_limit() -> Self {
        Self(Start { dirty_limit_bytes_per_second: Some(1 << 20), ..Start::default() })
    }
}

impl Policy for Qemu {
    fn start(&mut self, _: &Beforehand, _: &Intent) -> Start {
        self.0
    }

    fn on(&mut self, _: Instant, _: Seen<'_>) -> Decision {
        Decision::WAIT
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::Script;

    #[test]
    fn qemu_alone_never_acts_whatever_happens() {
        let script = Script::new(4_096, 100).syncs(41_000, 10_000, &[3_000; 60]);
        for mut policy in [Qemu::plain(), Qemu::auto_converge(), Qemu::tail_slow(), Qemu::dirty_limit()] {
            let played = script.play(&mut policy, 600_000);
            assert_eq!((played.start.downtime_limit_ms, played.actions.len()), (300, 0));
        }
    }

    #[test]
    fn defaults_are_qemus() {
        let steps = AutoConverge { initial_percent: 20, increment_percent: 10, tailslow: false };
        assert_eq!(Qemu::auto_converge().0.auto_converge, Some(steps));
        assert_eq!(Qemu::dirty_limit().0.dirty_limit_bytes_per_second, Some(1_048_576));
        assert!(Qemu::auto_converge().0.is_in_libvirt());
        assert!(!Qemu::tail_slow().0.is_in_libvirt() && !Qemu::dirty_limit().0.is_in_libvirt());
    }
}
