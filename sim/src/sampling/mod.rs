//! Random sampling in integers: the probability of an event, and the number of events in many trials.
//!
//! Floating point must never enter here: the standard library's `exp` and `ln` differ between platforms, and one
//! different bit would make the same seed give another migration.

mod binomial;
mod exposure;
mod logarithm;

pub(crate) use binomial::{Drawn, Expected, Hits};
pub(crate) use exposure::{EXPOSURE_BITS, chance_of_write, exp_of_minus_fraction};
pub(crate) use logarithm::ln;

/// A chance in units of 2⁻⁶⁴. For tests alone: in a simulation no chance comes from a float.
#[cfg(test)]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a probability below one")]
pub(crate) fn of_probability(probability: f64) -> u64 {
    (probability * 2f64.powi(64)) as u64
}
