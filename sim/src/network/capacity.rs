//! How many bytes a second a network card or a shared segment carries, over time.
//!
//! A capacity is constant between steps, so that nothing happens between two instants that
//! [`next_change_after`](Capacity::next_change_after) names.

use std::fmt;

/// Bytes a second as a function of the simulation's time.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Capacity {
    first_bytes_per_second: u64,
    /// Later values in order of time; each differs from the one before it.
    steps: Vec<Step>,
}

/// From an instant on, this many bytes a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Step {
    /// The instant, in the simulation's nanoseconds.
    pub at_ns: u64,
    /// What is carried from then on; zero is an outage.
    pub bytes_per_second: u64,
}

/// Why a list of steps is no capacity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TraceError {
    /// Nothing says what is carried at the beginning.
    NoBeginning,
    /// The step of this index, counted from zero, is not later than the one before it.
    NotLater {
        /// Which one.
        index: usize,
    },
}

impl Capacity {
    /// The same at all times.
    #[must_use]
    pub const fn constant(bytes_per_second: u64) -> Self {
        Self { first_bytes_per_second: bytes_per_second, steps: Vec::new() }
    }

    /// What was recorded or made up, step after step; the last value stays.
    ///
    /// # Errors
    ///
    /// [`TraceError`] unless the first step is at zero and each one is later than the one before it.
    pub fn from_trace(trace: &[Step]) -> Result<Self, TraceError> {
        let Some((first, rest)) = trace.split_first().filter(|(first, _)| first.at_ns == 0) else {
            return Err(TraceError::NoBeginning);
        };
        let unordered = trace.windows(2).position(|pair| pair.is_sorted_by(|a, b| a.at_ns >= b.at_ns));
        if let Some(index) = unordered {
            return Err(TraceError::NotLater { index: index + 1 });
        }
        Ok(Self::of(first.bytes_per_second, rest))
    }

    /// The same with nothing carried in `from_ns..until_ns`; an empty range changes nothing.
    #[must_use]
    pub fn with_outage(&self, from_ns: u64, until_ns: u64) -> Self {
        if from_ns >= until_ns {
            return self.clone();
        }
        let first = if from_ns == 0 { 0 } else { self.first_bytes_per_second };
        let before = self.steps.iter().filter(|step| step.at_ns < from_ns).copied();
        let after = self.steps.iter().filter(|step| step.at_ns > until_ns).copied();
        let outage = Step { at_ns: from_ns, bytes_per_second: 0 };
        let end = Step { at_ns: until_ns, bytes_per_second: self.at(until_ns) };
        let steps: Vec<Step> = before.chain([outage, end]).chain(after).collect();
        Self::of(first, &steps)
    }

    /// Bytes a second at an instant.
    #[must_use]
    pub fn at(&self, now_ns: u64) -> u64 {
        let past = self.steps.partition_point(|step| step.at_ns <= now_ns);
        let last = past.checked_sub(1).and_then(|index| self.steps.get(index));
        last.map_or(self.first_bytes_per_second, |step| step.bytes_per_second)
    }

    /// The first instant after this one at which another value holds.
    #[must_use]
    pub fn next_change_after(&self, now_ns: u64) -> Option<u64> {
        let past = self.steps.partition_point(|step| step.at_ns <= now_ns);
        self.steps.get(past).map(|step| step.at_ns)
    }

    /// Drops the steps that change nothing, which would wake a simulator for nothing.
    fn of(first_bytes_per_second: u64, rest: &[Step]) -> Self {
        let mut last = first_bytes_per_second;
        let changes = |step: &&Step| std::mem::replace(&mut last, step.bytes_per_second) != last;
        let steps = rest.iter().filter(changes).copied().collect();
        Self { first_bytes_per_second, steps }
    }
}

impl fmt::Display for TraceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoBeginning => {
                f.write_str("the trace does not begin at 0 ns; say there what is carried at first")
            }
            Self::NotLater { index } => write!(
                f,
                "step {index} of the trace, counted from 0, is not later than the one before it; sort the steps by time"
            ),
        }
    }
}

