//! The use of memory, threads and descriptors by the program and the daemons, as a table for other programs.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::LabError;

const HEAD: &str = "elapsed_s,round,process,pid,rss_kib,threads,descriptors\n";

/// The table, which is written row by row.
#[derive(Debug)]
pub(super) struct Usage {
    path: PathBuf,
    file: File,
    began: Instant,
}

impl Usage {
    /// A new file, or one in place of another.
    pub(super) fn create(path: &Path) -> Result<Self, LabError> {
        let failed = || format!("write `{}`", path.display());
        let mut file = File::create(path).map_err(LabError::io(failed()))?;
        file.write_all(HEAD.as_bytes()).map_err(LabError::io(failed()))?;
        Ok(Self { path: path.to_owned(), file, began: Instant::now() })
    }

    /// A row about a process. One that has ended has none.
    pub(super) fn add(&mut self, round: u32, process: &str, pid: u32) -> Result<(), LabError> {
        let Some([rss_kib, threads, descriptors]) = measure(pid) else { return Ok(()) };
        let elapsed_s = self.began.elapsed().as_secs();
        let row = format!("{elapsed_s},{round},{process},{pid},{rss_kib},{threads},{descriptors}\n");
        let failed = LabError::io(format!("write `{}`", self.path.display()));
        self.file.write_all(row.as_bytes()).map_err(failed)
    }
}

/// Resident memory in KiB, threads, and open descriptors.
fn measure(pid: u32) -> Option<[u64; 3]> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let number = |field: &str| {
        let value = status.lines().find_map(|line| line.strip_prefix(field))?;
        value.split_whitespace().next()?.parse::<u64>().ok()
    };
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count();
    Some([number("VmRSS:")?, number("Threads:")?, u64::try_from(descriptors).ok()?])
}

#[cfg(test)]
mod tests {
    use super::{Usage, measure};

    #[test]
    fn a_process_that_runs_has_a_row_and_one_that_does_not_has_none() {
        let [rss_kib, threads, descriptors] = measure(std::process::id()).unwrap();
        assert!(rss_kib > 100 && threads >= 1 && descriptors >= 3);
        assert_eq!(measure(u32::MAX), None);

        let path = std::env::temp_dir().join(format!("soak-usage-{}.csv", std::process::id()));
        let mut usage = Usage::create(&path).unwrap();
        usage.add(3, "whimbrel", std::process::id()).unwrap();
        usage.add(3, "gone", u32::MAX).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        let rows: Vec<&str> = text.lines().collect();
        assert_eq!((rows.len(), rows[1].split(',').count()), (2, rows[0].split(',').count()), "{text}");
        assert!(rows[1].contains(",3,whimbrel,"), "{text}");
    }
}
