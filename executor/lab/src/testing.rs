//! What tests in a lab have in common: the program, what it says, and the time that anything may take.

#![expect(
    clippy::expect_used,
    clippy::missing_panics_doc,
    clippy::unwrap_used,
    reason = "a helper that fails fails its test"
)]

use std::path::PathBuf;
use std::process::{Command, Output};
use std::thread;
use std::time::{Duration, Instant};

use crate::{Host, Lab};

/// Far more than any of this takes; only a hang reaches it.
pub const LONG: Duration = Duration::from_mins(2);

/// The program to test.
#[must_use]
pub fn program() -> PathBuf {
    let program = std::env::var_os("WHIMBREL_BIN");
    program.expect("WHIMBREL_BIN names the program; run cargo xtask test").into()
}

/// Runs a verb of the program on a guest, from one host to another, as the operator would: its exit code, and everything
/// that it wrote.
#[must_use]
pub fn run(
    lab: &Lab,
    guest: &str,
    (from, to): (&Host, &Host),
    verb: &[&str],
    more: &[&str],
) -> (Option<i32>, String) {
    let mut command = lab.operator_command(&program().to_string_lossy());
    command.args(verb).args([guest, &to.uri(), "--source", &from.uri()]).args(more);
    said(command.env("XDG_STATE_HOME", lab.folder()).output().unwrap())
}

/// Exit code and everything that was written.
#[must_use]
pub fn said(output: Output) -> (Option<i32>, String) {
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    (output.status.code(), text.concat())
}

/// Waits until it holds.
pub fn wait_for(what: &str, condition: impl Fn() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < LONG, "it never happened: {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// Sends a signal to a process, by the signal's name.
pub fn signal(name: &str, pid: u32) {
    let status = Command::new("kill").args([format!("-{name}"), pid.to_string()]).status().unwrap();
    assert!(status.success());
}
