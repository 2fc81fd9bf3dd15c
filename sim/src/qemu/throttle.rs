//! Auto-converge: when QEMU slows the guest down, how far, and what the guest's writer loses by it.
//!
//! It sees no more than QEMU does, a period's dirtied and sent bytes, and must never look at how far the migration
//! really is.

/// Twice the dirtied bytes above the sent ones means that too much was dirtied: a threshold of 50 %.
const DIRTIED_FACTOR: u64 = 2;
/// So many periods above the threshold make the next step; they need not follow each other.
const HIGH_PERIODS: u32 = 2;
const FIRST_PERCENT: u64 = 20;
const STEP_PERCENT: u64 = 10;
const MOST_PERCENT: u64 = 99;
/// A throttled virtual CPU runs this long, then sleeps until the percentage is reached.
const SLICE_NS: u64 = 10_000_000;

/// The throttle and what leads to its next step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Throttle {
    percent: u64,
    high_periods: u32,
    sent_before_bytes: u64,
    /// How far the writer's own time lies behind.
    lost_ns: u64,
}

impl Throttle {
    /// The part of its time that the guest is kept from running; none before the first step.
    pub(super) fn percent(&self) -> Option<u64> {
        (self.percent > 0).then_some(self.percent)
    }

    /// A period of more than a second ended at a sync. `sent_bytes` counts from the start of the migration.
    pub(super) fn period_ended(&mut self, dirtied_bytes: u64, sent_bytes: u64) {
        let sent_in_period = sent_bytes - self.sent_before_bytes;
        self.sent_before_bytes = sent_bytes;
        if dirtied_bytes.saturating_mul(DIRTIED_FACTOR) <= sent_in_period {
            return;
        }
        self.high_periods += 1;
        if self.high_periods == HIGH_PERIODS {
            self.high_periods = 0;
            let next = if self.percent == 0 { FIRST_PERCENT } else { self.percent + STEP_PERCENT };
            self.percent = next.min(MOST_PERCENT);
        }
    }

    /// The writer's own time from one instant to another, with the throttle as it is, for a guest that makes up for
    /// what it misses in sleeps of up to `catches_up_ns`.
    pub(super) fn writers_time(&mut self, (from_ns, to_ns): (u64, u64), catches_up_ns: u64) -> (u64, u64) {
        let begins_ns = from_ns - self.lost_ns;
        let sleep_ns = SLICE_NS * self.percent / (100 - self.percent);
        if sleep_ns > catches_up_ns {
            // A percentage of the time first, so that no instant is too late to be multiplied.
            let length_ns = to_ns - from_ns;
            self.lost_ns += length_ns / 100 * self.percent + length_ns % 100 * self.percent / 100;
        }
        (begins_ns, to_ns - self.lost_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_second_high_period_is_a_step() {
        let mut throttle = Throttle::default();
        let mut seen = Vec::new();
        for period in 1..=22 {
            throttle.period_ended(51, period * 100);
            seen.push(throttle.percent);
        }
        assert_eq!(
            seen,
            [0, 20, 20, 30, 30, 40, 40, 50, 50, 60, 60, 70, 70, 80, 80, 90, 90, 99, 99, 99, 99, 99]
        );
    }

    #[test]
    fn half_is_not_too_much_and_good_periods_are_no_pardon() {
        let mut throttle = Throttle::default();
        throttle.period_ended(50, 100);
        throttle.period_ended(51, 200);
        throttle.period_ended(50, 300);
        assert_eq!(throttle.percent(), None);
        throttle.period_ended(51, 400);
        assert_eq!(throttle.percent(), Some(20));
    }

    #[test]
    fn a_paced_writer_loses_nothing_while_it_can_catch_up() {
        let throttled = |percent| Throttle { percent, ..Throttle::default() };
        // At 60 % the sleeps are of 15 ms, at 70 % of 23.
        assert_eq!(throttled(60).writers_time((0, 1000), 20_000_000), (0, 1000));
        assert_eq!(throttled(70).writers_time((0, 1000), 20_000_000), (0, 300));
        let mut busy = throttled(20);
        assert_eq!(busy.writers_time((1000, 2000), 0), (1000, 1800));
        assert_eq!(busy.writers_time((2000, 2100), 0), (1800, 1880));
    }
}