impl std::error::Error for TraceError {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Capacity, Step, TraceError};

    fn steps(steps: &[(u64, u64)]) -> Vec<Step> {
        steps.iter().map(|&(at_ns, bytes_per_second)| Step { at_ns, bytes_per_second }).collect()
    }

    #[test]
    fn a_trace_holds_from_step_to_step() {
        let capacity = Capacity::from_trace(&steps(&[(0, 5), (10, 7), (20, 7), (30, 0)])).unwrap();
        let values: Vec<u64> = [0, 9, 10, 29, 30, u64::MAX].map(|now| capacity.at(now)).to_vec();
        assert_eq!(values, [5, 5, 7, 7, 0, 0]);
        // The step at 20 changes nothing and causes no wake-up.
        let changes: Vec<Option<u64>> =
            [0, 9, 10, 30].map(|now| capacity.next_change_after(now)).into_iter().collect();
        assert_eq!(changes, [Some(10), Some(10), Some(30), None]);
    }

    #[test]
    fn what_is_no_trace_is_refused_with_its_place() {
        assert_eq!(Capacity::from_trace(&[]), Err(TraceError::NoBeginning));
        assert_eq!(Capacity::from_trace(&steps(&[(1, 5)])), Err(TraceError::NoBeginning));
        let unordered = Capacity::from_trace(&steps(&[(0, 5), (9, 1), (9, 2)]));
        assert_eq!(unordered, Err(TraceError::NotLater { index: 2 }));
        let backwards = Capacity::from_trace(&steps(&[(0, 5), (9, 1), (8, 2), (7, 1)]));
        assert_eq!(backwards, Err(TraceError::NotLater { index: 2 }));
    }

    #[test]
    fn an_outage_is_cut_out_of_what_there_was() {
        let capacity = Capacity::from_trace(&steps(&[(0, 5), (10, 7), (20, 9)])).unwrap();
        let cut = |from, until| capacity.with_outage(from, until);
        let values = |capacity: &Capacity| [0, 9, 10, 14, 15, 19, 20, 25].map(|now| capacity.at(now));
        assert_eq!(values(&cut(9, 15)), [5, 0, 0, 0, 7, 7, 9, 9]);
        assert_eq!(values(&cut(0, 10)), [0, 0, 7, 7, 7, 7, 9, 9]);
        assert_eq!(values(&cut(10, 20)), [5, 5, 0, 0, 0, 0, 9, 9]);
        assert_eq!(values(&cut(14, u64::MAX)), [5, 5, 7, 0, 0, 0, 0, 0]);
        assert_eq!(cut(14, 14), capacity);
        assert_eq!(Capacity::constant(0).with_outage(3, 5).next_change_after(0), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// Nothing in the outage, all as before outside of it, and a change exactly where the value differs.
        #[test]
        fn an_outage_changes_nothing_outside_of_it(
            values in prop::collection::vec((1..5_u64, 0..3_u64), 1..8),
            (from_ns, until_ns) in (0..30_u64, 0..30_u64),
        ) {
            let (mut at_ns, mut trace) = (0, Vec::new());
            for (later_ns, bytes_per_second) in values {
                trace.push(Step { at_ns, bytes_per_second });
                at_ns += later_ns;
            }
            let capacity = Capacity::from_trace(&trace).unwrap();
            let cut = capacity.with_outage(from_ns, until_ns);
            for now_ns in 0..40 {
                let out = (from_ns..until_ns).contains(&now_ns);
                prop_assert_eq!(cut.at(now_ns), if out { 0 } else { capacity.at(now_ns) });
                let changed = cut.at(now_ns + 1) != cut.at(now_ns);
                prop_assert_eq!(cut.next_change_after(now_ns) == Some(now_ns + 1), changed);
            }
        }
    }
}
