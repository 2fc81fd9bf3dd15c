//! One number for a migration, to compare paths by: time, and what the guest lost, at the intent's exchange rate.

use whimbrel_policy::Intent;

use crate::migration::Run;

/// Total time plus the lost time at the intent's rate; for a migration that misses its intent twice the deadline (or the
/// total time, if that is longer) in place of its own time. A guest loses its downtime at least: an idle one, which has no
/// work to lose, is not reachable either.
#[must_use]
pub fn cost_ms(run: &Run, intent: &Intent) -> u64 {
    let lost_ms = run.lost_ms.max(run.downtime_ms.unwrap_or(0));
    let price_ms = u128::from(lost_ms) * u128::from(intent.downtime_second_is_worth_ms) / 1000;
    let missed_ms = intent.finish_within_ms.map_or(run.total_ms, |end_ms| end_ms.saturating_mul(2));
    let time_ms = if run.meets_intent { run.total_ms } else { missed_ms.max(run.total_ms) };
    time_ms.saturating_add(u64::try_from(price_ms).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::migration::Ended;

    #[test]
    fn a_second_of_downtime_is_worth_its_rate() {
        let intent = Intent::default();
        let met = Run {
            ended: Ended::Completed,
            meets_intent: true,
            total_ms: 80_000,
            downtime_ms: Some(500),
            sent_bytes: 0,
            lost_ms: 500,
            syncs: 9,
            actions: 0,
        };
        assert_eq!(cost_ms(&met, &intent), 110_000);
        assert_eq!(
            cost_ms(&Run { lost_ms: 0, ..met }, &intent),
            110_000,
            "an idle guest is not reachable either"
        );
        let missed = Run { meets_intent: false, ..met };
        assert_eq!(cost_ms(&missed, &intent), 1_230_000);
        let capped =
            Run { ended: Ended::Capped, total_ms: 1_800_000, downtime_ms: None, lost_ms: 0, ..missed };
        assert_eq!(cost_ms(&capped, &intent), 1_800_000);
    }
}
