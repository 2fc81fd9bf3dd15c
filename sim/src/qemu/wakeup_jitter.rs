//! How late a host wakes the migration thread that slept to the end of its rate window.
//!
//! QEMU's clock counts whole milliseconds, and a sleep ends at a whole one on that clock or soon after: a window is 100
//! ms long, and now and then one more. Which of them is chance, since the fractions of the clock run through all
//! values.

use super::host::HostConstants;
use crate::sampling::Hits;

const NS_PER_MS: u64 = 1_000_000;

/// The lateness of windows, in whole milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct WakeupJitter {
    /// Every window is late by this many ms.
    whole_ms: u64,
    /// The chance of one more, in units of 2^-64.
    one_more: u64,
    /// The chance of a stall, in units of 2^-64, and its length.
    stall: u64,
    stall_ms: u64,
}

impl WakeupJitter {
    pub(super) fn of(host: &HostConstants) -> Self {
        Self {
            whole_ms: host.wake_up_ns / NS_PER_MS,
            one_more: part(host.wake_up_ns % NS_PER_MS, NS_PER_MS),
            stall: part(host.stalls_per_million_windows.min(1_000_000), 1_000_000),
            stall_ms: host.stall_ns / NS_PER_MS,
        }
    }

    /// The lateness of this many windows together, in ms.
    #[inline]
    pub(super) fn of_windows(self, windows: u64, hits: &mut impl Hits) -> u64 {
        let mut late_ms = self.whole_ms.saturating_mul(windows);
        if self.one_more > 0 && windows > 0 {
            late_ms = late_ms.saturating_add(hits.hits(windows, self.one_more));
        }
        if self.stall > 0 && windows > 0 {
            late_ms = late_ms.saturating_add(hits.hits(windows, self.stall).saturating_mul(self.stall_ms));
        }
        late_ms
    }

    /// No fewer windows than this fit into this many milliseconds, however late each of them is.
    #[inline]
    pub(super) fn windows_within(self, ms: u64) -> u64 {
        let longest_ms = 101_u64.saturating_add(self.whole_ms).saturating_add(self.stall_ms);
        ms / longest_ms
    }
}

fn part(of: u64, whole: u64) -> u64 {
    u64::try_from((u128::from(of) << 64) / u128::from(whole)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;
    use crate::sampling::{Drawn, Expected};

    #[test]
    fn the_mean_is_what_was_asked_for() {
        let host = HostConstants {
            wake_up_ns: 2_300_000,
            stalls_per_million_windows: 10_000,
            stall_ns: 20_000_000,
            ..HostConstants::default()
        };
        let lateness = WakeupJitter::of(&host);
        let mut drawn = Drawn::new(Random::from_seed(1));
        let singly: u64 = (0..20_000).map(|_| lateness.of_windows(1, &mut drawn)).sum();
        let together: u64 = (0..200).map(|_| lateness.of_windows(100, &mut drawn)).sum();
        let expected = lateness.of_windows(20_000, &mut Expected::new());
        assert_eq!(expected, 20_000 * 23 / 10 + 200 * 20);
        assert!(
            singly.abs_diff(expected) < 1200 && together.abs_diff(expected) < 1200,
            "{singly} {together}"
        );
    }

    #[test]
    fn a_host_that_is_never_late_draws_nothing() {
        let host = HostConstants { wake_up_ns: 0, ..HostConstants::default() };
        let mut drawn = Drawn::new(Random::from_seed(1));
        assert_eq!(WakeupJitter::of(&host).of_windows(1000, &mut drawn), 0);
        assert_eq!(*drawn.random(), Random::from_seed(1));
    }
}
