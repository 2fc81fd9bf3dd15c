//! The simulator's only source of chance: xoshiro256++ seeded through splitmix64, both by Blackman and
//! Vigna (public domain, prng.di.unimi.it).
//!
//! It is written out here, twenty lines, because a seed in a bug report must give the same run on every
//! machine and in every later release; a dependency may change its stream, this file must never do so.
//! It must never be used for secrets.

/// A deterministic stream of random words; the same seed gives the same stream everywhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Random {
    state: [u64; 4],
}

impl Random {
    /// A stream for `seed`; every seed is good, zero too.
    #[must_use]
    pub fn from_seed(seed: u64) -> Self {
        let mut mixer = seed;
        Self { state: std::array::from_fn(|_| split_mix(&mut mixer)) }
    }

    /// The next 64 uniform bits.
    pub fn next_u64(&mut self) -> u64 {
        let [a, b, c, d] = &mut self.state;
        let result = a.wrapping_add(*d).rotate_left(23).wrapping_add(*a);
        let shifted = *b << 17;
        *c ^= *a;
        *d ^= *b;
        *b ^= *c;
        *a ^= *d;
        *c ^= shifted;
        *d = d.rotate_left(45);
        result
    }

    /// Another stream, whose seed is drawn from this one.
    #[must_use]
    pub fn fork(&mut self) -> Self {
        Self::from_seed(self.next_u64())
    }

    /// A number in `0..bound` by multiply and shift; its bias, at most `bound` / 2^64, is far below
    /// anything a simulation can see. Zero for a bound of zero.
    pub fn below(&mut self, bound: u64) -> u64 {
        let wide = u128::from(self.next_u64()) * u128::from(bound);
        u64::try_from(wide >> 64).unwrap_or(0)
    }

    /// Sixty-four independent bits, each set with probability `chance` / 2^64.
    ///
    /// Each bit position compares its own uniform binary fraction with `chance` digit by digit, all 64 side
    /// by side. Half of the still equal ones part at every digit, so about eight words decide all of them,
    /// and the result is exact to 2^-64.
    pub fn bits_with_chance(&mut self, chance: u64) -> u64 {
        let mut digits = chance;
        let mut equal_so_far = u64::MAX;
        let mut below = 0;
        while digits != 0 && equal_so_far != 0 {
            let drawn = self.next_u64();
            if digits >> 63 == 1 {
                below |= equal_so_far & !drawn;
                equal_so_far &= drawn;
            } else {
                equal_so_far &= !drawn;
            }
            digits <<= 1;
        }
        below
    }
}

fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
#[expect(clippy::cast_precision_loss, reason = "a check of a probability needs no more than 52 bits")]
mod tests {
    use super::*;

    /// The first outputs of the authors' reference programs.
    #[test]
    fn matches_the_reference_streams() {
        let mut mixer = 1_234_567;
        assert_eq!(split_mix(&mut mixer), 6_457_827_717_110_365_317);
        assert_eq!(split_mix(&mut mixer), 3_203_168_211_198_807_973);
        let mut random = Random { state: [1, 2, 3, 4] };
        let first: Vec<u64> = (0..5).map(|_| random.next_u64()).collect();
        assert_eq!(
            first,
            [41_943_041, 58_720_359, 3_588_806_011_781_223, 3_591_011_842_654_386, 9_228_616_714_210_784_205]
        );
    }

    #[test]
    fn bits_have_the_asked_chance() {
        let mut random = Random::from_seed(7);
        // 0, 2^-20, 1/4, 0.7 and almost 1, over 640,000 bits each: six standard deviations of slack.
        for chance in [0, 1 << 44, 1 << 62, 12_912_720_851_596_686_131, u64::MAX] {
            let probability = chance as f64 / 2f64.powi(64);
            let hits: u32 = (0..10_000).map(|_| random.bits_with_chance(chance).count_ones()).sum();
            let mean = probability * 640_000.0;
            let slack = 6.0 * (mean * (1.0 - probability)).sqrt();
            assert!((f64::from(hits) - mean).abs() <= slack, "{hits} hits, {mean} expected");
        }
    }

    #[test]
    fn below_stays_below() {
        let mut random = Random::from_seed(0);
        assert_eq!(random.below(0), 0);
        assert!((0..1000).map(|_| random.below(10)).all(|n| n < 10));
    }
}
