//! The number of written pages of a class: a draw from the binomial distribution, or its mean.
//!
//! Both sides of [`Hits`] must never use floating point, and the drawn side takes its chance from the seed alone.

use crate::random::Random;

/// Up to this many pages every page is drawn separately, exactly.
const EXACT_PAGES: u64 = 1024;
/// Below this expected number (of hits, or of misses) the distribution is inverted term by term.
const EXACT_MEAN: u64 = 16;
/// Random bits summed to one normal deviate; its standard deviation is 16 halves of a bit.
const DEVIATE_WORDS: u32 = 16;
const DEVIATE_SD: i128 = 16;
/// Binary digits after the point of a normal deviate and of a standard deviation.
const DEVIATE_BITS: u32 = 16;

/// Decides how many of `pages` independent pages are hit when each is hit with `chance` / 2^64.
pub(crate) trait Hits: Clone + std::fmt::Debug {
    /// A number in `0..=pages`.
    fn hits(&mut self, pages: u64, chance: u64) -> u64;

    /// What follows belongs to this key. Chance that is keyed begins again with it; any other takes no notice.
    #[inline]
    fn begin(&mut self, _key: impl FnOnce() -> u64) {}
}

/// Draws from the binomial distribution.
///
/// Exact to 2^-64 a page up to 1,024 pages, and to 2^-32 wherever fewer than 16 hits or misses are expected. Beyond
/// that a normal deviate with the distribution's mean, variance and skewness (the first Cornish-Fisher term, Cornish
/// and Fisher 1938) is rounded to a whole number; the distribution functions then differ by less than 0.001.
#[derive(Clone, Debug)]
pub(crate) struct Drawn {
    random: Random,
    /// Of chance that is keyed.
    seed: Option<u64>,
}

impl Drawn {
    pub(crate) fn new(random: Random) -> Self {
        Self { random, seed: None }
    }

    /// Chance that depends on the seed and the last key alone, not on how much was drawn before.
    pub(crate) fn keyed(seed: u64) -> Self {
        Self { random: Random::from_seed(seed), seed: Some(seed) }
    }

    /// The stream that it draws from.
    pub(crate) fn random(&mut self) -> &mut Random {
        &mut self.random
    }

    fn page_by_page(&mut self, pages: u64, chance: u64) -> u64 {
        let mut hits = 0;
        let mut left = pages;
        while left > 0 {
            let of_word = left.min(64);
            let word = self.random.bits_with_chance(chance) & (u64::MAX >> (64 - of_word));
            hits += u64::from(word.count_ones());
            left -= of_word;
        }
        hits
    }

    /// Walks up the distribution function until it passes a uniform number. The terms are kept to 2^-95, as the first
    /// one is as small as e^-16, and each follows from the one before.
    fn term_by_term(&mut self, pages: u64, chance: u64) -> u64 {
        let drawn = u128::from(self.random.next_u64()) << 31 | u128::from(self.random.next_u64() >> 33);
        let miss = (1_u128 << 64) - u128::from(chance);
        let odds = (u128::from(chance) << 63) / miss;
        let mut term = power_of_miss(miss, pages);
        let mut below = term;
        let mut hits = 0;
        while below <= drawn && hits < pages && term > 0 {
            let ratio = odds.saturating_mul(u128::from(pages - hits)) / u128::from(hits + 1);
            term = scaled(term, ratio);
            below += term;
            hits += 1;
        }
        hits
    }

    fn by_normal_deviate(&mut self, pages: u64, chance: u64) -> u64 {
        let mean = u128::from(pages) * u128::from(chance);
        // Variance in units of 2^-32, less the twelfth that rounding to whole pages adds; its root in 2^-16.
        let variance = ((mean >> 32) * ((1 << 32) - (u128::from(chance) >> 32))) >> 32;
        let variance = variance.saturating_sub((1 << 32) / 12);
        let root =
            u64::try_from(variance).map_or_else(|_| variance.isqrt(), |small| u128::from(small.isqrt()));
        let deviate = self.normal_deviate();
        let spread = (deviate * i128::try_from(root).unwrap_or(0)) << (64 - 2 * DEVIATE_BITS);
        let one = 1_i128 << 32;
        let skew = (deviate * deviate - one) * (one - 2 * i128::from(chance >> 32)) / 6;
        let half = 1_i128 << 63;
        let value = (i128::try_from(mean).unwrap_or(i128::MAX >> 1) + spread + skew + half) >> 64;
        u64::try_from(value.max(0)).unwrap_or(u64::MAX).min(pages)
    }

