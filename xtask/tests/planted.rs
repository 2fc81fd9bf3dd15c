//! The planted bugs can be planted: each patch applies to this tree. Whether its check detects it is measured by
//! `cargo xtask planted`, which takes hours.

use std::process::Command;

use xtask::{Tree, bugs};

/// Fewer would measure little.
const LEAST: usize = 60;

#[test]
fn every_planted_bug_still_applies() {
    let root = Tree::root().unwrap();
    let bugs = bugs::planted(&Tree::read(&root).unwrap()).unwrap();
    assert!(bugs.len() >= LEAST, "{} planted bugs", bugs.len());
    for bug in bugs {
        let mut git = Command::new("git");
        git.args(["-c", "safe.directory=*", "apply", "--check", &bug.path]).current_dir(&root);
        let output = git.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "{} does not apply; make it of the code as it is now:\n{said}",
            bug.path
        );
    }
}
