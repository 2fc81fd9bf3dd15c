//! How far a series of runs has come, and how long the others take: by the mean of those before, and by nothing else.

use std::time::{Duration, Instant};

/// A series of runs that has begun.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    began: Instant,
    runs: usize,
}

impl Pace {
    /// Begins a series.
    #[must_use]
    pub fn new(runs: usize) -> Self {
        Self { began: Instant::now(), runs }
    }

    /// The label of the run that begins now, counted from 1: `[3/10, 2 min left]`.
    #[must_use]
    pub fn before(&self, number: usize) -> String {
        label(number, self.runs, self.began.elapsed())
    }

    /// The sentence for a series that is stopped in the middle of this run.
    #[must_use]
    pub fn stopped_before(&self, number: usize, unit: &str) -> String {
        format!("PARTIAL: stopped after {} of {} {unit}", number.saturating_sub(1), self.runs)
    }
}

fn label(number: usize, runs: usize, elapsed: Duration) -> String {
    let done = u32::try_from(number.saturating_sub(1)).unwrap_or(u32::MAX);
    let left = u32::try_from(runs.saturating_sub(number) + 1).unwrap_or(u32::MAX);
    match elapsed.checked_div(done).map(|mean| mean.saturating_mul(left)) {
        None => format!("[{number}/{runs}]"),
        Some(time) if time < Duration::from_mins(2) => {
            format!("[{number}/{runs}, {} s left]", time.as_secs())
        }
        Some(time) => format!("[{number}/{runs}, {} min left]", time.as_secs() / 60),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::label;

    #[test]
    fn what_is_left_follows_from_the_mean_of_the_runs_before() {
        assert_eq!(label(1, 10, Duration::from_secs(3)), "[1/10]", "nothing is known of the first");
        assert_eq!(label(3, 10, Duration::from_secs(20)), "[3/10, 80 s left]");
        assert_eq!(label(3, 10, Duration::from_mins(1)), "[3/10, 4 min left]");
        assert_eq!(label(10, 10, Duration::from_secs(90)), "[10/10, 10 s left]");
    }
}
