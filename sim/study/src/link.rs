//! The link's path: noise around its bandwidth, and drops.
//!
//! An AR(1) process of 3 %, and a drop to a fifth for 5 s about once in 300 s. The path is drawn before the migration, so
//! that no action changes it.

use whimbrel_sim::random::Random;

const NOISE_PERMILLE: u64 = 30;
const DROP_ONCE_IN_S: u64 = 300;
const DROP_S: u64 = 5;
const DROP_TO_PERCENT: u64 = 20;

/// The link, second by second.
#[derive(Clone, Debug)]
pub(crate) struct LinkPath {
    seconds: Vec<u64>,
}

impl LinkPath {
    pub(crate) fn new(bytes_per_second: u64, seconds: u64, random: &mut Random) -> Self {
        let mut left_of_drop = 0;
        // In thousandths of a thousandth of the bandwidth; the innovation keeps the deviation at 3 %.
        let mut deviation: i64 = 0;
        let mut path = Vec::new();
        for _ in 0..=seconds {
            let ones = i64::from(random.next_u64().count_ones()) - 32;
            // 64 fair bits have a deviation of 4; √(1 − 0.9²) = 0.436.
            let innovation = ones * i64::try_from(NOISE_PERMILLE).unwrap_or(0) * 436 / 4;
            deviation = deviation * 9 / 10 + innovation;
            if random.below(DROP_ONCE_IN_S) == 0 {
                left_of_drop = DROP_S;
            }
            let share = u64::try_from((1_000_000 + deviation).max(100_000)).unwrap_or(0);
            let noisy = bytes_per_second / 1_000_000 * share;
            let dropped = left_of_drop > 0;
            left_of_drop -= u64::from(dropped);
            path.push(if dropped { noisy / 100 * DROP_TO_PERCENT } else { noisy });
        }
        Self { seconds: path }
    }

    /// The bandwidth in this second, in bytes; beyond the path the last one.
    pub(crate) fn at(&self, second: u64) -> u64 {
        let index = usize::try_from(second).unwrap_or(usize::MAX);
        self.seconds.get(index).or(self.seconds.last()).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_is_three_percent_and_drops_are_rare() {
        let path = LinkPath::new(125_000_000, 30_000, &mut Random::from_seed(1));
        let whole: Vec<f64> = path
            .seconds
            .iter()
            .filter(|one| **one > 60_000_000)
            .map(|one| f64::from(u32::try_from(*one).unwrap()) / 125e6)
            .collect();
        let dropped = path.seconds.len() - whole.len();
        assert!((300..800).contains(&dropped), "{dropped} of 30,000 s");
        let count = f64::from(u32::try_from(whole.len()).unwrap());
        let mean = whole.iter().sum::<f64>() / count;
        let sd = (whole.iter().map(|one| (one - mean).powi(2)).sum::<f64>() / count).sqrt();
        assert!((mean - 1.0).abs() < 0.01 && (0.025..0.035).contains(&sd), "{mean} {sd}");
    }
}