    /// A normal deviate in units of 2^-16: the number of ones among 1,024 fair bits, made continuous by one more
    /// uniform number. Its distribution function is right to 10^-4.
    fn normal_deviate(&mut self) -> i128 {
        let ones: u32 = (0..DEVIATE_WORDS).map(|_| self.random.next_u64().count_ones()).sum();
        let smooth = i128::from(self.random.next_u64() >> 48) - (1 << 15);
        let centred = i128::from(ones) - i128::from(DEVIATE_WORDS * 32);
        ((centred << DEVIATE_BITS) + smooth) / DEVIATE_SD
    }
}

impl Hits for Drawn {
    #[inline]
    fn begin(&mut self, key: impl FnOnce() -> u64) {
        if let Some(seed) = self.seed {
            self.random = Random::from_seed(seed ^ key().wrapping_mul(0xd1b5_4a32_d192_ed03));
        }
    }

    fn hits(&mut self, pages: u64, chance: u64) -> u64 {
        if pages == 0 || chance == 0 {
            return 0;
        }
        if chance == u64::MAX {
            return pages;
        }
        if pages <= EXACT_PAGES {
            return self.page_by_page(pages, chance);
        }
        if expected(pages, chance) < EXACT_MEAN {
            return self.term_by_term(pages, chance);
        }
        if expected(pages, !chance) < EXACT_MEAN {
            return pages - self.term_by_term(pages, !chance);
        }
        self.by_normal_deviate(pages, chance)
    }
}

/// The expected number of hits; the fraction of a page is carried over to the next question, so that nothing is lost
/// to rounding in the long run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expected {
    fraction: u64,
}

impl Expected {
    /// Begins half-way between whole pages, which rounds to the nearest.
    pub(crate) fn new() -> Self {
        Self { fraction: 1 << 63 }
    }
}

impl Hits for Expected {
    fn hits(&mut self, pages: u64, chance: u64) -> u64 {
        if chance == u64::MAX {
            return pages;
        }
        let wide = u128::from(pages) * u128::from(chance) + u128::from(self.fraction);
        #[expect(clippy::cast_possible_truncation, reason = "the low half is what is wanted")]
        let fraction = wide as u64;
        self.fraction = fraction;
        u64::try_from(wide >> 64).unwrap_or(pages).min(pages)
    }
}

fn expected(pages: u64, chance: u64) -> u64 {
    u64::try_from((u128::from(pages) * u128::from(chance)) >> 64).unwrap_or(u64::MAX)
}

/// (miss / 2^64)^pages in units of 2^-95, by squaring.
fn power_of_miss(miss: u128, pages: u64) -> u128 {
    let mut power = 1_u128 << 95;
    let mut square = miss << 31;
    let mut exponent = pages;
    while exponent > 0 {
        if exponent & 1 == 1 {
            power = wide_product(power, square);
        }
        square = wide_product(square, square);
        exponent >>= 1;
    }
    power
}

/// The product of two numbers of at most 1, in units of 2^-95, by 48-bit halves.
fn wide_product(a: u128, b: u128) -> u128 {
    const HALF: u32 = 48;
    const LOW: u128 = (1 << HALF) - 1;
    let (high_a, low_a) = (a >> HALF, a & LOW);
    let (high_b, low_b) = (b >> HALF, b & LOW);
    let cross = high_a * low_b + low_a * high_b + ((low_a * low_b) >> HALF);
    ((high_a * high_b) << 1) + (cross >> (HALF - 1))
}

/// `term` times `ratio` / 2^63.
fn scaled(term: u128, ratio: u128) -> u128 {
    let (high, low) = (ratio >> 31, ratio & ((1 << 31) - 1));
    let whole = (term >> 32).saturating_mul(high);
    whole + (((term >> 32) * low) >> 31)
}

#[cfg(test)]
#[expect(clippy::cast_precision_loss, reason = "a check of a distribution needs no more than 52 bits")]
mod tests {
    use super::*;
    use crate::sampling::of_probability as chance;

