//! Programs that run beside each other, a bounded number at a time.
//!
//! It must never mix what they write, and never hide that one failed.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use crate::error::Error;
use crate::job::Job;

/// Runs every job in its folder, the first of them first, `lanes` at a time. Each is shown as a whole when it has ended.
/// None is skipped because another failed; the first failure is the result.
pub(crate) fn run(jobs: Vec<(Job, PathBuf)>, lanes: usize) -> Result<(), Error> {
    let waiting = Mutex::new(VecDeque::from(jobs));
    let next = || waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    let failures = Mutex::new(Vec::new());
    let printer = Mutex::new(());
    thread::scope(|scope| {
        for _ in 0..lanes {
            scope.spawn(|| {
                while let Some((job, folder)) = next() {
                    let began = Instant::now();
                    let (text, result) = job.captured_in(&folder);
                    let turn = printer.lock().unwrap_or_else(PoisonError::into_inner);
                    println!("\n--- {job}: {} s\n{text}", began.elapsed().as_secs());
                    drop(turn);
                    if let Err(error) = result {
                        failures.lock().unwrap_or_else(PoisonError::into_inner).push(error);
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap_or_else(PoisonError::into_inner);
    failures.into_iter().next().map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use super::run;
    use crate::error::Error;
    use crate::job::Job;

    #[test]
    fn all_jobs_run_and_the_failure_of_one_is_the_result() {
        let folder = std::env::temp_dir().join(format!("whimbrel-lanes-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let here = |job| (job, folder.clone());
        let jobs: Vec<(Job, PathBuf)> =
            vec![here(Job::new("touch", "one")), here(Job::new("false", "")), here(Job::new("touch", "two"))];
        let failed = run(jobs, 2).unwrap_err();
        assert!(matches!(failed, Error::Failed { .. }), "{failed}");
        assert!(folder.join("one").is_file() && folder.join("two").is_file());
        fs::remove_dir_all(folder).unwrap();
        run(Vec::new(), 2).unwrap();
    }
}
