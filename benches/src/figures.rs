//! A few numbers that stand for many: quantiles of measurements and of paired ratios, and how sure a median is.
//!
//! Means are left out on purpose: one migration that a busy machine held up would move them.

use serde::Serialize;

/// Quantiles of one kind of measurement, by nearest rank, in the unit of the measurements.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// How many measurements.
    pub count: usize,
    /// A tenth of them lay at or below this.
    pub p10: f64,
    /// Half of them did.
    pub median: f64,
    /// Nine tenths of them did.
    pub p90: f64,
}

impl Spread {
    /// The spread of some measurements; `None` without any, or with one that is not a number.
    #[must_use]
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        if values.iter().any(|value| value.is_nan()) {
            return None;
        }
        values.sort_by(f64::total_cmp);
        let at = |percent| nearest_rank(&values, percent);
        Some(Self { count: values.len(), p10: at(10)?, median: at(50)?, p90: at(90)? })
    }
}

/// `ours / theirs`, pair by pair: a drift of the machine falls out, as both of a pair saw it.
#[must_use]
pub fn paired_ratios(pairs: impl IntoIterator<Item = (f64, f64)>) -> Vec<f64> {
    pairs.into_iter().filter(|(_, theirs)| *theirs > 0.0).map(|(ours, theirs)| ours / theirs).collect()
}

/// Where the true median lies with a chance of at least 95 %, whatever the distribution: the sign test's interval
/// between two of the values. `None` for fewer than 6 values, which cannot tell, or more than 1000.
#[must_use]
pub fn median_interval(values: &[f64]) -> Option<[f64; 2]> {
    const TAIL: f64 = 0.025;
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let count = u32::try_from(sorted.len()).ok().filter(|count| *count <= 1000)?;
    // The chance that so many of the values, or fewer, lie below the true median.
    let mut term = 0.5_f64.powi(i32::try_from(count).ok()?);
    let (mut chance, mut below) = (term, 0);
    while chance <= TAIL && below < count {
        term *= f64::from(count - below) / f64::from(below + 1);
        chance += term;
        below += 1;
    }
    let rank = usize::try_from(below).ok().filter(|rank| *rank > 0)?;
    Some([*sorted.get(rank - 1)?, *sorted.get(sorted.len() - rank)?])
}

/// The smallest value that at least `percent` of the sorted values do not exceed.
fn nearest_rank(sorted: &[f64], percent: usize) -> Option<f64> {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_of_the_nearest_rank() {
        let spread = Spread::of((1..=15).rev().map(f64::from)).unwrap();
        assert_eq!(spread, Spread { count: 15, p10: 2.0, median: 8.0, p90: 14.0 });
        assert_eq!(Spread::of([3.0]).unwrap(), Spread { count: 1, p10: 3.0, median: 3.0, p90: 3.0 });
        assert_eq!(Spread::of([]), None);
        assert_eq!(Spread::of([1.0, f64::NAN]), None);
    }

    #[test]
    fn ratios_are_taken_within_pairs() {
        // The machine became ten times slower on the way: no pair shows a difference.
        assert_eq!(paired_ratios([(1.0, 1.0), (10.0, 10.0), (5.0, 0.0)]), [1.0, 1.0]);
    }

    #[test]
    fn the_interval_of_a_median_is_the_sign_tests() {
        // The ranks stand in every table of the sign test.
        for (count, interval) in [(6, [1.0, 6.0]), (15, [4.0, 12.0]), (30, [10.0, 21.0])] {
            let values: Vec<f64> = (1..=count).map(f64::from).collect();
            assert_eq!(median_interval(&values), Some(interval), "{count}");
        }
        assert_eq!(median_interval(&[1.0; 5]), None);
        assert_eq!(median_interval(&[]), None);
    }
}
