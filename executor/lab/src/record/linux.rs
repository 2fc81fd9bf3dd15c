//! A real Linux guest: Debian's kernel, and a few of its programs as the whole system.
//!
//! The packages were extracted, not installed, by the caller of the recorder. Nothing of them must ever run on this
//! machine itself.

use std::fs::File;
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use super::RecordError;
use super::archive::Archive;
use super::driver::Machine;
use super::lines::Lines;
use crate::{LabError, shell};

const INIT: &str = include_str!("../../guest/init.sh");
const SWITCHER: &str = include_str!("../../guest/switcher.c");
const SWITCHER_FLAGS: &str = "-Os -Wall -Wextra -Werror -ffreestanding -fno-stack-protector -fno-pic -no-pie \
    -fno-asynchronous-unwind-tables -nostdlib -static -Wl,--build-id=none";
/// Documentation, translations and tables that no program here opens.
const LEFT_OUT: [&str; 4] =
    ["usr/share", "usr/lib/x86_64-linux-gnu/gconv", "usr/lib/x86_64-linux-gnu/audit", "usr/sbin"];
const READY: &str = "recorder: ready";
const ALIVE: &str = "recorder: alive";
/// An emulated processor boots in some ten seconds.
const BOOT_ALLOWED: Duration = Duration::from_mins(2);
/// The guest says once a second that it lives; a few may be late after a migration.
const LIFE_ALLOWED: Duration = Duration::from_secs(15);

/// What the guest does. Each stands in `guest/init.sh`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Workload(&'static str);

const WORKLOADS: [&str; 6] =
    ["idle", "stress-ng-vm-16m", "stress-ng-vm-64m", "redis", "redis-bursts", "compile"];

impl Workload {
    /// The workload of this name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        WORKLOADS.into_iter().find(|known| *known == name).map(Self)
    }

    /// All names, for people.
    pub(crate) fn names() -> String {
        WORKLOADS.join(", ")
    }

    pub(crate) fn name(self) -> &'static str {
        self.0
    }
}

/// The kernel and the archive of the first files.
#[derive(Clone, Debug)]
pub(super) struct Linux {
    kernel: PathBuf,
    archive: PathBuf,
    /// The kernel's release.
    pub(super) release: String,
}

impl Linux {
    /// Puts the archive together in `scratch`, from the extracted packages: the kernel's below `kernel`, all others
    /// below `root`.
    pub(super) fn assemble(extracted: &Path, scratch: &Path) -> Result<Self, RecordError> {
        let boot = extracted.join("kernel/boot");
        let listed = std::fs::read_dir(&boot).map_err(LabError::io(format!("read `{}`", boot.display())))?;
        let mut names = listed.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
        let release = names.find_map(|name| name.strip_prefix("vmlinuz-").map(str::to_owned));
        let release = release.ok_or_else(|| {
            LabError::io(format!("find a kernel in `{}`", boot.display()))(io::ErrorKind::NotFound.into())
        })?;
        // A QEMU in a root sees the recorder's own folders only.
        let (found, kernel) = (boot.join(format!("vmlinuz-{release}")), scratch.join("vmlinuz"));
        std::fs::copy(&found, &kernel).map_err(LabError::io(format!("copy `{}`", found.display())))?;
        let archive = scratch.join("linux.cpio");
        let switcher = compile_switcher(scratch)?;
        write_archive(&extracted.join("root"), &switcher, &archive)
            .map_err(LabError::io(format!("write `{}`", archive.display())))?;
        Ok(Self { kernel, archive, release })
    }

    /// What QEMU starts for a workload.
    pub(super) fn machine(&self, workload: Workload) -> Machine {
        Machine {
            kernel: self.kernel.clone(),
            initrd: Some(self.archive.clone()),
            append: format!("console=ttyS0 quiet panic=-1 workload={}", workload.name()),
        }
    }
}

/// Waits until the workload runs; gives the moment.
pub(super) fn wait_until_ready(serial: &mut Lines) -> Result<Instant, RecordError> {
    wait_for(serial, READY, BOOT_ALLOWED, "the Linux guest's readiness")?;
    Ok(Instant::now())
}

/// Whether the guest still says that it lives.
pub(super) fn is_alive(serial: &mut Lines) -> Result<bool, RecordError> {
    match wait_for(serial, ALIVE, LIFE_ALLOWED, "a sign of life") {
        Ok(()) => Ok(true),
        Err(RecordError::Lab(LabError::Timeout { .. })) => Ok(false),
        Err(error) => Err(error),
    }
}

fn wait_for(serial: &mut Lines, word: &str, allowed: Duration, what: &str) -> Result<(), RecordError> {
    let deadline = Instant::now() + allowed;
    while let Some(line) = serial.next(deadline)? {
        if line.contains(word) {
            return Ok(());
        }
    }
    Err(LabError::Timeout { what: what.to_owned(), allowed }.into())
}

fn compile_switcher(scratch: &Path) -> Result<PathBuf, LabError> {
    let source = scratch.join("switcher.c");
    std::fs::write(&source, SWITCHER).map_err(LabError::io(format!("write `{}`", source.display())))?;
    let mut gcc = Command::new("gcc");
    gcc.current_dir(scratch).args(SWITCHER_FLAGS.split_whitespace());
    shell::run(gcc.args(["switcher.c", "-o", "switcher"]))?;
    Ok(scratch.join("switcher"))
}

fn write_archive(root: &Path, switcher: &Path, to: &Path) -> io::Result<()> {
    let mut archive = Archive::new(BufWriter::new(File::create(to)?));
    archive.tree(root, "", &|name| !LEFT_OUT.contains(&name))?;
    archive.file("usr/bin/switcher", 0o755, &std::fs::read(switcher)?)?;
    archive.file("init", 0o755, INIT.as_bytes())?;
    archive.finish()
}

#[cfg(test)]
mod tests {
    use super::{INIT, WORKLOADS, Workload};

    #[test]
    fn each_workload_stands_in_the_guests_first_program() {
        for name in WORKLOADS {
            assert!(INIT.lines().any(|line| line.starts_with(&format!("{name})"))), "{name}");
            assert_eq!(Workload::named(name).map(Workload::name), Some(name));
        }
        assert_eq!(Workload::named("doom"), None);
    }
}
