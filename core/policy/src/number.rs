//! The border between counts and real numbers: every conversion of the crate is here.
//!
//! Inside, the dirty curve and the forecast use real numbers; what they are given and what they give are whole bytes,
//! milliseconds and millionths.

/// A count as a real number; above 2^53 it is rounded.
#[expect(clippy::cast_precision_loss, reason = "2^53 bytes are 8 PiB")]
pub(crate) const fn real(count: u64) -> f64 {
    count as f64
}

/// The nearest count; zero for what is negative or not a number, the largest for what is too large.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the cast saturates")]
pub(crate) fn whole(value: f64) -> u64 {
    libm::round(value) as u64
}

/// `a` times `b` by `c`, without overflow on the way; the largest number for a `c` of zero.
pub(crate) fn scaled(a: u64, b: u64, c: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product.checked_div(u128::from(c)).and_then(|value| u64::try_from(value).ok()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conversions_saturate() {
        assert_eq!([-1.0, f64::NAN, 2.5, 1e30].map(whole), [0, 0, 3, u64::MAX]);
        assert_eq!([scaled(u64::MAX, 4, 2), scaled(10, 3, 4), scaled(1, 1, 0)], [u64::MAX, 7, u64::MAX]);
    }
}
