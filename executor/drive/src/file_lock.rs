//! The lock of a file that one driver writes: a journal, or a service's store.
//!
//! The lock is the operating system's own and goes with its process, however that ends. It goes a moment later than the
//! process seems to: the threads of a killed process end one after the other, and one that waits for a disk ends after
//! that; a child that was being started when the process was killed has the descriptor until it becomes its program. A
//! lock that is held is therefore tried again for [`PATIENCE`].

use std::fs::{File, TryLockError};
use std::thread;
use std::time::{Duration, Instant};

/// How long the remains of an earlier process may keep a lock.
pub const PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(20);

/// Locks a file, and waits for that for at most [`PATIENCE`]. It blocks its thread.
///
/// # Errors
/// [`TryLockError::WouldBlock`] when it is held for all of that time, or whatever the system reports.
pub fn take(file: &File) -> Result<(), TryLockError> {
    let until = Instant::now() + PATIENCE;
    when_free(file, || {
        thread::sleep(PAUSE);
        Instant::now() < until
    })
}

/// Locks a file, and tries again for as long as `is_worth_another` says so, which is called whenever it is found held.
fn when_free(file: &File, mut is_worth_another: impl FnMut() -> bool) -> Result<(), TryLockError> {
    loop {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) if is_worth_another() => {}
            done => return done,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{File, OpenOptions, TryLockError};
    use std::path::PathBuf;
    use std::process::{Command, Stdio};

    use super::when_free;

    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            Self(std::env::temp_dir().join(format!("whimbrel-file-lock-{name}-{}", std::process::id())))
        }

        fn open(&self) -> File {
            OpenOptions::new().write(true).create(true).truncate(false).open(&self.0).unwrap()
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.0);
        }
    }

    /// A child has the descriptors of its parent until it becomes its program. This one keeps the lock's for longer.
    #[test]
    fn a_lock_that_a_child_of_a_killed_driver_still_holds_is_waited_for() {
        let scratch = Scratch::new("child");
        let held = scratch.open();
        held.try_lock().unwrap();
        // The parent's own descriptor is closed with the command.
        let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::from(held)).spawn().unwrap();
        let mut found_held = 0;
        let next = when_free(&scratch.open(), || {
            found_held += 1;
            // The end of its input ends it.
            drop(child.stdin.take());
            child.wait().unwrap();
            found_held < 3
        });
        assert!(next.is_ok(), "{next:?}");
        assert_eq!(found_held, 1, "the child held the lock until it ended");
    }

    #[test]
    fn a_lock_of_a_driver_that_lives_is_refused_in_the_end() {
        let scratch = Scratch::new("alive");
        let first = scratch.open();
        first.try_lock().unwrap();
        let mut tries = 0;
        let second = when_free(&scratch.open(), || {
            tries += 1;
            tries < 3
        });
        assert!(matches!(second, Err(TryLockError::WouldBlock)) && tries == 3, "{second:?}, {tries}");
    }
}