    const DRAWS: u32 = 40_000;

    /// Mean, variance and third central moment of the distribution, each within five standard errors of its estimate
    /// (widened by the fourth moment's 3).
    #[test]
    fn keyed_chance_forgets_what_was_drawn_before() {
        let after = |draws: u64, key: u64| {
            let mut chance = Drawn::keyed(3);
            (0..draws).for_each(|_| _ = chance.hits(5_000, 1 << 62));
            chance.begin(|| key);
            [chance.hits(5_000, 1 << 62), chance.hits(700, 1 << 61)]
        };
        assert_eq!(after(0, 9), after(17, 9));
        assert_ne!(after(0, 9), after(0, 10));
        // Any other chance goes on.
        let mut drawn = Drawn::new(Random::from_seed(3));
        let first = drawn.hits(5_000, 1 << 62);
        drawn.begin(|| 9);
        assert_ne!([first, drawn.hits(700, 1 << 61)], after(0, 9));
    }

    #[test]
    fn has_the_moments_of_the_binomial_distribution() {
        let cases = [
            (700, 0.3),
            (1025, 0.002),
            (1025, 0.5),
            (65_536, 0.0001),
            (65_536, 0.0003),
            (65_536, 0.4),
            (65_536, 0.9999),
            (1 << 28, 1e-8),
            (1 << 28, 0.01),
            (1 << 40, 0.999_999),
        ];
        for (seed, (pages, probability)) in (1..).zip(cases) {
            let mut drawn = Drawn::new(Random::from_seed(seed));
            let mean = pages as f64 * probability;
            let variance = mean * (1.0 - probability);
            let (mut first, mut second, mut third) = (0.0, 0.0, 0.0);
            for _ in 0..DRAWS {
                let off = (drawn.hits(pages, chance(probability)) as f64 - mean) / variance.sqrt();
                first += off / f64::from(DRAWS);
                second += off * off / f64::from(DRAWS);
                third += off * off * off / f64::from(DRAWS);
            }
            let error = 1.0 / f64::from(DRAWS).sqrt();
            let skewness = (1.0 - 2.0 * probability) / variance.sqrt();
            assert!(first.abs() < 5.0 * error, "{pages} {probability}: mean off by {first} deviations");
            assert!((second - 1.0).abs() < 10.0 * error, "{pages} {probability}: variance {second}");
            assert!((third - skewness).abs() < 25.0 * error, "{pages} {probability}: {third} {skewness}");
        }
    }

    /// Where both ways apply, inversion and page by page give the same distribution function to sampling error.
    #[test]
    fn the_exact_ways_agree() {
        let mut drawn = Drawn::new(Random::from_seed(9));
        let mut counts = [[0_i32; 40]; 2];
        for _ in 0..DRAWS {
            for (way, counts) in counts.iter_mut().enumerate() {
                let (pages, chance) = (900, chance(0.01));
                let hits = match way {
                    0 => drawn.page_by_page(pages, chance),
                    _ => drawn.term_by_term(pages, chance),
                };
                if let Some(count) = usize::try_from(hits).ok().and_then(|hits| counts.get_mut(hits)) {
                    *count += 1;
                }
            }
        }
        let [by_page, by_term] = counts;
        let (mut apart, mut widest) = (0_i32, 0);
        for (by_page, by_term) in by_page.iter().zip(by_term) {
            apart += by_page - by_term;
            widest = widest.max(apart.abs());
        }
        // The Kolmogorov-Smirnov bound for two samples at one in a thousand: 1.95 · sqrt(2 · draws).
        assert!(widest < 552, "{widest}");
    }

    #[test]
    fn the_ends_are_exact_and_the_mean_loses_nothing() {
        let mut drawn = Drawn::new(Random::from_seed(1));
        for pages in [0, 1, 5000] {
            assert_eq!((drawn.hits(pages, 0), drawn.hits(pages, u64::MAX)), (0, pages));
        }
        let mut mean = Expected::new();
        let third = u64::MAX / 3;
        assert_eq!((0..300).map(|_| mean.hits(1, third)).sum::<u64>(), 100);
        assert_eq!(mean.hits(7, u64::MAX), 7);
    }
}
