//! How surely a page was written: 1 − e^−x, in 64-bit integers.
//!
//! Writes to a page are taken as a Poisson process, so x, the *exposure*, is the number of writes to be expected. The
//! exponential comes from a table, since it is needed at every sync of every class of pages.

/// Binary digits after the point of an exposure.
pub(crate) const EXPOSURE_BITS: u32 = 80;
/// Binary digits after the point of an exponent.
const EXPONENT_BITS: u32 = 58;
/// Binary digits after the point of the table and of the work on it.
const WORK_BITS: u32 = 62;
/// The table's steps divide ln 2 into this many parts.
const STEPS: u64 = 64;
/// From here on e^−x is below 2^-64: the page was certainly written.
const CERTAIN_FROM: u64 = 45;
/// ln 2 in units of 2^-64, rounded.
const LN_2: u128 = 12_786_308_645_202_655_660;
const ONE: u64 = 1 << WORK_BITS;
const STEP: u64 = narrow(LN_2 >> (64 - EXPONENT_BITS)) / STEPS;
const TABLE: [u64; 64] = table();

/// Chance, in units of 2^-64, that a page was written at least once when `exposure` writes to it are to be expected, in
/// units of 2^-80. `u64::MAX` stands for certainty.
#[inline]
pub(crate) fn chance_of_write(exposure: u128) -> u64 {
    if exposure == 0 {
        return 0;
    }
    if exposure >= u128::from(CERTAIN_FROM) << EXPOSURE_BITS {
        return u64::MAX;
    }
    let missed = exp_of_minus(narrow(exposure >> (EXPOSURE_BITS - EXPONENT_BITS)));
    (ONE - missed).saturating_mul(1 << (64 - WORK_BITS))
}

/// e^−x in units of 2^-62 for x in units of 2^-58; zero from 45 on.
pub(crate) fn exp_of_minus_fraction(x: u64) -> u64 {
    if x >= CERTAIN_FROM << EXPONENT_BITS { 0 } else { exp_of_minus(x) }
}

/// e^−x in units of 2^-62 for x in units of 2^-58, x < 45: whole steps by table, halvings by shift, and the rest, below
/// 0.011, by five terms of the series, whose error is below 2^-48 of the result.
fn exp_of_minus(x: u64) -> u64 {
    let steps = x / STEP;
    let rest = (x % STEP) << (WORK_BITS - EXPONENT_BITS);
    // Written out, so that each division is by a constant.
    let series = ONE - rest / 5;
    let series = ONE - product(series, rest) / 4;
    let series = ONE - product(series, rest) / 3;
    let series = ONE - product(series, rest) / 2;
    let series = ONE - product(series, rest);
    let index = usize::try_from(steps % STEPS).unwrap_or(0);
    let tabled = TABLE.get(index).copied().unwrap_or(ONE);
    product(tabled, series).checked_shr(u32::try_from(steps / STEPS).unwrap_or(u32::MAX)).unwrap_or(0)
}

/// e^−(i · ln 2 / 64), each from the one before; the errors of 64 roundings stay below 2^-55.
const fn table() -> [u64; 64] {
    let step = (STEP as u128) << (WORK_BITS - EXPONENT_BITS);
    let mut factor = 1_u128 << WORK_BITS;
    let mut order = 12;
    while order > 0 {
        factor = (1 << WORK_BITS) - ((factor * step) >> WORK_BITS) / order;
        order -= 1;
    }
    let mut entries = [ONE; 64];
    let mut value = 1_u128 << WORK_BITS;
    let mut rest: &mut [u64] = &mut entries;
    while let [first, tail @ ..] = rest {
        *first = narrow(value);
        value = (value * factor) >> WORK_BITS;
        rest = tail;
    }
    entries
}

fn product(a: u64, b: u64) -> u64 {
    narrow((u128::from(a) * u128::from(b)) >> WORK_BITS)
}

#[expect(clippy::cast_possible_truncation, reason = "`try_from` is not const; all callers stay below 2^64")]
const fn narrow(wide: u128) -> u64 {
    wide as u64
}

#[cfg(test)]
#[expect(clippy::cast_precision_loss, reason = "a check of a probability needs no more than 52 bits")]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_floating_point() {
        for thousandths in [0_u32, 1, 10, 11, 100, 693, 694, 1000, 2500, 17_000, 44_999] {
            let exposure = (u128::from(thousandths) << EXPOSURE_BITS) / 1000;
            let expected = -(-f64::from(thousandths) / 1000.0).exp_m1();
            let got = chance_of_write(exposure) as f64 / 2f64.powi(64);
            assert!((got - expected).abs() <= 1e-13, "{thousandths}: {got} {expected}");
        }
    }

    #[test]
    fn the_ends_are_exact_and_it_rises() {
        assert_eq!(chance_of_write(0), 0);
        assert_eq!(chance_of_write(u128::MAX), u64::MAX);
        let chances: Vec<u64> = (0..4000_u128).map(|n| chance_of_write((n << EXPOSURE_BITS) / 97)).collect();
        assert!(chances.is_sorted());
    }
}
