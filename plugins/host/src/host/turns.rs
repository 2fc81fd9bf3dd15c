//! How many calls into packs run at once in this process.
//!
//! Each call needs an instance, of which a pool has a fixed number. A call that finds none would fail, and with it the
//! rules of a migration that nothing is wrong with: it waits for its turn instead. A call never makes another one, so the
//! wait ends.

use std::sync::{Condvar, Mutex, PoisonError};

#[derive(Debug)]
pub(super) struct Turns {
    free: Mutex<u32>,
    freed: Condvar,
}

/// The right to one call, until it is dropped.
#[derive(Debug)]
pub(super) struct Turn<'t>(&'t Turns);

impl Turns {
    pub(super) const fn new(most: u32) -> Self {
        Self { free: Mutex::new(most), freed: Condvar::new() }
    }

    /// Blocks until there is one.
    pub(super) fn take(&self) -> Turn<'_> {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let mut free = self.freed.wait_while(free, |free| *free == 0).unwrap_or_else(PoisonError::into_inner);
        *free -= 1;
        Turn(self)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        *self.0.free.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.0.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::Turns;

    #[test]
    fn no_more_calls_than_turns_run_at_once_and_each_has_one_in_the_end() {
        let (turns, at_once, most, done) =
            (Turns::new(3), AtomicU32::new(0), AtomicU32::new(0), AtomicU32::new(0));
        std::thread::scope(|scope| {
            for _ in 0..20 {
                scope.spawn(|| {
                    let turn = turns.take();
                    let now = at_once.fetch_add(1, Ordering::SeqCst) + 1;
                    most.fetch_max(now, Ordering::SeqCst);
                    std::thread::yield_now();
                    at_once.fetch_sub(1, Ordering::SeqCst);
                    done.fetch_add(1, Ordering::SeqCst);
                    drop(turn);
                });
            }
        });
        assert_eq!(done.load(Ordering::SeqCst), 20);
        assert!(most.load(Ordering::SeqCst) <= 3);
    }
}
