//! The chance that a page was written, in integers: 1 − e^−x to better than 2^-50.
//!
//! Floating point must never enter here: the standard library's `exp` differs between platforms, and one
//! different bit would make the same seed give another migration.

/// Binary digits after the point of the exponent.
const EXPONENT_BITS: u32 = 60;
/// Binary digits after the point while the exponential is worked out.
const WORK_BITS: u32 = 62;
/// From here on e^−x is below 2^-64: the page was certainly written.
const CERTAIN_FROM: u128 = 45;

/// Chance, in units of 2^-64, that one given page of `pages` equally likely ones is written at least once
/// when `write_nanoseconds` is the integral of the write rate (writes/s) over time (ns).
///
/// The writes are taken as a Poisson process, so x = rate · time / pages. `u64::MAX` stands for certainty.
/// Bounds: `pages` up to 2^32.
pub(crate) fn chance_of_write(write_nanoseconds: u128, pages: u64) -> u64 {
    let one = u128::from(pages) * 1_000_000_000;
    if one == 0 || write_nanoseconds == 0 {
        return 0;
    }
    if write_nanoseconds / one >= CERTAIN_FROM {
        return u64::MAX;
    }
    // The quotient is below 45, so shifting its remainder separately keeps everything within 128 bits.
    let whole = (write_nanoseconds / one) << EXPONENT_BITS;
    let fraction = ((write_nanoseconds % one) << EXPONENT_BITS) / one;
    let missed = exp_of_minus(whole + fraction);
    let hit = (1_u128 << WORK_BITS).saturating_sub(missed);
    u64::try_from(hit << (64 - WORK_BITS)).unwrap_or(u64::MAX)
}

/// e^−x in units of 2^-62 for x in units of 2^-60, x < 45: halve x until the Taylor series is short, then
/// square the result as often as x was halved.
fn exp_of_minus(x: u128) -> u128 {
    let mut reduced = x;
    let mut halvings = 0;
    while reduced >= 1 << (EXPONENT_BITS - 1) {
        reduced >>= 1;
        halvings += 1;
    }
    let mut term = 1_u128 << WORK_BITS;
    let mut positive = term;
    let mut negative = 0;
    for order in 1..20_u32 {
        term = ((term * reduced) >> EXPONENT_BITS) / u128::from(order);
        if order % 2 == 0 { positive += term } else { negative += term }
    }
    let mut value = positive - negative;
    for _ in 0..halvings {
        value = (value * value) >> WORK_BITS;
    }
    value
}

#[cfg(test)]
#[expect(clippy::cast_precision_loss, reason = "a check of a probability needs no more than 52 bits")]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_floating_point() {
        for (writes, pages) in
            [(1_u32, 1_u32 << 24), (1000, 65_536), (65_536, 65_536), (1_000_000, 65_536), (40, 1)]
        {
            let nanoseconds = 1_000_000_000;
            let x = f64::from(writes) / f64::from(pages);
            let expected = -(-x).exp_m1();
            let got = chance_of_write(u128::from(writes) * nanoseconds, u64::from(pages));
            let got = got as f64 / 2f64.powi(64);
            assert!(
                (got - expected).abs() <= 1e-13 * expected.max(1e-3),
                "{writes}/{pages}: {got} {expected}"
            );
        }
    }

    #[test]
    fn the_ends_are_exact() {
        assert_eq!(chance_of_write(0, 10), 0);
        assert_eq!(chance_of_write(10, 0), 0);
        assert_eq!(chance_of_write(u128::MAX, u64::from(u32::MAX)), u64::MAX);
    }

    #[test]
    fn rises_with_exposure() {
        let chances: Vec<u64> = (0..2000).map(|n| chance_of_write(n * 31_000_000_000, 1000)).collect();
        assert!(chances.is_sorted());
    }
}
