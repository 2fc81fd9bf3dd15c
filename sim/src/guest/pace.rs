//! How fast a writer writes over time, as the number of writes that it has done by an instant.
//!
//! The number is exact however finely time is cut, and it is a function of the instant alone: nothing is remembered
//! from one question to the next.

use std::num::NonZeroU64;

/// Units of a write count: how many of them are one write.
pub(crate) const WRITE: u128 = 1_000_000_000;

/// A write rate over time: constant between given instants, and repeated after a period if it has one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pace {
    steps: Vec<Step>,
    repeats_after_ns: Option<NonZeroU64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Step {
    from_ns: u64,
    writes_per_second: u64,
    /// Writes before it began, in units of 10^-9.
    before: u128,
}

impl Pace {
    /// The same rate for ever.
    #[must_use]
    pub fn steady(writes_per_second: u64) -> Self {
        Self::phases([(0, writes_per_second)])
    }

    /// Rates, each from an instant of the writer's time on; nothing is written before the first. Phases out of order
    /// are put in order, and of several at one instant the last counts.
    #[must_use]
    pub fn phases(phases: impl IntoIterator<Item = (u64, u64)>) -> Self {
        let mut phases: Vec<(u64, u64)> = phases.into_iter().collect();
        phases.sort_by_key(|(from_ns, _)| *from_ns);
        let mut steps: Vec<Step> = Vec::with_capacity(phases.len());
        for (from_ns, writes_per_second) in phases {
            let before = steps.last().map_or(0, |step| step.writes_by(from_ns));
            steps.push(Step { from_ns, writes_per_second, before });
        }
        Self { steps, repeats_after_ns: None }
    }

    /// The phases of the first `period_ns` again and again; what lies beyond them is left out.
    #[must_use]
    pub fn repeated(mut self, period_ns: NonZeroU64) -> Self {
        self.steps.retain(|step| step.from_ns < period_ns.get());
        self.repeats_after_ns = Some(period_ns);
        self
    }

    /// Bursts of `on_ns` at one rate with pauses of `off_ns` between them, beginning with a burst.
    #[must_use]
    pub fn bursts(writes_per_second: u64, on_ns: u64, off_ns: u64) -> Self {
        match NonZeroU64::new(on_ns.saturating_add(off_ns)) {
            Some(period_ns) => Self::phases([(0, writes_per_second), (on_ns, 0)]).repeated(period_ns),
            None => Self::steady(0),
        }
    }

    /// The highest rate, in writes a second.
    #[must_use]
    pub fn most_writes_per_second(&self) -> u64 {
        self.steps.iter().map(|step| step.writes_per_second).max().unwrap_or(0)
    }

    /// After how long the rates repeat, if they do.
    #[must_use]
    pub fn period_ns(&self) -> Option<u64> {
        self.repeats_after_ns.map(NonZeroU64::get)
    }

    /// Writes done by an instant of the writer's time, in units of 10^-9.
    #[must_use]
    pub fn writes_by(&self, ns: u64) -> u128 {
        let Some(period_ns) = self.repeats_after_ns else { return self.within(ns) };
        let whole = u128::from(ns / period_ns);
        whole * self.within(period_ns.get()) + self.within(ns % period_ns)
    }

    fn within(&self, ns: u64) -> u128 {
        match self.steps.as_slice() {
            [only] => only.writes_by(ns),
            steps => {
                let begun = steps.partition_point(|step| step.from_ns <= ns);
                begun.checked_sub(1).and_then(|last| steps.get(last)).map_or(0, |step| step.writes_by(ns))
            }
        }
    }
}

impl Step {
    fn writes_by(&self, ns: u64) -> u128 {
        self.before + u128::from(ns.saturating_sub(self.from_ns)) * u128::from(self.writes_per_second)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_follow_each_other() {
        let pace = Pace::phases([(10, 2), (20, 0), (30, 5)]);
        let by = |ns| pace.writes_by(ns);
        assert_eq!([0, 10, 15, 20, 25, 30, 31].map(by), [0, 0, 10, 20, 20, 20, 25]);
        assert_eq!(pace, Pace::phases([(30, 5), (10, 2), (20, 0)]));
    }

    #[test]
    fn bursts_repeat() {
        let pace = Pace::bursts(3, 10, 5);
        let by = |ns| pace.writes_by(ns);
        assert_eq!([0, 5, 10, 15, 20, 30, 1500].map(by), [0, 15, 30, 30, 45, 60, 3000]);
        assert_eq!((pace.most_writes_per_second(), pace.period_ns()), (3, Some(15)));
        assert_eq!(Pace::bursts(3, 0, 0).writes_by(u64::MAX), 0);
        assert_eq!(Pace::bursts(3, 10, 0).writes_by(25), 75);
    }

    #[test]
    fn the_longest_time_at_the_highest_rate_does_not_overflow() {
        assert_eq!(Pace::steady(u64::MAX).writes_by(u64::MAX), u128::from(u64::MAX) * u128::from(u64::MAX));
    }
}
