//! Runs the system's own tools and turns their failures into errors that quote them.
//!
//! It must never go through a shell: arguments stay arguments.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use crate::LabError;

/// Everything that the lab runs, so that a missing tool is named before anything is built.
const PROGRAMS: [&str; 13] = [
    "bridge",
    "gcc",
    "hostname",
    "ip",
    "libvirtd",
    "mount",
    "nsenter",
    "qemu-img",
    "setpriv",
    "sha256sum",
    "tc",
    "unshare",
    "virsh",
];

/// Runs to the end and gives its standard output, or an error with its standard error.
pub(crate) fn run(command: &mut Command) -> Result<String, LabError> {
    let output = output(command)?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(text);
    }
    let message = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    let message = if message.is_empty() { output.status.to_string() } else { message };
    Err(LabError::Command { command: describe(command), message })
}

fn output(command: &mut Command) -> Result<Output, LabError> {
    command
        .stdin(Stdio::null())
        .output()
        .map_err(|source| LabError::Io { what: format!("run `{}`", describe(command)), source })
}

/// The command as one would type it, for messages only.
pub(crate) fn describe(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy().into_owned()];
    words.extend(command.get_args().map(|word| word.to_string_lossy().into_owned()));
    words.join(" ")
}

/// Fails when a tool is not on the search path.
pub(crate) fn require_programs() -> Result<(), LabError> {
    let missing: Vec<&str> = PROGRAMS.into_iter().filter(|program| find(program).is_none()).collect();
    if missing.is_empty() { Ok(()) } else { Err(LabError::MissingPrograms(missing.join(", "))) }
}

fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}
