//! How surely a page was written: rates per page and 1 − e^−x, in 64-bit integers.
//!
//! The page-accurate engine works its chances out to 2^-50 with wide divisions, once a sync. Here that would be most
//! of the cost, so the division is done once a migration and the exponential comes from a table. Floating point must
//! never enter: the same seed has to give the same migration on every machine.

/// Binary digits after the point of a rate: writes a nanosecond to one given page.
pub(crate) const RATE_BITS: u32 = 80;
/// Binary digits after the point of an exponent.
const EXPONENT_BITS: u32 = 58;
/// Binary digits after the point of the table and of the work on it.
const WORK_BITS: u32 = 62;
/// The table's steps divide ln 2 into so many parts.
const STEPS: u64 = 64;
/// From here on e^−x is below 2^-64: the page was certainly written.
const CERTAIN_FROM: u64 = 45;
/// ln 2 in units of 2^-64, rounded.
const LN_2: u128 = 12_786_308_645_202_655_660;
const ONE: u64 = 1 << WORK_BITS;
const STEP: u64 = narrow(LN_2 >> (64 - EXPONENT_BITS)) / STEPS;
const TABLE: [u64; 64] = table();

/// Writes a nanosecond that each of `pages` equally likely pages gets, in units of 2^-80. Zero for no pages.
/// The relative error is below pages / (rate · 10^6), that is negligible wherever a write is to be expected.
pub(crate) fn rate_per_page(writes_per_second: u64, pages: u64) -> u128 {
    let wide = u128::from(writes_per_second.min(1_000_000_000_000)) << RATE_BITS;
    wide.checked_div(u128::from(pages) * 1_000_000_000).unwrap_or(0)
}

/// Chance, in units of 2^-64, that a page was written at least once when `exposure` is the integral of its rate over
/// time, in units of 2^-80 writes. `u64::MAX` stands for certainty.
pub(crate) fn chance_of_write(exposure: u128) -> u64 {
    if exposure >= u128::from(CERTAIN_FROM) << RATE_BITS {
        return u64::MAX;
    }
    let missed = exp_of_minus(narrow(exposure >> (RATE_BITS - EXPONENT_BITS)));
    (ONE - missed).saturating_mul(1 << (64 - WORK_BITS))
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
            let exposure = (u128::from(thousandths) << RATE_BITS) / 1000;
            let expected = -(-f64::from(thousandths) / 1000.0).exp_m1();
            let got = chance_of_write(exposure) as f64 / 2f64.powi(64);
            assert!((got - expected).abs() <= 1e-13, "{thousandths}: {got} {expected}");
        }
    }

    #[test]
    fn the_ends_are_exact_and_it_rises() {
        assert_eq!(chance_of_write(0), 0);
        assert_eq!(chance_of_write(u128::MAX), u64::MAX);
        let chances: Vec<u64> = (0..4000_u128).map(|n| chance_of_write((n << RATE_BITS) / 97)).collect();
        assert!(chances.is_sorted());
    }

    #[test]
    fn a_rate_times_its_time_is_the_expected_number_of_writes() {
        // 20,000 writes a second over 65,536 pages for two seconds: 0.61035 a page.
        let exposure = rate_per_page(20_000, 65_536) * 2_000_000_000;
        let per_million = (exposure * 1_000_000) >> RATE_BITS;
        assert!((610_350..=610_352).contains(&per_million), "{per_million}");
        assert_eq!(rate_per_page(5, 0), 0);
    }
}
