//! Auto-converge: when QEMU slows the guest down, how far, and what a writer loses by it.
//!
//! It sees no more than QEMU does, a period's dirtied and sent bytes, and must never look at how far the migration
//! really is. The rules are those of QEMU's `mig_throttle_guest_down` and `cpu_throttle_thread`.

use super::config::AutoConverge;

/// So many periods above the threshold make the next step; they need not follow each other.
const HIGH_PERIODS: u32 = 2;
/// A throttled virtual CPU runs this long, then sleeps until the percentage is reached.
const SLICE_NS: u64 = 10_000_000;

/// The throttle and what leads to its next step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Throttle {
    percent: u64,
    high_periods: u32,
    sent_before_bytes: u64,
}

impl Throttle {
    /// The part of its time that the guest is kept from running; none before the first step.
    pub(super) fn percent(&self) -> Option<u64> {
        (self.percent > 0).then_some(self.percent)
    }

    /// A period of more than a second ended at a sync. `sent_bytes` counts from the start of the migration.
    pub(super) fn period_ended(&mut self, rules: &AutoConverge, dirtied_bytes: u64, sent_bytes: u64) {
        let sent_in_period = sent_bytes - self.sent_before_bytes;
        self.sent_before_bytes = sent_bytes;
        let threshold_bytes = percent_of(rules.trigger_threshold_percent, sent_in_period);
        if dirtied_bytes <= threshold_bytes {
            return;
        }
        self.high_periods += 1;
        if self.high_periods == HIGH_PERIODS {
            self.high_periods = 0;
            self.percent = self.next_percent(rules, dirtied_bytes, threshold_bytes);
        }
    }

    fn next_percent(&self, rules: &AutoConverge, dirtied_bytes: u64, threshold_bytes: u64) -> u64 {
        let most = rules.max_percent.min(99);
        if self.percent == 0 {
            return rules.initial_percent.min(most);
        }
        let mut increment = rules.increment_percent;
        if rules.tailslow {
            // Never more than what would bring the dirty rate down to the threshold by itself.
            let cpu_now = 100 - self.percent;
            let cpu_ideal =
                u128::from(cpu_now) * u128::from(threshold_bytes) / u128::from(dirtied_bytes.max(1));
            increment = increment.min(cpu_now - u64::try_from(cpu_ideal).unwrap_or(cpu_now));
        }
        self.percent.saturating_add(increment).min(most)
    }

    /// How far a writer's own time gets in so many nanoseconds, if it makes up for what it misses in sleeps of up to
    /// `catches_up_ns`.
    pub(super) fn progress_ns(&self, ns: u64, catches_up_ns: u64) -> u64 {
        let sleep_ns = SLICE_NS * self.percent / (100 - self.percent);
        if sleep_ns <= catches_up_ns { ns } else { ns - percent_of(self.percent, ns) }
    }
}

/// A percentage first of the hundreds, so that nothing is too large to be multiplied.
fn percent_of(percent: u64, of: u64) -> u64 {
    of / 100 * percent + of % 100 * percent / 100
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(rules: AutoConverge, dirtied_bytes: u64, periods: u64) -> Vec<u64> {
        let mut throttle = Throttle::default();
        let mut seen = Vec::new();
        for period in 1..=periods {
            throttle.period_ended(&rules, dirtied_bytes, period * 100);
            seen.extend(throttle.percent());
        }
        seen.dedup();
        seen
    }

    #[test]
    fn every_second_high_period_is_a_step() {
        let mut throttle = Throttle::default();
        let mut seen = Vec::new();
        for period in 1..=22 {
            throttle.period_ended(&AutoConverge::default(), 51, period * 100);
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
        for (dirtied, period) in [(50, 1), (51, 2), (50, 3)] {
            throttle.period_ended(&AutoConverge::default(), dirtied, period * 100);
        }
        assert_eq!(throttle.percent(), None);
        throttle.period_ended(&AutoConverge::default(), 51, 400);
        assert_eq!(throttle.percent(), Some(20));
    }

    #[test]
    fn parameters_are_followed() {
        let rules = AutoConverge {
            initial_percent: 35,
            increment_percent: 30,
            max_percent: 80,
            ..AutoConverge::default()
        };
        assert_eq!(steps(rules, 60, 12), [35, 65, 80]);
        let patient = AutoConverge { trigger_threshold_percent: 70, ..AutoConverge::default() };
        assert_eq!(steps(patient, 70, 12), [0; 0]);
        // 25 % more than the threshold: 20 % is the first step, then a fifth of the CPU that is left.
        let tailslow = AutoConverge { tailslow: true, increment_percent: 50, ..AutoConverge::default() };
        assert_eq!(steps(tailslow, 63, 6), [20, 37, 50]);
    }

    #[test]
    fn a_paced_writer_loses_nothing_while_it_can_catch_up() {
        let throttled = |percent| Throttle { percent, ..Throttle::default() };
        // At 60 % the sleeps are of 15 ms, at 70 % of 23.
        assert_eq!(throttled(60).progress_ns(1000, 20_000_000), 1000);
        assert_eq!(throttled(70).progress_ns(1000, 20_000_000), 300);
        assert_eq!(throttled(20).progress_ns(1000, 0), 800);
        assert_eq!(throttled(0).progress_ns(u64::MAX, 0), u64::MAX);
    }
}
