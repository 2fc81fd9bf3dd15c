//! One check, built and run in the copy.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use cargo_metadata::Message;
use xtask::bugs::Check;

use super::scratch::Scratch;
use crate::error::Error;

/// A check that takes longer has failed: a bug may make it wait without end.
const MOST: Duration = Duration::from_mins(10);
const PAUSE: Duration = Duration::from_millis(50);
/// How much of a compiler's complaint is shown.
const MOST_LINES: usize = 12;

/// What a check says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Finding {
    /// Every test of it passed.
    Passed,
    /// One failed, or did not end.
    Failed,
    /// It names none.
    NoTest,
    /// The compiler's complaint.
    NotBuilt(String),
}

/// Builds a check and runs it.
pub(super) fn check(scratch: &Scratch, check: &Check, stop: &AtomicBool) -> Result<Finding, Error> {
    let (program, folder) = match build(scratch, check)? {
        Ok(built) => built,
        Err(text) => return Ok(Finding::NotBuilt(text)),
    };
    let said = scratch.target().join("said");
    let started = |source| Error::Start { job: check.to_string(), source };
    let file = File::create(&said).map_err(started)?;
    let mut child = Command::new(program)
        .args(&check.tests)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stderr(file.try_clone().map_err(started)?)
        .stdout(file)
        .spawn()
        .map_err(started)?;
    let deadline = Instant::now() + MOST;
    let status = loop {
        if let Some(status) = child.try_wait().map_err(started)? {
            break Some(status);
        }
        if Instant::now() > deadline || stop.load(Ordering::SeqCst) {
            child.kill().map_err(started)?;
            child.wait().map_err(started)?;
            break None;
        }
        thread::sleep(PAUSE);
    };
    let text = String::from_utf8_lossy(&fs::read(said).map_err(started)?).into_owned();
    Ok(match status {
        Some(status) if status.success() && tests_in(&text) == 0 => Finding::NoTest,
        Some(status) if status.success() => Finding::Passed,
        _ => Finding::Failed,
    })
}

/// How many tests a test program says that it runs.
fn tests_in(text: &str) -> u64 {
    let count = |line: &str| line.strip_prefix("running ")?.split(' ').next()?.parse().ok();
    text.lines().find_map(count).unwrap_or(0)
}

/// The test program and its package's folder; or the compiler's complaint.
fn build(scratch: &Scratch, check: &Check) -> Result<Result<(PathBuf, PathBuf), String>, Error> {
    let output = Command::new("cargo")
        .args(["test", "--no-run", "--message-format=json-render-diagnostics"])
        .args(check.target.split_whitespace())
        .env("CARGO_TARGET_DIR", scratch.target())
        .current_dir(scratch.tree())
        .output()
        .map_err(|source| Error::Start { job: check.to_string(), source })?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let is_error = |line: &&str| line.starts_with("error");
        let complaint: Vec<&str> = said.lines().skip_while(|line| !is_error(line)).take(MOST_LINES).collect();
        return Ok(Err(complaint.join("\n")));
    }
    for message in Message::parse_stream(output.stdout.as_slice()) {
        let Message::CompilerArtifact(artifact) = message.map_err(Error::Cargo)? else { continue };
        if !artifact.profile.test {
            continue;
        }
        if let (Some(program), Some(folder)) = (&artifact.executable, artifact.manifest_path.parent()) {
            return Ok(Ok((program.into(), folder.into())));
        }
    }
    Err(Error::NotBuilt("this check"))
}

#[cfg(test)]
mod tests {
    use super::tests_in;

    #[test]
    fn tests_are_counted() {
        assert_eq!(tests_in("\nrunning 12 tests\ntest a ... ok\n"), 12);
        assert_eq!(tests_in("\nrunning 0 tests\n"), 0);
        assert_eq!(tests_in(""), 0);
    }
}
