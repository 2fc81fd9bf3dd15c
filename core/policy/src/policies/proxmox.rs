//! Proxmox VE: doubles the downtime after every six regressions, for ever.
//!
//! Source: proxmox/qemu-server `e6352be`, `src/PVE/QemuMigrate.pm` and `QemuServer.pm`: 100 ms at first, a poll each
//! second. Whenever the transferred bytes have changed and the remainder rose or is zero, a counter grows; above 5 the
//! limit is doubled, up to 2,000 s. No timeout and no abort: it always ends, maybe after a very long downtime.
//! Auto-converge and XBZRLE, with a cache of a tenth of the memory rounded to a power of two, are always on. The faster
//! poll of 0.1 s while less than the average remains is left out: the average is not in the notes that this rests on.

use whimbrel_core::Instant;

use crate::action::Action;
use crate::decision::Decision;
use crate::intent::Intent;
use crate::observation::{Beforehand, Seen};
use crate::policy::Policy;
use crate::start::{AutoConverge, Start};

const FIRST_MS: u64 = 100;
const REGRESSIONS: u64 = 5;

/// Proxmox' loop over one migration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Proxmox {
    limit_ms: u64,
    regressions: u64,
    sent_bytes: u64,
    remaining_bytes: u64,
}

impl Proxmox {
    /// With Proxmox' defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl Policy for Proxmox {
    fn start(&mut self, before: &Beforehand, _: &Intent) -> Start {
        *self = Self { limit_ms: FIRST_MS, remaining_bytes: u64::MAX, ..Self::default() };
        let tenth = (before.memory_bytes / 10).max(1);
        let power = tenth.next_power_of_two();
        let cache_bytes = if power - tenth > tenth - power / 2 { power / 2 } else { power };
        Start {
            auto_converge: Some(AutoConverge::default()),
            xbzrle_cache_bytes: Some(cache_bytes),
            ..Start::with_limit(FIRST_MS)
        }
    }

    fn on(&mut self, _: Instant, seen: Seen<'_>) -> Decision {
        let Seen::Poll(statistics) = seen else { return Decision::WAIT };
        let (sent, remaining) = (statistics.memory_sent_bytes, statistics.memory_remaining_bytes);
        if sent == self.sent_bytes {
            return Decision::WAIT;
        }
        self.regressions += u64::from(remaining > self.remaining_bytes || remaining == 0);
        (self.sent_bytes, self.remaining_bytes) = (sent, remaining);
        if self.regressions <= REGRESSIONS || self.limit_ms >= Action::MAX_DOWNTIME_MS {
            return Decision::WAIT;
        }
        self.regressions = 0;
        self.limit_ms = (self.limit_ms * 2).min(Action::MAX_DOWNTIME_MS);
        Decision::limit(self.limit_ms, "the remainder rose six times")
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
    fn each_six_regressions_double_the_downtime() {
        let script = Script::new(4_096, 100).syncs(41_000, 10_000, &[1_100; 100]);
        let played = script.play(&mut Proxmox::new(), 300_000);
        assert_eq!((played.start.downtime_limit_ms, played.start.xbzrle_cache_bytes), (100, Some(512 << 20)));
        assert!(played.start.auto_converge.is_some());
        let doubled = [(91_000, 200), (151_000, 400), (211_000, 800), (271_000, 1_600)];
        let expected = doubled.map(|(at_ms, ms)| (at_ms, Action::DowntimeLimit { ms }));
        assert_eq!(played.actions, expected);
    }

    #[test]
    fn it_never_gives_up_and_ends_at_qemus_bound() {
        let script = Script::new(4_096, 100).syncs(41_000, 2_000, &[900; 2_000]);
        let played = script.play(&mut Proxmox::new(), 4_000_000);
        assert_eq!(played.actions.last().map(|(_, action)| *action), Some(Action::SWITCH_OVER));
        assert_eq!(played.actions.len(), 15);
    }
}
