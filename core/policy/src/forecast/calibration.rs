//! How far the raw interval of the time left must be widened to cover four of five migrations (split conformal).
//!
//! The factors belong to this version of the model and to the grid that they were measured on. Coverage holds over all
//! migrations of such a grid, not for each kind of guest, and promises nothing about guests of another kind.

use crate::number::scaled;

/// Factors of one stage of a migration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Stratum {
    /// From this number of ended passes on.
    pub ends: u64,
    /// The lower end is the raw one times this, in thousandths.
    pub low_permille: u64,
    /// The upper end likewise.
    pub high_permille: u64,
}

/// The factors by stage, from `cargo run -p whimbrel-study --example calibrate -- 10`: the even seeds from 101 to 110 of the
/// grid `known`, both intents, under limits of 93 % of the intent's downtime with and without a measurement before the
/// start, and of 300 ms and 1 s with one. On the odd seeds the widened intervals cover 75 % to 88 % by stage and limit, on
/// the grid `unseen` 74 % to 91 %. The first stage is that of a forecast from measured dirty rates alone.
pub const STRATA: [Stratum; 5] = [
    Stratum { ends: 0, low_permille: 1_000, high_permille: 1_839 },
    Stratum { ends: 1, low_permille: 900, high_permille: 2_381 },
    Stratum { ends: 2, low_permille: 987, high_permille: 2_508 },
    Stratum { ends: 3, low_permille: 941, high_permille: 2_512 },
    Stratum { ends: 4, low_permille: 929, high_permille: 2_574 },
];

/// The chance that a migration converges although no particle does, before the first byte, in millionths; and that if all
/// do. A dirty rate shows one phase of the guest: among the even seeds of the grid `known` this share calmed down, or became
/// busier. By least squares, from the same run.
pub const BEFORE_PPM: [u64; 2] = [32_794, 879_988];

/// A chance before the first byte, calibrated.
pub(super) fn chance_before(ppm: u64) -> u64 {
    let [none, all] = BEFORE_PPM;
    none + scaled(ppm, all - none, super::CERTAIN_PPM)
}

/// The interval, calibrated for a migration of which this many passes have ended.
pub(super) fn widened([low, middle, high]: [u64; 3], ends: u64) -> [u64; 3] {
    let stratum = STRATA.iter().rev().find(|stratum| stratum.ends <= ends);
    stratum.map_or([low, middle, high], |stratum| {
        let low = scaled(low, stratum.low_permille, 1000).min(middle);
        [low, middle, scaled(high, stratum.high_permille, 1000).max(middle)]
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chance_before_the_first_byte_is_never_certain_and_keeps_its_order() {
        let chances: std::vec::Vec<u64> = (0..=32).map(|of| chance_before(of * 1_000_000 / 32)).collect();
        assert!(chances.is_sorted());
        assert_eq!([chances[0], chances[32]], BEFORE_PPM);
        assert!(chances[0] > 0 && chances[32] < 1_000_000);
    }

    #[test]
    fn strata_are_in_order_and_an_interval_stays_one() {
        assert!(STRATA.is_sorted_by_key(|stratum| stratum.ends));
        for ends in 0..7 {
            let [low, middle, high] = widened([90, 100, 110], ends);
            assert!(low <= middle && middle == 100 && middle <= high);
        }
    }
}
