//! Whatever ends the process that holds a lab, nothing of the lab stays.

#![cfg(test)]

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use whimbrel_lab::Lab;
use whimbrel_lab::testing::{signal, wait_for};

/// The example `hold`, which cargo builds beside the tests.
///
/// Its output is kept open as long as it runs.
fn hold() -> (Child, BufReader<ChildStdout>) {
    let tests = std::env::current_exe().unwrap();
    let program = tests.parent().and_then(Path::parent).unwrap().join("examples/hold");
    let mut child = Command::new(program).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut said = BufReader::new(child.stdout.take().unwrap());
    let up = said.by_ref().lines().map_while(Result::ok).any(|line| line.contains("qemu+tcp://"));
    assert!(up, "the lab did not come up");
    (child, said)
}

/// Folders of labs that this process owns.
fn folders_of(child: &Child) -> BTreeSet<PathBuf> {
    let labs = fs::read_dir("/run/whimbrel-lab").into_iter().flatten().flatten().map(|entry| entry.path());
    let owner = format!("{}-", child.id());
    labs.filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&owner)))
        .collect()
}

/// Processes that name a folder on their command line: the lab's daemons and guests.
fn inhabitants(folders: &BTreeSet<PathBuf>) -> usize {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let lines = processes.filter_map(|process| fs::read(process.path().join("cmdline")).ok());
    lines
        .filter(|line| {
            let line = String::from_utf8_lossy(line);
            folders.iter().any(|folder| line.contains(&*folder.to_string_lossy()))
        })
        .count()
}

#[test]
#[ignore = "needs root and libvirt; run with cargo xtask test"]
fn an_interrupt_removes_the_lab() {
    for name in ["INT", "TERM"] {
        let (mut child, _said) = hold();
        let folders = folders_of(&child);
        assert!(!folders.is_empty() && inhabitants(&folders) > 0);
        signal(name, child.id());
        child.wait().unwrap();
        assert!(folders.iter().all(|folder| !folder.exists()), "{folders:?} after {name}");
        assert_eq!(inhabitants(&folders), 0, "after {name}");
    }
}

#[test]
#[ignore = "needs root and libvirt; run with cargo xtask test"]
fn what_a_killed_owner_leaves_is_removed_by_the_next() {
    let (mut child, _said) = hold();
    let folders = folders_of(&child);
    signal("KILL", child.id());
    child.wait().unwrap();
    wait_for("all of it has ended", || inhabitants(&folders) == 0);
    Lab::remove_stale().unwrap();
    assert!(folders.iter().all(|folder| !folder.exists()), "{folders:?}");
}
