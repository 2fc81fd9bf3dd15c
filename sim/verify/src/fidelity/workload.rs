//! A Linux guest as it could be known before its migration: how many of its pages had changed after so long.
//!
//! The law is a sum of working sets, Σ W (1 − e^(−t/τ)), with periods τ from a fixed grid and sizes W that may not be
//! negative, fitted by least squares of the relative errors. It must see the profile alone and nothing of the
//! migration. Changes faster than the first period cannot be resolved by samples a second apart and get that period;
//! what is slower than the last is given that one.

use super::row::Profile;
use whimbrel_sim::guest::{Pattern, Writer};

/// Periods after which a page of a working set has been written again on average, in ms.
const PERIODS_MS: [u64; 9] = [125, 250, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000];
const ROUNDS: usize = 4_000;
const PAGES_PER_MIB: f64 = 256.0;

/// Its law, as writers next to each other, and the law's relative error.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Law {
    pub(super) writers: Vec<Writer>,
    /// Root of the mean square of the relative errors of the fit.
    pub(super) error: f64,
}

impl Profile {
    /// Whether it specifies how pages change.
    pub(super) fn is_measured(&self) -> bool {
        !self.points().is_empty()
    }

    /// Seconds and changed pages: what was counted, or else what sampling says.
    fn points(&self) -> Vec<(f64, f64)> {
        let believed =
            |(s, pages): &(f64, f64)| s.is_finite() && *s > 0.0 && pages.is_finite() && *pages >= 0.0;
        let counted: Vec<(f64, f64)> = self.counted.clone().into_iter().filter(believed).collect();
        if !counted.is_empty() {
            return counted;
        }
        // A rate over a longer time has fewer pages for each second: what is written twice changed once.
        self.sampled
            .iter()
            .map(|(s, mib_per_s)| (*s, s * mib_per_s * PAGES_PER_MIB))
            .filter(believed)
            .collect()
    }

    /// Fits the law to what was measured.
    pub(super) fn law(&self) -> Law {
        let points = self.points();
        let sizes = fitted(&points);
        let mut offset_pages = 0;
        let mut writers = Vec::new();
        for (pages, period_ms) in sizes.iter().map(|pages| whole(*pages)).zip(PERIODS_MS) {
            if pages > 0 {
                let writes_per_second = pages.saturating_mul(1000) / period_ms;
                let steady = Writer::steady(Pattern::Uniform, writes_per_second, pages);
                writers.push(Writer { offset_pages, ..steady });
                offset_pages += pages;
            }
        }
        Law { writers, error: error(&points, &sizes) }
    }
}

fn share(period_ms: u64, after_s: f64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a period of some seconds is exact")]
    let periods = after_s * 1000.0 / period_ms as f64;
    1.0 - (-periods).exp()
}

fn law_at(sizes: &[f64; PERIODS_MS.len()], after_s: f64) -> f64 {
    sizes.iter().zip(PERIODS_MS).map(|(pages, period_ms)| pages * share(period_ms, after_s)).sum()
}

/// Sizes by multiplicative updates, which keep them from becoming negative.
fn fitted(points: &[(f64, f64)]) -> [f64; PERIODS_MS.len()] {
    let weight = |pages: f64| 1.0 / pages.max(1.0).powi(2);
    let most = points.iter().map(|(_, pages)| *pages).fold(0.0, f64::max);
    let mut sizes = [most / 9.0; PERIODS_MS.len()];
    for _ in 0..ROUNDS {
        let now = sizes;
        for (size, period_ms) in sizes.iter_mut().zip(PERIODS_MS) {
            let (mut wanted, mut had) = (0.0, 0.0);
            for (after_s, pages) in points {
                let part = share(period_ms, *after_s) * weight(*pages);
                wanted += part * pages;
                had += part * law_at(&now, *after_s);
            }
            if had > 0.0 {
                *size *= wanted / had;
            }
        }
    }
    sizes
}

fn error(points: &[(f64, f64)], sizes: &[f64; PERIODS_MS.len()]) -> f64 {
    let squares =
        points.iter().map(|(after_s, pages)| (law_at(sizes, *after_s) / pages.max(1.0) - 1.0).powi(2));
    let mean = squares.sum::<f64>() / super::estimates::count(points.len().max(1));
    mean.sqrt()
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the conversion saturates, and sizes are not negative"
)]
fn whole(value: f64) -> u64 {
    value.round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pages_of(profile: &Profile) -> (u64, u64) {
        let law = profile.law();
        let fast = law
            .writers
            .iter()
            .filter(|writer| writer.pace.most_writes_per_second() >= writer.working_set_pages);
        let all: u64 = law.writers.iter().map(|writer| writer.working_set_pages).sum();
        (fast.map(|writer| writer.working_set_pages).sum(), all)
    }

    #[test]
    fn a_law_of_two_working_sets_is_found_again() {
        let truth =
            |t: f64| 4000.0 * (1.0 - (-t / 0.25_f64).exp()) + 20_000.0 * (1.0 - (-t / 16.0_f64).exp());
        let counted = [1.0, 2.0, 4.0, 8.0].map(|t| (t, truth(t))).to_vec();
        let profile = Profile { counted, ..Profile::default() };
        let law = profile.law();
        assert!(law.error < 0.01, "{law:?}");
        let (fast, all) = pages_of(&profile);
        assert!((3500..=5000).contains(&fast) && (14_000..=30_000).contains(&all), "{fast} {all}");
    }

    #[test]
    fn a_saturated_set_is_all_there_is() {
        let profile = Profile { counted: vec![(1.0, 4270.0), (8.0, 4270.0)], ..Profile::default() };
        let (fast, all) = pages_of(&profile);
        assert!(fast > 4000 && (4270..=4600).contains(&all), "{fast} {all}");
    }

    #[test]
    fn samples_stand_in_and_nothing_is_nothing() {
        let profile = Profile { sampled: vec![(1.0, 10.0), (4.0, 4.0)], ..Profile::default() };
        assert!(profile.is_measured() && !profile.law().writers.is_empty());
        let none = Profile { sampled: vec![(0.0, 5.0), (f64::NAN, 1.0)], ..Profile::default() };
        assert!(!none.is_measured() && none.law().writers.is_empty());
    }
}
