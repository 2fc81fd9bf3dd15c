//! Which QEMU is recorded: the machine's installed one, another binary, or the one of a root.
//!
//! One of a root runs in mounts of its own, with the recorder's files under the same paths as outside. It must never be
//! able to write to the root, which others share.

use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::RecordError;
use crate::cleanup::LABS;
use crate::roots::Root;
use crate::shell;

const PROGRAM: &str = "qemu-system-x86_64";
/// Runs a program in a root that is mounted at `$1`: the root itself is `$2`, and `$3` is what both see.
const IN_ROOT: &str = "set -e; mkdir -p \"$1\"; mount --bind \"$2\" \"$1\"; mount -o remount,bind,ro \"$1\"; \
    mount --rbind /dev \"$1/dev\"; mount --rbind /proc \"$1/proc\"; mount -t tmpfs tmpfs \"$1/run\"; \
    mount -t tmpfs tmpfs \"$1/tmp\"; mkdir -p \"$1$3\"; mount --bind \"$3\" \"$1$3\"; root=$1; shift 3; \
    exec chroot \"$root\" \"$@\"";
/// Before the version in the answer to `--version`; the monitor's greeting has the same words after it.
const BEFORE_VERSION: &str = "QEMU emulator version ";

/// A QEMU.
#[derive(Clone, Debug, Default)]
pub enum Emulator {
    /// The one on the search path.
    #[default]
    Installed,
    /// This binary of the machine.
    Binary(PathBuf),
    /// The one of a host's root.
    Root(Root),
}

impl Emulator {
    /// A command that runs it, to which arguments are added. `scratch` is a folder that is removed later.
    pub(super) fn command(&self, scratch: &Path) -> Command {
        match self {
            Self::Installed => Command::new(PROGRAM),
            Self::Binary(path) => Command::new(path),
            Self::Root(root) => {
                // Each program of the chain replaces the one before it: the process is QEMU's in the end.
                let mut command = Command::new("unshare");
                command.args(["--mount", "/bin/sh", "-c", IN_ROOT, "in-root"]);
                command.arg(scratch.join("system")).arg(root.path()).args([LABS, PROGRAM]);
                command
            }
        }
    }

    /// The binary that libvirt is to start, if not the one that it finds.
    pub(super) fn path(&self) -> Option<&Path> {
        match self {
            Self::Binary(path) => Some(path),
            Self::Installed | Self::Root(_) => None,
        }
    }

    /// The root that hosts need to start it.
    pub(super) fn root(&self) -> Option<&Root> {
        match self {
            Self::Root(root) => Some(root),
            Self::Installed | Self::Binary(_) => None,
        }
    }

    /// Its version, with its packager's in parentheses, as in recordings.
    pub(super) fn version(&self, scratch: &Path) -> Result<String, RecordError> {
        let mut command = self.command(scratch);
        let text = shell::run(command.arg("--version"))?;
        parse(&text).ok_or_else(|| RecordError::Answer(format!("this version of QEMU: {text}")))
    }
}

impl fmt::Display for Emulator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Installed => f.write_str("the installed QEMU"),
            Self::Binary(path) => write!(f, "`{}`", path.display()),
            Self::Root(root) => {
                let name = root.path().file_name().and_then(OsStr::to_str).unwrap_or("/");
                write!(f, "the QEMU of the root `{name}`")
            }
        }
    }
}

fn parse(text: &str) -> Option<String> {
    text.lines().find_map(|line| line.strip_prefix(BEFORE_VERSION)).map(|version| version.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::{Emulator, parse};
    use crate::roots::Root;

    #[test]
    fn a_version_has_the_words_of_the_monitors_greeting() {
        let text = "QEMU emulator version 10.0.13 (Debian 1:10.0.13+ds-0+deb13u1)\nCopyright (c) 2003-2025\n";
        assert_eq!(parse(text).as_deref(), Some("10.0.13 (Debian 1:10.0.13+ds-0+deb13u1)"));
        assert_eq!(parse("sh: not found"), None);
    }

    #[test]
    fn another_binary_is_run_as_it_is_and_one_of_a_root_in_that_root() {
        let scratch = Path::new("/run/scratch");
        let other = Emulator::Binary(PathBuf::from("/opt/qemu"));
        assert_eq!(
            (other.command(scratch).get_program(), other.path()),
            ("/opt/qemu".as_ref(), Some(Path::new("/opt/qemu")))
        );
        let own = Emulator::Root(Root::folder("/roots/trixie@1234"));
        let command = own.command(scratch);
        let words: Vec<_> = command.get_args().map(|word| word.to_string_lossy()).collect();
        assert!(
            words.contains(&"/roots/trixie@1234".into()) && words.contains(&"/run/scratch/system".into()),
            "{words:?}"
        );
        assert_eq!(words.last().unwrap(), "qemu-system-x86_64");
        assert_eq!(own.to_string(), "the QEMU of the root `trixie@1234`");
    }
}
