//! KubeVirt's monitor before VEP 248: a budget of time, and a watermark of the remaining memory.
//!
//! Source: kubevirt/kubevirt `d923fdb`, `pkg/virt-launcher/virtwrap/live-migration-source.go`,
//! `pkg/virt-config/virt-config.go`. The watermark is overwritten at every poll, so that any dip counts as progress: a
//! defect that VEP 248 acknowledges, and that is kept here.

use whimbrel_core::Instant;

use super::gib;
use crate::action::Action;
use crate::decision::Decision;
use crate::intent::Intent;
use crate::observation::{Beforehand, Seen};
use crate::policy::Policy;
use crate::start::Start;

/// `completionTimeoutPerGiB`.
const COMPLETION_S: u64 = 150;
/// `progressTimeout`.
const PROGRESS_MS: u64 = 150_000;

/// `allowWorkloadDisruption` and `allowPostCopy`, from the intent and what the devices permit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) enum Disruption {
    #[default]
    Refused,
    Pause,
    Postcopy,
}

impl Disruption {
    pub(super) fn of(before: &Beforehand, intent: &Intent) -> Self {
        if intent.allowed.postcopy && !before.has_passthrough {
            Self::Postcopy
        } else if intent.allowed.pause || intent.allowed.postcopy {
            Self::Pause
        } else {
            Self::Refused
        }
    }
}

/// KubeVirt's monitor of one migration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KubeVirtLegacy {
    disruption: Disruption,
    has_passthrough: bool,
    acceptable_ms: u64,
    remaining_bytes: u64,
    progressed_ms: u64,
    is_postcopy: bool,
    is_paused: bool,
}

impl KubeVirtLegacy {
    /// With KubeVirt's defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl Policy for KubeVirtLegacy {
    fn start(&mut self, before: &Beforehand, intent: &Intent) -> Start {
        let data_gib = gib(before.memory_bytes) + gib(before.disk_bytes);
        *self = Self {
            disruption: Disruption::of(before, intent),
            has_passthrough: before.has_passthrough,
            acceptable_ms: COMPLETION_S * 1000 * data_gib,
            remaining_bytes: u64::MAX,
            ..Self::default()
        };
        Start { postcopy: self.disruption == Disruption::Postcopy, ..Start::default() }
    }

    fn on(&mut self, now: Instant, seen: Seen<'_>) -> Decision {
        let Seen::Poll(statistics) = seen else { return Decision::WAIT };
        let now_ms = now.as_ms();
        let remaining_bytes = statistics.memory_remaining_bytes + statistics.disk_remaining_bytes;
        if remaining_bytes < self.remaining_bytes || self.progressed_ms == 0 {
            self.progressed_ms = now_ms.max(1);
        }
        self.remaining_bytes = remaining_bytes;
        if self.is_postcopy {
            return Decision::WAIT;
        }
        let is_late = now_ms > self.acceptable_ms;
        if self.disruption != Disruption::Refused && is_late && !self.is_paused {
            return self.disrupt();
        }
        if now_ms.saturating_sub(self.progressed_ms) > PROGRESS_MS {
            return Decision::act(Action::Cancel, "no progress for 150 s");
        }
        if is_late && !self.is_paused {
            return Decision::act(Action::Cancel, "completion timeout");
        }
        Decision::WAIT
    }
}

impl KubeVirtLegacy {
    fn disrupt(&mut self) -> Decision {
        let acceptable_ms = self.acceptable_ms;
        self.acceptable_ms = acceptable_ms.saturating_mul(2);
        if self.disruption == Disruption::Postcopy {
            self.is_postcopy = true;
            return Decision::act(Action::Postcopy, "completion timeout");
        }
        if self.has_passthrough {
            let ms = acceptable_ms.saturating_mul(2).min(Action::MAX_DOWNTIME_MS);
            return Decision::limit(ms, "completion timeout with a device that cannot be paused");
        }
        self.is_paused = true;
        Decision::act(Action::Pause, "completion timeout")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intent::Allowed;
    use crate::script::Script;

    fn saw_tooth() -> Script {
        Script::new(4_096, 100).syncs(41_000, 12_000, &[1_200; 80])
    }

    fn allowing(allowed: Allowed) -> Script {
        saw_tooth().intent(Intent { allowed, ..Intent::default() })
    }

    #[test]
    fn the_time_is_150_seconds_for_each_gib() {
        let played = saw_tooth().play(&mut KubeVirtLegacy::new(), 700_000);
        assert_eq!(played.actions, [(600_400, Action::Cancel)]);
    }

    #[test]
    fn a_disruption_is_made_once_and_doubles_the_time() {
        let postcopy = allowing(Allowed { postcopy: true, ..Allowed::default() });
        let played = postcopy.play(&mut KubeVirtLegacy::new(), 1_300_000);
        assert_eq!(played.actions, [(600_400, Action::Postcopy)]);
        let pause = allowing(Allowed { pause: true, ..Allowed::default() });
        assert_eq!(pause.play(&mut KubeVirtLegacy::new(), 700_000).actions, [(600_400, Action::Pause)]);
        let passthrough = pause.before(|before| before.has_passthrough = true);
        let played = passthrough.play(&mut KubeVirtLegacy::new(), 700_000);
        assert_eq!(played.actions, [(600_400, Action::DowntimeLimit { ms: 1_200_000 })]);
    }

    /// A saw-tooth never times out by its progress, and a link without traffic does.
    #[test]
    fn only_a_remainder_that_never_falls_is_no_progress() {
        let long = Script::new(65_536, 100).syncs(656_000, 12_000, &[1_200; 200]);
        assert_eq!(long.play(&mut KubeVirtLegacy::new(), 3_000_000).actions, []);
        let stopped = Script::new(65_536, 0);
        assert_eq!(stopped.play(&mut KubeVirtLegacy::new(), 3_000_000).actions, [(150_400, Action::Cancel)]);
    }
}
