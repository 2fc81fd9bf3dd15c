//! Numbers that look random and are keyed by their place: particle and use. The same key gives the same number for ever.

/// A uniform number above 0 and below 1.
pub(crate) fn uniform(particle: u64, index: u64) -> f64 {
    // splitmix64's finalizer (Vigna, public domain) over a Weyl sequence of both keys.
    let mut mixed = particle
        .wrapping_mul(0x9e37_79b9_7f4a_7c15)
        .wrapping_add(index.wrapping_mul(0xd1b5_4a32_d192_ed03))
        .wrapping_add(0x2545_f491_4f6c_dd1d);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^= mixed >> 31;
    (crate::number::real(mixed >> 11) + 0.5) / 9_007_199_254_740_992.0
}

/// A standard normal deviate (Box and Muller 1958).
pub(crate) fn normal(particle: u64, index: u64) -> f64 {
    let radius = libm::sqrt(-2.0 * libm::log(uniform(particle, 2 * index)));
    radius * libm::cos(core::f64::consts::TAU * uniform(particle, 2 * index + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deviates_are_normal() {
        let all: std::vec::Vec<f64> =
            (0..64).flat_map(|particle| (0..64).map(move |index| normal(particle, index))).collect();
        let mean = all.iter().sum::<f64>() / 4096.0;
        let variance = all.iter().map(|z| z * z).sum::<f64>() / 4096.0;
        assert!(mean.abs() < 0.06 && (variance - 1.0).abs() < 0.1, "{mean} {variance}");
        assert!(all.iter().filter(|z| z.abs() > 1.96).count() < 290);
    }
}
