//! Properties of the dirty curve: increasing, concave, bounded; exact on guests whose curve is known.

use proptest::prelude::*;
use whimbrel_policy::curve::{DirtyCurve, Interval};

const MIB: f64 = 1_048_576.0;

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a test's bytes are positive")]
fn bytes(mib: f64) -> u64 {
    (mib * MIB) as u64
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
fn mib(bytes: u64) -> f64 {
    bytes as f64 / MIB
}

/// One class of uniform writes, as (MiB, writes to a page by second).
fn uniform(classes: &[(f64, f64)], seconds: f64) -> f64 {
    classes.iter().map(|(size, rate)| size * (1.0 - (-rate * seconds).exp())).sum()
}

fn end_of_pass(guest_seconds: f64, dirtied_mib: f64) -> Interval {
    Interval { guest_seconds, dirtied_bytes: bytes(dirtied_mib), unsent_share: 0.0 }
}

#[test]
fn a_guest_of_two_classes_is_known_after_a_few_passes() {
    let guest = [(200.0, 2.0), (3_000.0, 0.01)];
    let mut curve = DirtyCurve::new(bytes(8_192.0));
    for seconds in [40.0, 12.0, 4.0, 1.5, 0.7, 0.4] {
        curve.sync(&end_of_pass(seconds, uniform(&guest, seconds)));
    }
    for seconds in [0.3, 0.5, 1.0, 3.0, 8.0, 20.0, 40.0] {
        let (got, expected) = (mib(curve.dirtied_bytes(seconds)), uniform(&guest, seconds));
        assert!((got - expected).abs() < 0.06 * expected, "{seconds} s: {got} of {expected}");
    }
}

#[test]
fn a_sync_within_a_pass_hides_what_was_not_sent() {
    // A saturated working set of 1,000 MiB in a guest of 4,000 MiB: every page of it is dirty at once. With half of the
    // first pass unsent, a sync shows only the half that was sent.
    let mut censored = DirtyCurve::new(bytes(4_000.0));
    censored.sync(&Interval { guest_seconds: 20.0, dirtied_bytes: bytes(500.0), unsent_share: 0.5 });
    let mut taken_whole = DirtyCurve::new(bytes(4_000.0));
    taken_whole.sync(&end_of_pass(20.0, 500.0));
    let (got, naive) = (mib(censored.dirtied_bytes(20.0)), mib(taken_whole.dirtied_bytes(20.0)));
    assert!((got - 1_000.0).abs() < 30.0, "{got}");
    assert!((naive - 500.0).abs() < 15.0, "{naive}");
}

#[test]
fn a_rate_is_read_with_its_interval() {
    // 100 MiB/s over one second says little about a minute: at most memory, at least what one second showed.
    let mut curve = DirtyCurve::new(bytes(16_384.0));
    curve.measured(1_000, bytes(100.0));
    assert!((mib(curve.dirtied_bytes(1.0)) - 100.0).abs() < 3.0, "{}", mib(curve.dirtied_bytes(1.0)));
    let minute = mib(curve.dirtied_bytes(60.0));
    assert!((100.0..6_000.0).contains(&minute), "{minute}");
}

#[test]
fn the_same_observations_give_the_same_bits() {
    let course = || {
        let mut curve = DirtyCurve::new(bytes(8_192.0));
        curve.measured(1_000, bytes(77.0));
        for (seconds, dirtied) in [(31.0, 900.0), (4.0, 333.0), (1.0, 120.0)] {
            curve.sync(&end_of_pass(seconds, dirtied));
        }
        curve.classes().map(|class| class.bytes.to_bits()).fold(0_u64, |sum, bits| sum.rotate_left(7) ^ bits)
    };
    assert_eq!(course(), course());
    // The same on every machine: only IEEE operations in one order, and libm.
    assert_eq!(course(), BITS, "{:#x}", course());
}

/// Of the course above.
const BITS: u64 = 0xa9fe_7b05_f83c_4c13;

proptest! {
    #[test]
    fn it_increases_and_bends_down_whatever_was_observed(
        observed in prop::collection::vec((0.05_f64..200.0, 0.0_f64..20_000.0, 0.0_f64..1.0), 1..40)
    ) {
        let mut curve = DirtyCurve::new(bytes(16_384.0));
        for (guest_seconds, dirtied_mib, unsent_share) in observed {
            curve.sync(&Interval { guest_seconds, dirtied_bytes: bytes(dirtied_mib), unsent_share });
        }
        prop_assert_eq!(curve.dirtied_bytes(0.0), 0);
        let at: Vec<f64> = (0..=40).map(|step| mib(curve.dirtied_bytes(f64::from(step) * 2.5))).collect();
        for window in at.windows(3) {
            let [a, b, c] = [0, 1, 2].map(|index| window[index]);
            prop_assert!(b >= a && c >= b, "increasing: {at:?}");
            prop_assert!(b - a >= c - b - 1e-3, "concave: {at:?}");
        }
        prop_assert!(at.iter().all(|mib| *mib <= 16_384.0));
        prop_assert!(curve.relative_error().is_finite());
    }
}

/// A guest that scans its memory dirties about as much in each second. No set of slow classes within the memory does that,
/// and a curve that was cut to the memory would explain less than half of what was measured.
#[test]
fn a_scan_that_slow_classes_of_the_memory_cannot_explain_is_explained_by_faster_ones() {
    for (memory_mib, measured) in [
        (4_096, [(1_000, 300), (2_000, 290), (5_000, 280)]),
        (4_096, [(1_000, 450), (2_000, 440), (5_000, 430)]),
        (1_024, [(1_000, 100), (2_000, 100), (5_000, 100)]),
    ] {
        let mut curve = DirtyCurve::new(memory_mib << 20);
        for (interval_ms, mib) in measured {
            curve.measured(interval_ms, mib << 20);
        }
        for (interval_ms, mib) in measured {
            let seconds = f64::from(u32::try_from(interval_ms).unwrap()) / 1000.0;
            let (fitted, wanted) = (curve.dirtied_bytes(seconds) >> 20, mib * interval_ms / 1000);
            assert!(fitted.abs_diff(wanted) * 100 <= wanted * 30, "{measured:?}, {seconds} s: {fitted} MiB");
        }
        let total: f64 = curve.classes().map(|class| class.bytes).sum();
        assert!(total <= f64::from(1 << 20) * f64::from(u32::try_from(memory_mib).unwrap()) * 1.000_001);
    }
}
