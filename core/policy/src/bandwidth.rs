//! The link as the copy sees it: a median for expectations, a low quantile for promises, and whether it has collapsed.

use alloc::vec::Vec;

/// Samples that are kept; one every 100 ms at most.
const KEPT: usize = 64;
const EVERY_MS: u64 = 100;
/// Below this part of the median the link has collapsed, in percent. A starting value.
const COLLAPSED_PERCENT: u64 = 30;
/// The quantile for promises, in percent.
const PROMISED_PERCENT: usize = 20;

/// The measured bandwidth of one migration.
#[derive(Clone, Debug, Default)]
pub struct Bandwidth {
    samples: Vec<u64>,
    last_ms: Option<u64>,
    expected: Option<u64>,
    collapsed_since_ms: Option<u64>,
}

impl Bandwidth {
    /// Before a sample: the link's nominal bandwidth.
    #[must_use]
    pub fn expecting(bytes_per_second: Option<u64>) -> Self {
        Self { expected: bytes_per_second, ..Self::default() }
    }

    /// The bandwidth of a window, as of an instant. A collapse is remembered, not mixed into the median.
    pub fn sample(&mut self, at_ms: u64, bytes_per_second: u64) {
        if self.last_ms.is_some_and(|last| at_ms < last.saturating_add(EVERY_MS)) {
            return;
        }
        self.last_ms = Some(at_ms);
        let has_collapsed = self
            .median()
            .filter(|_| self.samples.len() >= 5)
            .is_some_and(|median| bytes_per_second < median / 100 * COLLAPSED_PERCENT);
        if has_collapsed {
            let since_ms = *self.collapsed_since_ms.get_or_insert(at_ms);
            // Longer than ten seconds is no collapse but another link.
            if at_ms.saturating_sub(since_ms) < 10_000 {
                return;
            }
            self.samples.clear();
        }
        self.collapsed_since_ms = None;
        if self.samples.len() == KEPT {
            self.samples.remove(0);
        }
        self.samples.push(bytes_per_second);
    }

    /// From now on a limit is in force, or none (zero). Samples under another limit are forgotten; their median is
    /// expected again, up to the new limit.
    pub fn limited_to(&mut self, bytes_per_second: u64) {
        let limit = if bytes_per_second == 0 { u64::MAX } else { bytes_per_second };
        let expected = self.median().map(|median| median.min(limit));
        *self = Self::expecting(expected);
    }

    /// What the link carries in the middle of its samples; before the first, what was expected of it.
    #[must_use]
    pub fn median(&self) -> Option<u64> {
        self.quantile(50)
    }

    /// What it carries in four of five samples.
    #[must_use]
    pub fn promised(&self) -> Option<u64> {
        self.quantile(PROMISED_PERCENT)
    }

    /// Whether it carries much less than usual at the moment: no action follows from such a moment.
    #[must_use]
    pub fn has_collapsed(&self) -> bool {
        self.collapsed_since_ms.is_some()
    }

    fn quantile(&self, percent: usize) -> Option<u64> {
        let mut sorted = self.samples.clone();
        sorted.sort_unstable();
        let index = sorted.len().saturating_sub(1) * percent / 100;
        sorted.get(index).copied().or(self.expected)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_collapse_changes_no_expectation() {
        let mut bandwidth = Bandwidth::expecting(Some(7));
        assert_eq!(bandwidth.median(), Some(7));
        (0..20).for_each(|n| bandwidth.sample(n * 100, 1_000 + n));
        assert!(!bandwidth.has_collapsed());
        assert_eq!((bandwidth.promised(), bandwidth.median()), (Some(1_003), Some(1_009)));
        (20..60).for_each(|n| bandwidth.sample(n * 100, 100));
        assert!(bandwidth.has_collapsed());
        assert_eq!(bandwidth.median(), Some(1_009));
        (60..140).for_each(|n| bandwidth.sample(n * 100, 100));
        assert_eq!((bandwidth.median(), bandwidth.has_collapsed()), (Some(100), false), "it lasts");
    }

    #[test]
    fn another_limit_makes_the_samples_before_it_worthless() {
        let mut bandwidth = Bandwidth::default();
        (0..20).for_each(|n| bandwidth.sample(n * 100, 1_000));
        bandwidth.limited_to(400);
        assert_eq!(bandwidth.median(), Some(400));
        bandwidth.sample(2_000, 390);
        assert_eq!((bandwidth.median(), bandwidth.has_collapsed()), (Some(390), false));
        bandwidth.limited_to(0);
        bandwidth.sample(2_100, 2_000);
        assert_eq!(bandwidth.median(), Some(2_000));
    }

    #[test]
    fn samples_of_one_window_count_once() {
        let mut bandwidth = Bandwidth::default();
        assert_eq!(bandwidth.median(), None);
        for (at, value) in [(0, 10), (50, 1_000), (99, 1_000), (100, 20)] {
            bandwidth.sample(at, value);
        }
        assert_eq!(bandwidth.samples, [10, 20]);
    }
}
