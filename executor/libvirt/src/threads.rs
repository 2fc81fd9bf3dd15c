//! Threads and time of the driver, as a seam: the driver blocks here or in a call to libvirt, and nowhere else.
//!
//! Tests replace both, and then decide which thread continues when, in virtual time. Whatever waits names a limit.

use std::fmt::Debug;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant as Clock};

use crate::lock;

/// Starts threads, and lets them wait.
pub(crate) trait Threads: Debug + Send + Sync {
    /// Runs `work` on a thread of its own. False when there can be none: `work` is dropped.
    fn start(&self, name: &'static str, work: Box<dyn FnOnce() + Send>) -> bool;

    /// Time since a fixed moment of the past. It never goes back.
    fn now(&self) -> Duration;

    /// Waits until the signal is set, for `patience` at most. Whether it is set.
    fn wait(&self, signal: &Signal, patience: Duration) -> bool;
}

impl dyn Threads {
    /// Waits for so long.
    pub(crate) fn pause(&self, time: Duration) {
        let _ = self.wait(&Signal::default(), time);
    }

    /// The result of `work`, which runs on a thread of its own; nothing when it takes longer than `patience`, or panics.
    /// It is not ended then, and its result is dropped.
    pub(crate) fn within<T: Send + 'static>(
        &self,
        name: &'static str,
        patience: Duration,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        self.begin(name, work).wait(self, patience)
    }

    /// Begins `work` on a thread of its own.
    pub(crate) fn begin<T: Send + 'static>(
        &self,
        name: &'static str,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Pending<T> {
        let pending = Pending { result: Arc::default(), ended: Signal::default() };
        let (result, ended) = (Arc::clone(&pending.result), Ended(pending.ended.clone()));
        self.start(
            name,
            Box::new(move || {
                // Set when this is dropped, after a panic too.
                let _ended = ended;
                let done = work();
                *lock(&result) = Some(done);
            }),
        );
        pending
    }
}

/// Work that has begun on a thread of its own.
#[derive(Debug)]
pub(crate) struct Pending<T> {
    result: Arc<Mutex<Option<T>>>,
    ended: Signal,
}

impl<T> Pending<T> {
    /// Its result; nothing when it does not come within `patience`, or never will.
    pub(crate) fn wait(self, threads: &dyn Threads, patience: Duration) -> Option<T> {
        threads.wait(&self.ended, patience);
        lock(&self.result).take()
    }
}

struct Ended(Signal);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.set();
    }
}

/// Something that happens once. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Signal(Arc<(Mutex<bool>, Condvar)>);

impl Signal {
    /// It has happened.
    pub(crate) fn set(&self) {
        *lock(&self.0.0) = true;
        self.0.1.notify_all();
    }

    /// Whether it has happened.
    #[cfg(test)]
    pub(crate) fn is_set(&self) -> bool {
        *lock(&self.0.0)
    }
}

/// The operating system's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SystemThreads(Clock);

impl Default for SystemThreads {
    fn default() -> Self {
        Self(Clock::now())
    }
}

impl Threads for SystemThreads {
    fn start(&self, name: &'static str, work: Box<dyn FnOnce() + Send>) -> bool {
        thread::Builder::new().name(name.to_owned()).spawn(work).is_ok()
    }

    fn now(&self) -> Duration {
        self.0.elapsed()
    }

    fn wait(&self, signal: &Signal, patience: Duration) -> bool {
        let (is_set, changed) = &*signal.0;
        let is_set = lock(is_set);
        let waited = changed.wait_timeout_while(is_set, patience, |is_set| !*is_set);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    const LONG: Duration = Duration::from_mins(1);

    #[test]
    fn a_result_in_time_is_returned_and_a_late_one_and_a_panic_are_not() {
        let threads: &dyn Threads = &SystemThreads::default();
        assert_eq!(threads.within("test", LONG, || 7), Some(7));
        assert_eq!(threads.within("test", LONG, || -> u8 { panic!("planted") }), None);
        let (release, held) = mpsc::channel::<()>();
        assert_eq!(threads.within("test", Duration::ZERO, move || held.recv_timeout(LONG)), None);
        drop(release);
    }
}
