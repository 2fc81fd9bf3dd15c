//! Chance in integers: how surely something happened, and how often out of so many times.
//!
//! Floating point must never enter here: the standard library's `exp` and `ln` differ between platforms, and one
//! different bit would make the same seed give another migration.

mod binomial;
mod exposure;
mod logarithm;

pub(crate) use binomial::{Drawn, Expected, Hits};
pub(crate) use exposure::{EXPOSURE_BITS, chance_of_write, exp_of_minus_fraction};
pub(crate) use logarithm::ln;
