//! What lies between two hosts: how long a byte takes, how sure it arrives, and what is shared on the way.

use super::SegmentId;
use crate::random::Random;

/// The properties of a one-way line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Line {
    /// How long the first byte takes at least.
    pub latency_ns: u64,
    /// How much longer it may take.
    pub jitter_ns: u64,
    /// How many packets do not arrive.
    pub loss: Loss,
}

/// The share of packets that are lost, at most all of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Loss {
    per_million: u32,
}

/// The way from one host to another.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Path {
    /// Its properties.
    pub line: Line,
    /// What it shares with other paths; each segment once, in any order.
    pub segments: Vec<SegmentId>,
}

impl Line {
    /// How long one message takes: uniform over `latency_ns..=latency_ns + jitter_ns`, drawn from `random`.
    ///
    /// Loss does not show here: whether a lost message is sent again, and when, is its protocol's matter.
    pub fn delay_ns(&self, random: &mut Random) -> u64 {
        self.latency_ns.saturating_add(random.below(self.jitter_ns.saturating_add(1)))
    }

    /// What a message takes on average, rounded down.
    #[must_use]
    pub const fn mean_delay_ns(&self) -> u64 {
        self.latency_ns.saturating_add(self.jitter_ns / 2)
    }
}

impl Loss {
    /// Everything arrives.
    pub const NONE: Self = Self { per_million: 0 };
    /// Nothing arrives.
    pub const ALL: Self = Self { per_million: 1_000_000 };

    /// Lost packets of a million; none if that is more than all of them.
    #[must_use]
    pub const fn per_million(packets: u32) -> Option<Self> {
        if packets <= Self::ALL.per_million { Some(Self { per_million: packets }) } else { None }
    }

    /// Packets of a million, 0 to 1,000,000.
    #[must_use]
    pub const fn of_a_million(self) -> u32 {
        self.per_million
    }
}

#[cfg(test)]
mod tests {
    use super::{Line, Loss};
    use crate::random::Random;

    #[test]
    fn delays_fill_their_range_and_nothing_else() {
        let line = Line { latency_ns: 100, jitter_ns: 3, loss: Loss::NONE };
        let mut random = Random::from_seed(1);
        let mut seen = [0; 4];
        for _ in 0..4000 {
            seen[usize::try_from(line.delay_ns(&mut random) - 100).unwrap()] += 1;
        }
        // A thousand each, with five standard deviations of slack.
        assert!(seen.iter().all(|count| (860..=1140).contains(count)), "{seen:?}");
        assert_eq!(line.mean_delay_ns(), 101);
    }

    #[test]
    fn the_longest_delays_do_not_wrap() {
        let line = Line { latency_ns: u64::MAX, jitter_ns: u64::MAX, loss: Loss::NONE };
        assert_eq!(line.delay_ns(&mut Random::from_seed(2)), u64::MAX);
        assert_eq!(line.mean_delay_ns(), u64::MAX);
    }

    #[test]
    fn no_more_than_everything_is_lost() {
        assert_eq!(Loss::per_million(0), Some(Loss::NONE));
        assert_eq!(Loss::per_million(1_000_000), Some(Loss::ALL));
        assert_eq!(Loss::per_million(1_000_001), None);
    }
}
