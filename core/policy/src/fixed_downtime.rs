//! The part of the downtime that no memory explains: stop of the guest, device state, start on the destination.
//!
//! It belongs to a pair of hosts and a set of devices; the caller keeps one for each.

use alloc::vec::Vec;

/// Before anything was learned, in ms. A starting value: 20 to 60 ms on common hosts.
const PRIOR_MS: [u64; 3] = [20, 40, 60];
/// Migrations that are remembered.
const KEPT: usize = 32;

/// The fixed part of the downtime, learned from migrations that completed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FixedDowntime {
    learned_ms: Vec<u64>,
}

impl FixedDowntime {
    /// A migration completed with this downtime, of which this many bytes at this bandwidth were memory.
    pub fn learn(&mut self, downtime_ms: u64, last_pass_bytes: u64, bytes_per_second: u64) {
        let Some(memory_ms) = crate::observation::implied_ms(last_pass_bytes, bytes_per_second) else {
            return;
        };
        if self.learned_ms.len() == KEPT {
            self.learned_ms.remove(0);
        }
        self.learned_ms.push(downtime_ms.saturating_sub(memory_ms));
    }

    /// The least value that this many percent of the cases do not exceed, in ms.
    #[must_use]
    pub fn quantile_ms(&self, percent: usize) -> u64 {
        let mut all: Vec<u64> = self.learned_ms.clone();
        if all.len() < PRIOR_MS.len() {
            all.extend(PRIOR_MS);
        }
        all.sort_unstable();
        all.get((all.len().saturating_sub(1) * percent).div_ceil(100)).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_learned_replaces_the_prior() {
        let mut fixed = FixedDowntime::default();
        assert_eq!([0, 50, 90].map(|percent| fixed.quantile_ms(percent)), [20, 40, 60]);
        // 25 MB at 250 MB/s are 100 ms of the downtime.
        for ms in [105, 112, 131, 108] {
            fixed.learn(ms, 25_000_000, 250_000_000);
        }
        assert_eq!([0, 50, 90].map(|percent| fixed.quantile_ms(percent)), [5, 12, 31]);
        fixed.learn(90, 1, 0);
        assert_eq!(fixed.quantile_ms(0), 5, "a link without bandwidth teaches nothing");
    }
}
