//! A few numbers that stand for many: quantiles of measurements and of paired ratios.
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

/// The spread of `ours / theirs`, pair by pair: a drift of the machine falls out, as both of a pair saw it.
#[must_use]
pub fn paired_ratios(pairs: impl IntoIterator<Item = (f64, f64)>) -> Option<Spread> {
    Spread::of(pairs.into_iter().filter(|(_, theirs)| *theirs > 0.0).map(|(ours, theirs)| ours / theirs))
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
        // The machine became ten times slower on the way: no pair tells a difference.
        let ratios = paired_ratios([(1.0, 1.0), (10.0, 10.0), (5.0, 0.0)]).unwrap();
        assert_eq!((ratios.count, ratios.p10, ratios.p90), (2, 1.0, 1.0));
    }
}
