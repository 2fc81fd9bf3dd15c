//! How fast a hypervisor's hint is followed by the command that it causes.

use std::time::Duration;

/// Times from a hint's arrival in this process to the moment its command was given to the port.
#[derive(Clone, Debug, Default)]
pub struct Reactions {
    times: Vec<Duration>,
}

impl Reactions {
    /// More are not kept: a migration that never ends must not grow for ever.
    const MOST: usize = 100_000;

    pub(super) fn record(&mut self, time: Duration) {
        if self.times.len() < Self::MOST {
            self.times.push(time);
        }
    }

    /// How many there were.
    #[must_use]
    pub fn count(&self) -> usize {
        self.times.len()
    }

    /// The time within which this share of the reactions lay, in µs; `None` when there were none.
    #[must_use]
    pub fn quantile_us(&self, percent: usize) -> Option<u64> {
        let mut times = self.times.clone();
        times.sort_unstable();
        let place = (times.len() * percent).div_ceil(100).max(1) - 1;
        times.get(place).map(|time| u64::try_from(time.as_micros()).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_of_the_nearest_rank() {
        let mut reactions = Reactions::default();
        assert_eq!(reactions.quantile_us(99), None);
        for us in 1..=100 {
            reactions.record(Duration::from_micros(us));
        }
        assert_eq!(reactions.quantile_us(50), Some(50));
        assert_eq!(reactions.quantile_us(99), Some(99));
        assert_eq!(reactions.quantile_us(100), Some(100));
    }
}
