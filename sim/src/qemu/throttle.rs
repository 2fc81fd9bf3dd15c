//! Auto-converge: when QEMU slows the guest down, how far, and what a writer loses by it.
//!
//! It sees no more than QEMU does, a period's dirtied and sent bytes, and must never use how far the migration
//! really is. The rules are those of QEMU's `migration_trigger_throttle`, `mig_throttle_guest_down` and
//! `cpu_throttle_thread`.

use super::config::AutoConverge;
use crate::guest::{Progress, SPEED_ONE, Stretch};

/// This many periods above the threshold make the next step; they need not follow each other.
const HIGH_PERIODS: u32 = 2;
/// A throttled virtual CPU runs this long, then sleeps until the percentage is reached.
const SLICE_NS: u64 = 10_000_000;

/// Finds out that too much is dirtied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Trigger {
    high_periods: u32,
    sent_before_bytes: u64,
}

/// A period in which too much was dirtied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Excess {
    dirtied_bytes: u64,
    threshold_bytes: u64,
}

/// How far the guest is slowed down: the part of its time that it is kept from running, in percent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Throttle {
    percent: u64,
    /// When the percentage was set, with which the first sleep begins.
    since_ns: u64,
}

impl Trigger {
    /// A period of more than a second ended at a sync. `sent_bytes` counts from the start of the migration. Returns
    /// when it is the second in which more was dirtied than the threshold's part of what was sent.
    pub(super) fn period_ended(
        &mut self,
        threshold_percent: u64,
        dirtied_bytes: u64,
        sent_bytes: u64,
    ) -> Option<Excess> {
        let sent_in_period = sent_bytes - self.sent_before_bytes;
        self.sent_before_bytes = sent_bytes;
        let threshold_bytes = percent_of(threshold_percent, sent_in_period);
        if dirtied_bytes <= threshold_bytes {
            return None;
        }
        self.high_periods += 1;
        if self.high_periods < HIGH_PERIODS {
            return None;
        }
        self.high_periods = 0;
        Some(Excess { dirtied_bytes, threshold_bytes })
    }
}

impl Throttle {
    /// The part of its time that the guest is kept from running; none before the first step.
    pub(super) fn percent(&self) -> Option<u64> {
        (self.percent > 0).then_some(self.percent)
    }

    /// When the virtual CPUs wake up that sleep at an instant, if they do.
    pub(super) fn asleep_until_ns(&self, now_ns: u64) -> Option<u64> {
        let sleep_ns = self.percent().map(|_| self.sleep_ns())?;
        let within_ns = now_ns.saturating_sub(self.since_ns) % (sleep_ns + SLICE_NS);
        (within_ns < sleep_ns).then(|| now_ns.saturating_add(sleep_ns - within_ns))
    }

    /// A percentage that another than QEMU decided.
    pub(super) fn set(&mut self, percent: u64, now_ns: u64) {
        (self.percent, self.since_ns) = (percent.min(99), now_ns);
    }

    /// The next step.
    pub(super) fn step(&mut self, rules: &AutoConverge, excess: Excess, now_ns: u64) {
        self.since_ns = now_ns;
        let most = rules.max_percent.min(99);
        if self.percent == 0 {
            self.percent = rules.initial_percent.min(most);
            return;
        }
        let mut increment = rules.increment_percent;
        if rules.tailslow {
            // Never more than what would bring the dirty rate down to the threshold by itself.
            let cpu_now = 100 - self.percent;
            let ideal = u128::from(cpu_now) * u128::from(excess.threshold_bytes);
            let cpu_ideal = ideal / u128::from(excess.dirtied_bytes.max(1));
            increment = increment.min(cpu_now - u64::try_from(cpu_ideal).unwrap_or(cpu_now));
        }
        self.percent = self.percent.saturating_add(increment).min(most);
    }

    /// How far a writer's own time gets in a stretch, if it makes up for what it misses in sleeps of up to
    /// `catches_up_ns`, in the time that is left to it and not faster than its top speed. That time is counted by
    /// single sleeps, or else by their share, where nothing is in step with them.
    pub(super) fn progress(
        &self,
        stretch: Stretch,
        catches_up_ns: u64,
        top_speed: Option<u64>,
        by_slices: bool,
    ) -> Progress {
        let ns = stretch.length_ns;
        let running_ns = if by_slices {
            let to_ns = stretch.from_ns.saturating_add(ns);
            self.run_by_ns(to_ns) - self.run_by_ns(stretch.from_ns)
        } else {
            ns - percent_of(self.percent, ns)
        };
        if self.sleep_ns() > catches_up_ns {
            return Progress::of(running_ns);
        }
        let due_ns = stretch.owed_ns.saturating_add(ns);
        let made_ns = top_speed.map_or(due_ns, |speed| {
            let most_ns = u128::from(running_ns) * u128::from(speed) / u128::from(SPEED_ONE);
            u64::try_from(most_ns).unwrap_or(u64::MAX).min(due_ns)
        });
        Progress { ns: made_ns, owed_ns: due_ns - made_ns }
    }

    fn sleep_ns(&self) -> u64 {
        SLICE_NS * self.percent / (100 - self.percent)
    }

