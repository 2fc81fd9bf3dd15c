//! How many attempts to connect to one host are under way in this process.
//!
//! `virConnectOpen` has no time limit: at a host that accepts and does not answer, an attempt keeps a thread and a socket
//! (and an `ssh` process) for as long as TCP allows, or for ever. Therefore attempts are counted by URI, over all migrations
//! and queries: at most [`AT_ONCE`] are under way, and while one is overdue, others begin rarely. It must never keep a
//! host that has come back from being reached: an attempt that has been overdue for [`WRITTEN_OFF`] is not counted any
//! more. So at most [`AT_ONCE`] threads and sockets are lost to a host at first, and as many in each such time.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::lock;

/// Attempts under way to one URI.
pub(crate) const AT_ONCE: usize = 8;
/// An attempt that takes longer than this is overdue. TCP itself would try for minutes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
/// An attempt this old is not counted any more. Linux gives up a connection whose data is not acknowledged after some
/// 15 minutes (`ip-sysctl`, `tcp_retries2`); one that waits longer will wait for ever.
pub(crate) const WRITTEN_OFF: Duration = Duration::from_hours(1);

/// Attempts to connect, by URI.
#[derive(Debug, Default)]
pub(crate) struct Attempts(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    last: u64,
    under_way: BTreeMap<String, Vec<Attempt>>,
}

#[derive(Clone, Copy, Debug)]
struct Attempt {
    number: u64,
    began: Duration,
}

/// An attempt that is under way, until this is dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    attempts: Arc<Attempts>,
    uri: String,
    number: u64,
}

/// Why no attempt may begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Many have begun a moment ago: one of them will end soon.
    Busy,
    /// This many are overdue: the host does not answer.
    Overdue(usize),
}

impl Attempts {
    /// Begins an attempt, if one may begin.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub(crate) fn begin(self: &Arc<Self>, uri: &str, now: Duration) -> Result<Permit, Refusal> {
        let mut state = lock(&self.0);
        let number = state.last + 1;
        let all = state.under_way.entry(uri.to_owned()).or_default();
        let age = |one: &Attempt| now.saturating_sub(one.began);
        all.retain(|one| age(one) < WRITTEN_OFF);
        let overdue = all.iter().filter(|one| age(one) >= PATIENCE).count();
        let youngest = all.iter().map(age).min();
        // One more for each time that it has been overdue, with twice the pause before each.
        let pause = PATIENCE * 2_u32.saturating_pow(u32::try_from(overdue).unwrap_or(u32::MAX)).min(1 << 16);
        if overdue > 0 && (all.len() >= AT_ONCE || youngest.is_some_and(|age| age < pause)) {
            return Err(Refusal::Overdue(overdue));
        }
        if all.len() >= AT_ONCE {
            return Err(Refusal::Busy);
        }
        all.push(Attempt { number, began: now });
        state.last = number;
        Ok(Permit { attempts: Arc::clone(self), uri: uri.to_owned(), number })
    }

    /// Attempts to this URI that have not ended, those that are written off left out.
    #[cfg(test)]
    pub(crate) fn under_way(&self, uri: &str) -> usize {
        lock(&self.0).under_way.get(uri).map_or(0, Vec::len)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut state = lock(&self.attempts.0);
        if let Some(all) = state.under_way.get_mut(&self.uri) {
            all.retain(|one| one.number != self.number);
            if all.is_empty() {
                state.under_way.remove(&self.uri);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const URI: &str = "qemu+tcp://beta/system";

    /// Asks each second for a week, as a migration that looks at a host that never answers. What was given out is never
    /// given back. Returns how many attempts had begun after each hour.
    fn silent_host(hours: u64) -> Vec<usize> {
        let attempts = Arc::new(Attempts::default());
        let mut kept = Vec::new();
        let mut each_hour = Vec::new();
        for second in 0..hours * 3600 {
            kept.extend(attempts.begin(URI, Duration::from_secs(second)));
            if (second + 1) % 3600 == 0 {
                each_hour.push(kept.len());
            }
        }
        each_hour
    }

    #[test]
    fn a_host_that_never_answers_costs_a_bounded_number_of_threads() {
        for (hour, begun) in silent_host(48).into_iter().enumerate() {
            assert!(begun <= AT_ONCE * (hour + 1), "{begun} attempts after {} hours", hour + 1);
            assert!(begun > hour, "no attempt in hour {hour}: a host that came back would not be found");
        }
    }

    #[test]
    fn many_begin_at_once_while_none_is_overdue_and_one_at_a_time_afterwards() {
        let attempts = Arc::new(Attempts::default());
        let begin = |second| attempts.begin(URI, Duration::from_secs(second));
        let mut young: Vec<_> = (0..AT_ONCE).map(|_| begin(0).unwrap()).collect();
        assert_eq!(begin(0).unwrap_err(), Refusal::Busy);
        assert!(attempts.begin("qemu+tcp://gamma/system", Duration::ZERO).is_ok(), "another host");
        young.truncate(1);
        assert!(begin(1).is_ok(), "dropped at once: it has ended");
        assert_eq!(begin(11).unwrap_err(), Refusal::Overdue(1));
        let second = begin(20).unwrap();
        assert_eq!(begin(21).unwrap_err(), Refusal::Overdue(1), "one at a time");
        drop(young);
        assert!(begin(22).is_ok(), "the host answers");
        drop(second);
        assert_eq!(attempts.under_way(URI), 0);
    }
}
