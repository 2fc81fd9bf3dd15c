//! The dirty curve beyond the longest interval that was observed: each particle has its own.
//!
//! A dirty rate measured over seconds does not show what becomes dirty in the minutes of a first pass: everything in
//! between the same amount again and again (a small set) and the same rate for ever (a set as large as the memory) is
//! possible. The particles spread over that, all of them with what was observed at the longest interval. Nothing of this
//! may be used once a pass was seen: later passes are shorter, and the curve is known there.

use alloc::vec::Vec;

use super::chance::uniform;
use crate::curve::{Class, touched};

/// The slowest rate that is assumed: a page that is written once in a quarter of an hour, as in the curve's grid.
const SLOWEST: f64 = 1e-3;
/// The use of the particle's random number.
const INDEX: u64 = 9;

/// The classes of one particle: those that are written less than once in the longest interval, which it does not tell
/// apart, become one, whose rate is drawn (evenly by its logarithm). In the longest interval as much of it becomes dirty
/// as of those. No class is larger than the memory.
pub(super) fn classes(of: &[Class], longest_s: f64, memory_bytes: f64, particle: u64) -> Vec<Class> {
    let is_known = |class: &&Class| class.rate * longest_s >= 1.0;
    let unknown = || of.iter().filter(|class| !is_known(class));
    let dirtied = |class: &Class| class.bytes * touched(class.rate * longest_s);
    let bytes: f64 = unknown().map(dirtied).sum();
    let dirty_bytes: f64 = unknown().map(|class| dirtied(class) * class.dirty_share).sum();
    let mut classes: Vec<Class> = of.iter().filter(is_known).copied().collect();
    if bytes > 0.0 {
        let (fast, slow) = (libm::log(1.0 / longest_s), libm::log(SLOWEST.min(1.0 / longest_s)));
        let rate = libm::exp(slow + (fast - slow) * uniform(particle, INDEX));
        let all = (bytes / touched(rate * longest_s)).min(memory_bytes);
        classes.push(Class { rate, bytes: all, dirty_share: dirty_bytes / bytes });
    }
    classes
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: f64 = 1_048_576.0;

    fn dirtied(classes: &[Class], seconds: f64) -> f64 {
        classes.iter().map(|class| class.bytes * touched(class.rate * seconds)).sum()
    }

    #[test]
    fn what_was_observed_stays_and_what_was_not_spreads() {
        let class = |rate, bytes| Class { rate, bytes, dirty_share: 1.0 };
        let observed = [class(0.01, 4_096.0 * MIB), class(0.05, 1_024.0 * MIB), class(10.0, 64.0 * MIB)];
        let at = |seconds: f64| {
            let mut all: Vec<f64> = (0..64)
                .map(|particle| dirtied(&classes(&observed, 5.0, 65_536.0 * MIB, particle), seconds))
                .collect();
            all.sort_unstable_by(f64::total_cmp);
            [all[3], all[60]]
        };
        let known = dirtied(&observed, 5.0);
        assert!(at(5.0).iter().all(|bytes| (bytes / known - 1.0).abs() < 1e-9), "{:?} {known}", at(5.0));
        let [least, most] = at(300.0);
        assert!(most > least * 10.0, "{least} {most}");
        // Never more than the measured rate for ever.
        assert!(most <= known * 60.0 * 1.0001, "{most} {known}");
    }

    #[test]
    fn no_class_is_larger_than_the_memory_and_nothing_is_made_up() {
        let slow = [Class { rate: 1e-3, bytes: 900.0 * MIB, dirty_share: 0.5 }];
        for particle in 0..64 {
            let made = classes(&slow, 2_000.0, 1_024.0 * MIB, particle);
            assert_eq!(made, slow, "it was observed");
            let [made] = classes(&slow, 5.0, 1_024.0 * MIB, particle)[..] else { panic!("one class") };
            assert!(made.bytes <= 1_024.0 * MIB && made.rate <= 0.2 && made.rate >= 1e-3, "{made:?}");
            assert!((made.dirty_share - 0.5).abs() < 1e-12);
        }
        assert_eq!(classes(&[], 5.0, MIB, 1), []);
    }
}