    /// How long the virtual CPUs have run from when the percentage was set until an instant.
    fn run_by_ns(&self, to_ns: u64) -> u64 {
        let (since_ns, sleep_ns) = (to_ns.saturating_sub(self.since_ns), self.sleep_ns());
        let period_ns = sleep_ns + SLICE_NS;
        since_ns / period_ns * SLICE_NS + (since_ns % period_ns).saturating_sub(sleep_ns)
    }
}

/// A percentage first of the hundreds, so that nothing is too large to be multiplied.
fn percent_of(percent: u64, of: u64) -> u64 {
    of / 100 * percent + of % 100 * percent / 100
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(rules: AutoConverge, dirtied_bytes: impl Fn(u64) -> u64, periods: u64) -> Vec<u64> {
        let (mut trigger, mut throttle) = (Trigger::default(), Throttle::default());
        let mut seen = Vec::new();
        for period in 1..=periods {
            let threshold = rules.trigger_threshold_percent;
            if let Some(excess) = trigger.period_ended(threshold, dirtied_bytes(period), period * 100) {
                throttle.step(&rules, excess, 0);
            }
            seen.push(throttle.percent);
        }
        seen
    }

    #[test]
    fn every_second_high_period_is_a_step() {
        assert_eq!(
            steps(AutoConverge::default(), |_| 51, 22),
            [0, 20, 20, 30, 30, 40, 40, 50, 50, 60, 60, 70, 70, 80, 80, 90, 90, 99, 99, 99, 99, 99]
        );
    }

    #[test]
    fn half_is_not_too_much_and_good_periods_are_no_pardon() {
        assert_eq!(steps(AutoConverge::default(), |period| 50 + (period + 1) % 2, 4), [0, 0, 0, 20]);
    }

    #[test]
    fn parameters_are_followed() {
        let rules = AutoConverge {
            initial_percent: 35,
            increment_percent: 30,
            max_percent: 80,
            ..AutoConverge::default()
        };
        assert_eq!(steps(rules, |_| 60, 7), [0, 35, 35, 65, 65, 80, 80]);
        let patient = AutoConverge { trigger_threshold_percent: 70, ..AutoConverge::default() };
        assert_eq!(steps(patient, |_| 70, 4), [0; 4]);
        // A quarter more than the threshold: 20 % is the first step, then a fifth of the CPU that is left.
        let tailslow = AutoConverge { tailslow: true, increment_percent: 50, ..AutoConverge::default() };
        assert_eq!(steps(tailslow, |_| 63, 6), [0, 20, 20, 37, 37, 50]);
    }

    #[test]
    fn cpus_sleep_and_run_in_turn() {
        let throttle = Throttle { percent: 80, since_ns: 1_000 };
        // 40 ms of sleep, 10 ms of work.
        assert_eq!(throttle.asleep_until_ns(1_000), Some(40_001_000));
        assert_eq!(throttle.asleep_until_ns(39_001_000), Some(40_001_000));
        assert_eq!(throttle.asleep_until_ns(40_001_000), None);
        assert_eq!(throttle.asleep_until_ns(51_001_000), Some(90_001_000));
        assert_eq!(Throttle::default().asleep_until_ns(7), None);
    }

    #[test]
    fn a_paced_writer_loses_nothing_while_it_can_catch_up() {
        let made = |percent, ns, catches_up_ns, top_speed| {
            let stretch = Stretch { from_ns: 0, length_ns: ns, owed_ns: 0 };
            Throttle { percent, since_ns: 0 }.progress(stretch, catches_up_ns, top_speed, false).ns
        };
        // At 60 % the sleeps are of 15 ms, at 70 % of 23.
        assert_eq!(made(60, 1000, 20_000_000, None), 1000);
        assert_eq!(made(70, 1000, 20_000_000, None), 300);
        assert_eq!(made(20, 1000, 0, None), 800);
        assert_eq!(made(0, u64::MAX, 0, None), u64::MAX);
        // One that is ten times as fast as it has to be keeps up at 80 %, and not at 99.
        let tenfold = Some(10 * SPEED_ONE);
        assert_eq!(made(80, 1000, u64::MAX, tenfold), 1000);
        assert_eq!(made(99, 1000, u64::MAX, tenfold), 100);
    }

    #[test]
    fn what_is_owed_is_made_up_for_when_there_is_time() {
        let throttle = Throttle { percent: 80, since_ns: 0 };
        let after = |from_ms: u64, ms: u64, owed_ms: u64| {
            let stretch = Stretch {
                from_ns: from_ms * 1_000_000,
                length_ns: ms * 1_000_000,
                owed_ns: owed_ms * 1_000_000,
            };
            let made = throttle.progress(stretch, u64::MAX, Some(3 * SPEED_ONE), true);
            (made.ns / 1_000_000, made.owed_ns / 1_000_000)
        };
        assert_eq!(after(0, 40, 0), (0, 40), "asleep");
        assert_eq!(after(40, 10, 40), (30, 20), "three times as fast as it has to be");
        assert_eq!(after(40, 10, 5), (15, 0));
    }
}
