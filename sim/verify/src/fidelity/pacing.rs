//! When the writing guest's bursts fall due, as a rate over time.
//!
//! Bursts are short and numerous enough to be replaced by a rate: a sync sees hundreds of them or none. Nothing here
//! may know what was recorded of a migration itself; speeds are those from before it.

use std::num::NonZeroU64;

use whimbrel_sim::guest::Pace;

/// Fastest guest that is believed: what the engine bounds a writer by.
const MOST_WRITES_PER_S: u64 = 1_000_000_000;
/// More changes of pace than this in one migration are not laid out one by one.
const MOST_STEPS: usize = 1 << 16;
const NS_PER_MS: u64 = 1_000_000;

/// What was known of the guest's clock and speed before the migration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Speeds {
    /// Ticks a second of the counter that paces it.
    pub(super) tsc_hz: u64,
    /// Writes a second that were measured before the migration.
    pub(super) measured_writes_per_second: u64,
    /// Parts in a thousand of the asked rate that it is to have; 1000 but where the edge is looked for.
    pub(super) rate_permille: u64,
    /// Whether it is the guest of the older recordings.
    pub(super) is_old_guest: bool,
}

/// Bursts and when they are due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pacing {
    /// Writes of a burst.
    pub(super) burst_writes: u64,
    /// Ticks between bursts, each from an instant (ms) of the guest's time on; the first is 0. No ticks: as fast as it
    /// can.
    pub(super) phases: Vec<(u64, u64)>,
    /// Activity and rest in ms; both zero without.
    pub(super) on_ms: u64,
    pub(super) off_ms: u64,
    /// Processors that take turns.
    pub(super) processors: u64,
}

impl Pacing {
    /// One processor's rate over the guest's time, laid out as far as `lasts_ms`.
    pub(super) fn pace(&self, speeds: Speeds, lasts_ms: u64) -> Result<Pace, String> {
        let phases: Vec<(u64, u64)> = self
            .phases
            .iter()
            .map(|(from_ms, ticks)| Ok((*from_ms, self.writes_per_second(*ticks, speeds)?)))
            .collect::<Result<_, String>>()?;
        let in_ns = |ms: u64| ms.saturating_mul(NS_PER_MS);
        if self.on_ms == 0 {
            return Ok(Pace::phases(phases.into_iter().map(|(from_ms, rate)| (in_ns(from_ms), rate))));
        }
        if let [(_, only)] = phases.as_slice() {
            return Ok(Pace::bursts(*only, in_ns(self.on_ms), in_ns(self.off_ms)));
        }
        let turns = lasts_ms.div_ceil(self.on_ms + self.off_ms);
        if usize::try_from(turns).is_ok_and(|turns| turns <= MOST_STEPS) {
            return Ok(Pace::phases(self.laid_out(&phases, turns)));
        }
        Err(format!("the guest comes and goes {turns} times in {lasts_ms} ms, more than {MOST_STEPS}"))
    }

    /// Stretches of activity, each at the rate of its phase.
    fn laid_out(&self, phases: &[(u64, u64)], turns: u64) -> Vec<(u64, u64)> {
        let mut steps = Vec::new();
        for turn in 0..turns {
            let begins_ms = turn * (self.on_ms + self.off_ms);
            let ends_ms = begins_ms + self.on_ms;
            let at_first = phases.iter().rev().find(|(from_ms, _)| *from_ms <= begins_ms);
            steps.push((begins_ms * NS_PER_MS, at_first.map_or(0, |(_, rate)| *rate)));
            let within = phases.iter().filter(|(from_ms, _)| (begins_ms + 1..ends_ms).contains(from_ms));
            steps.extend(within.map(|(from_ms, rate)| (from_ms * NS_PER_MS, *rate)));
            steps.push((ends_ms * NS_PER_MS, 0));
        }
        steps
    }

    fn writes_per_second(&self, ticks: u64, speeds: Speeds) -> Result<u64, String> {
        let rate = match NonZeroU64::new(ticks) {
            None => speeds.measured_writes_per_second,
            Some(ticks) => {
                let asked =
                    u128::from(self.burst_writes) * u128::from(speeds.tsc_hz) / u128::from(ticks.get());
                u64::try_from(asked).unwrap_or(u64::MAX)
            }
        };
        if rate > MOST_WRITES_PER_S {
            return Err(format!("the guest writes more than {MOST_WRITES_PER_S} times a second"));
        }
        Ok(rate * speeds.rate_permille / 1000 / self.processors.max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPEEDS: Speeds = Speeds {
        tsc_hz: 2_000_000_000,
        measured_writes_per_second: 70,
        rate_permille: 1000,
        is_old_guest: false,
    };

    fn pacing() -> Pacing {
        Pacing { burst_writes: 2, phases: vec![(0, 4_000_000)], on_ms: 0, off_ms: 0, processors: 1 }
    }

    fn by(pace: &Pace, ms: u64) -> u128 {
        pace.writes_by(ms * NS_PER_MS) / 1_000_000_000
    }

    #[test]
    fn phases_change_the_rate_and_no_ticks_are_as_fast_as_was_measured() {
        let phases = vec![(0, 4_000_000), (10, 2_000_000), (20, 0)];
        let pace = Pacing { phases, ..pacing() }.pace(SPEEDS, 1000).unwrap();
        assert_eq!([10, 20, 1020].map(|ms| by(&pace, ms)), [10, 30, 100]);
        let halves = Pacing { processors: 2, ..pacing() }.pace(SPEEDS, 1000).unwrap();
        assert_eq!(by(&halves, 1000), 500);
        let more = Speeds { rate_permille: 1050, ..SPEEDS };
        assert_eq!(by(&pacing().pace(more, 1000).unwrap(), 1000), 1050);
    }

    #[test]
    fn activity_and_phases_go_together() {
        let phases = vec![(0, 4_000_000), (15, 2_000_000)];
        let pace = Pacing { phases, on_ms: 10, off_ms: 10, ..pacing() }.pace(SPEEDS, 60).unwrap();
        assert_eq!([10, 20, 25, 30, 40, 50].map(|ms| by(&pace, ms)), [10, 10, 20, 30, 30, 50]);
        let alone = Pacing { on_ms: 10, off_ms: 10, ..pacing() }.pace(SPEEDS, 60).unwrap();
        assert_eq!([10, 20, 30].map(|ms| by(&alone, ms)), [10, 10, 20]);
    }

    #[test]
    fn what_is_too_much_is_refused() {
        let too_fast = Pacing { phases: vec![(0, 1)], ..pacing() };
        assert!(too_fast.pace(SPEEDS, 1000).unwrap_err().contains("times a second"));
        let too_often =
            Pacing { phases: vec![(0, 4_000_000), (5, 1_000_000)], on_ms: 1, off_ms: 1, ..pacing() };
        assert!(too_often.pace(SPEEDS, 86_400_000).unwrap_err().contains("comes and goes"));
    }
}
