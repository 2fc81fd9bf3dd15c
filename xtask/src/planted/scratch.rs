//! A copy of the tree in which bugs are planted, with a target folder of its own.
//!
//! Both are kept for the next time, and a file is written only where it differs: what cargo built of the others stays.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::artifacts;
use crate::error::Error;

/// The copy.
#[derive(Debug)]
pub(super) struct Scratch {
    tree: PathBuf,
    target: PathBuf,
}

/// A bug that is in the copy.
#[must_use]
pub(super) struct Planted<'s> {
    scratch: &'s Scratch,
    path: String,
}

impl Scratch {
    /// Copies every file of the tree that git knows or would add.
    pub(super) fn of(root: &Path) -> Result<Self, Error> {
        let mut folder = artifacts::tools()?;
        folder.set_file_name("planted");
        let scratch = Self { tree: folder.join("tree"), target: folder.join("target") };
        let listed = Command::new("git")
            .args(["-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"])
            .current_dir(root)
            .output()
            .map_err(|source| Error::Start { job: "git ls-files".to_owned(), source })?;
        let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
        let paths: BTreeSet<&str> =
            listed.split_terminator('\0').filter(|path| root.join(path).is_file()).collect();
        scratch.remove_others(&scratch.tree, &paths)?;
        for path in paths {
            let (from, to) = (root.join(path), scratch.tree.join(path));
            let failed = |source| Error::Start { job: format!("copy `{path}`"), source };
            let bytes = fs::read(&from).map_err(failed)?;
            if fs::read(&to).is_ok_and(|there| there == bytes) {
                continue;
            }
            fs::create_dir_all(to.parent().unwrap_or(&scratch.tree)).map_err(failed)?;
            fs::write(&to, bytes).map_err(failed)?;
            fs::set_permissions(&to, fs::metadata(&from).map_err(failed)?.permissions()).map_err(failed)?;
        }
        Ok(scratch)
    }

    /// The copy's root.
    pub(super) fn tree(&self) -> &Path {
        &self.tree
    }

    /// Where cargo puts what it builds of the copy.
    pub(super) fn target(&self) -> &Path {
        &self.target
    }

    /// Applies the patch with this path below the root. In words, why it cannot be applied.
    pub(super) fn plant(&self, path: &str) -> Result<Planted<'_>, String> {
        self.apply(&["apply", path])?;
        Ok(Planted { scratch: self, path: path.to_owned() })
    }

    fn apply(&self, arguments: &[&str]) -> Result<(), String> {
        // The copy is no checkout, and must not be taken for a part of one: git would leave out its files.
        let output = Command::new("git")
            .args(arguments)
            .env("GIT_CEILING_DIRECTORIES", self.tree.parent().unwrap_or(&self.tree))
            .current_dir(&self.tree)
            .output()
            .map_err(|error| error.to_string())?;
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        if output.status.success() { Ok(()) } else { Err(said) }
    }

    /// Removes files of an earlier copy that are not there any more.
    fn remove_others(&self, folder: &Path, paths: &BTreeSet<&str>) -> Result<(), Error> {
        let failed = |source| Error::Start { job: format!("list `{}`", folder.display()), source };
        let entries = match fs::read_dir(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            entries => entries.map_err(failed)?,
        };
        for entry in entries {
            let path = entry.map_err(failed)?.path();
            let below = path.strip_prefix(&self.tree).unwrap_or(&path).to_string_lossy().into_owned();
            if path.is_dir() {
                self.remove_others(&path, paths)?;
            } else if !paths.contains(below.as_str()) && below != "Cargo.lock" {
                fs::remove_file(&path).map_err(failed)?;
            }
        }
        Ok(())
    }
}

impl Planted<'_> {
    /// Takes the bug out again.
    pub(super) fn remove(self) -> Result<(), Error> {
        let removed = self.scratch.apply(&["apply", "--reverse", &self.path]);
        removed.map_err(|why| Error::Planted(format!("`{}` cannot be taken out again: {why}", self.path)))
    }
}
