//! The latency from a hypervisor's hint to the command that it causes.

use std::time::Duration;

/// Times from a hint's arrival in this process to the moment its command was given to the port.
#[derive(Clone, Debug, Default)]
pub struct HintLatency {
    times: Vec<Duration>,
}

impl HintLatency {
    /// The maximum number of samples: a migration that never ends must not grow without bound.
    const MOST: usize = 100_000;

    pub(super) fn record(&mut self, time: Duration) {
        if self.times.len() < Self::MOST {
            self.times.push(time);
        }
    }

    /// The number of samples.
    #[must_use]
    pub fn count(&self) -> usize {
        self.times.len()
    }

    /// The latency at this percentile, in µs; `None` without samples.
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
        let mut latency = HintLatency::default();
        assert_eq!(latency.quantile_us(99), None);
        for us in 1..=100 {
            latency.record(Duration::from_micros(us));
        }
        assert_eq!(latency.quantile_us(50), Some(50));
        assert_eq!(latency.quantile_us(99), Some(99));
        assert_eq!(latency.quantile_us(100), Some(100));
    }
}
