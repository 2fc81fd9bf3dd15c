//! The fixed part of the downtime between two hosts, learned from completed migrations for the forecasts of later ones.
//!
//! It lasts as long as the process. No decision about a guest depends on it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use whimbrel_policy::FixedDowntime;
use whimbrel_policy::follow::{Known, Lesson};

/// Pairs of hosts that are remembered. Requests can name many destinations.
const MOST_PAIRS: usize = 1_024;

/// The lessons so far. Clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct Lessons(Arc<Mutex<HashMap<(String, String), FixedDowntime>>>);

impl Lessons {
    /// The knowledge before a migration between these hosts.
    pub(super) fn known(&self, source: &str, destination: &str) -> Known {
        let learned = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let fixed = learned.get(&(source.to_owned(), destination.to_owned())).cloned();
        Known { fixed: fixed.unwrap_or_default(), ..Known::default() }
    }

    /// Takes the evidence of a completed migration between these hosts.
    pub(super) fn learn(&self, source: &str, destination: &str, lesson: Lesson) {
        let mut learned = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let pair = (source.to_owned(), destination.to_owned());
        if learned.len() >= MOST_PAIRS && !learned.contains_key(&pair) {
            return;
        }
        let Lesson { downtime_ms, last_pass_bytes, bytes_per_second } = lesson;
        learned.entry(pair).or_default().learn(downtime_ms, last_pass_bytes, bytes_per_second);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_of_hosts_learns_from_its_own_migrations_only() {
        let lessons = Lessons::default();
        let lesson = Lesson { downtime_ms: 500, last_pass_bytes: 100 << 20, bytes_per_second: 1_000 << 20 };
        (0..4).for_each(|_| lessons.learn("a", "b", lesson));
        assert_eq!(lessons.known("a", "b").fixed.quantile_ms(50), 400, "100 ms were memory");
        assert_eq!(lessons.known("b", "a"), Known::default());
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let lessons = Lessons::default();
        let lesson = Lesson { downtime_ms: 500, last_pass_bytes: 0, bytes_per_second: 1 };
        (0..=MOST_PAIRS).for_each(|number| lessons.learn("a", &number.to_string(), lesson));
        assert_eq!(lessons.0.lock().unwrap().len(), MOST_PAIRS);
    }
}
