//! The natural logarithm of a whole number, in fixed point.

/// Binary digits after the point.
const BITS: u32 = 58;
/// ln 2 in units of 2^-64, rounded.
const LN_2: u128 = 12_786_308_645_202_655_660;

/// ln of a whole number above zero, in units of 2^-58; zero for zero. The error is below 2^-50.
///
/// The binary logarithm's digits come one by one from squaring (as in Knuth, *The Art of Computer Programming*, 1.2.2).
pub(crate) fn ln(number: u64) -> u64 {
    let Some(whole) = number.checked_ilog2() else { return 0 };
    // The number over its largest power of two: from 1 up to 2, in units of 2^-63.
    let mut mantissa = u128::from(number) << (63 - whole);
    let mut binary = u128::from(whole) << BITS;
    for digit in (0..BITS).rev() {
        mantissa = (mantissa * mantissa) >> 63;
        if mantissa >= 1 << 64 {
            mantissa >>= 1;
            binary |= 1 << digit;
        }
    }
    u64::try_from((binary * LN_2) >> 64).unwrap_or(u64::MAX)
}

#[cfg(test)]
#[expect(clippy::cast_precision_loss, reason = "a check of a logarithm needs no more than 52 bits")]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_floating_point() {
        for number in [1, 2, 3, 7, 10, 4095, 65_536, 1_000_003, 1 << 40, (1 << 52) + 12_345] {
            let got = ln(number) as f64 / 2f64.powi(58);
            let expected = (number as f64).ln();
            assert!((got - expected).abs() <= 1e-13, "{number}: {got} {expected}");
        }
        assert_eq!(ln(0), 0);
    }
}
