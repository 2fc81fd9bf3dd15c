//! The files of the project as git knows them. Untracked files are not checked: a build's
//! output, or an editor's.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{fs, io};

/// Every tracked file that is there, by its path below the root with `/` between the parts.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    files: BTreeMap<String, Option<String>>,
}

/// Why the files could not be listed or read.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// No folder from the current one upwards is the project's.
    #[error("no workspace found from `{}` upwards; run this inside the checkout", .0.display())]
    NoRoot(PathBuf),
    /// Git answered with an error.
    #[error("git cannot list the tracked files: {0}; a git checkout is needed")]
    Git(String),
    /// The operating system refused.
    #[error("cannot {what}")]
    Io {
        /// What was tried.
        what: String,
        /// What the system said.
        source: io::Error,
    },
}

impl Tree {
    /// Reads all tracked files below the root.
    ///
    /// # Errors
    /// [`TreeError::Git`] outside a git checkout or without git, [`TreeError::Io`] for a file that cannot be read.
    pub fn read(root: &Path) -> Result<Self, TreeError> {
        let output = Command::new("git")
            // A checkout may belong to somebody else than the one who tests it, as in a container.
            .args(["-c", "safe.directory=*", "ls-files", "-z"])
            .current_dir(root)
            .output()
            .map_err(|source| TreeError::Io { what: "run `git ls-files`".to_owned(), source })?;
        if !output.status.success() {
            return Err(TreeError::Git(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
        }
        let mut files = BTreeMap::new();
        for path in String::from_utf8_lossy(&output.stdout).split_terminator('\0') {
            match fs::read(root.join(path)) {
                Ok(bytes) => files.insert(path.to_owned(), String::from_utf8(bytes).ok()),
                // Deleted, but not yet from the index.
                Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                Err(source) => return Err(TreeError::Io { what: format!("read `{path}`"), source }),
            };
        }
        Ok(Self { files })
    }

    /// A tree of these paths and texts.
    #[must_use]
    pub fn of(files: &[(&str, &str)]) -> Self {
        Self {
            files: files.iter().map(|(path, text)| ((*path).to_owned(), Some((*text).to_owned()))).collect(),
        }
    }

    /// The top folder of the workspace that the current folder is in.
    ///
    /// # Errors
    /// [`TreeError::NoRoot`] outside of one.
    pub fn root() -> Result<PathBuf, TreeError> {
        let here = std::env::current_dir()
            .map_err(|source| TreeError::Io { what: "find the current folder".to_owned(), source })?;
        let is_root = |folder: &&Path| {
            fs::read_to_string(folder.join("Cargo.toml"))
                .is_ok_and(|text| text.lines().any(|line| line == "[workspace]"))
        };
        here.ancestors().find(is_root).map(Path::to_owned).ok_or_else(|| TreeError::NoRoot(here.clone()))
    }

    /// Paths and texts of all files that are text.
    pub fn texts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files.iter().filter_map(|(path, text)| Some((path.as_str(), text.as_deref()?)))
    }

    /// The text of one file; none if it is not there or not text.
    #[must_use]
    pub fn text(&self, path: &str) -> Option<&str> {
        self.files.get(path)?.as_deref()
    }

    /// Whether there is a file or a folder of this path.
    #[must_use]
    pub fn has(&self, path: &str) -> bool {
        let folder = format!("{}/", path.trim_end_matches('/'));
        path.is_empty()
            || self.files.contains_key(path)
            || self.files.keys().any(|file| file.starts_with(&folder))
    }
}
