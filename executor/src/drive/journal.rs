//! The journal of a migration in a file, written ahead: a record is with the operating system before the commands
//! that it causes are given, so it outlives this process.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use whimbrel_core::journal::{Record, header_line, record_line};
use whimbrel_core::{Output, Spec, View};

/// Where the records of a migration go. Whoever keeps them returns when they are kept: the commands that an input
/// causes are given after that.
pub trait Keep: Send {
    /// What was asked for.
    ///
    /// # Errors
    /// When it could not be kept.
    fn begin(&mut self, spec: &Spec) -> Result<(), KeepError>;

    /// A record, with what the migration gave for it and as it stands after it.
    ///
    /// # Errors
    /// When it could not be kept. Nothing else is given to be kept then.
    fn append(&mut self, record: &Record, outputs: &[Output], view: View<'_>) -> Result<(), KeepError>;
}

/// A record that could not be kept.
#[derive(Debug, thiserror::Error)]
pub enum KeepError {
    /// In a file.
    #[error(transparent)]
    File(#[from] JournalFileError),
    /// In a store.
    #[error("the store did not keep the record: {0}")]
    Store(String),
}

/// A journal in a file of its own.
#[derive(Debug, Default)]
pub struct Journal {
    file: Option<(File, PathBuf)>,
}

/// A journal that could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the journal `{}`", path.display())]
pub struct JournalFileError {
    path: PathBuf,
    source: io::Error,
}

impl Journal {
    /// Keeps no records.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Keeps the records in a new file. Its directory is made when it is missing.
    ///
    /// # Errors
    /// When the file exists already, or cannot be made.
    pub fn create(path: &Path) -> Result<Self, JournalFileError> {
        let attempt = || {
            if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
                std::fs::create_dir_all(parent)?;
            }
            OpenOptions::new().write(true).create_new(true).open(path)
        };
        let file = attempt().map_err(|source| JournalFileError { path: path.to_owned(), source })?;
        Ok(Self { file: Some((file, path.to_owned())) })
    }

    /// The file, if there is one.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        self.file.as_ref().map(|(_, path)| path.as_path())
    }

    /// One line, in one write: a journal that is torn is torn within its last line.
    fn write(&mut self, line: impl FnOnce() -> String) -> Result<(), JournalFileError> {
        let Some((file, path)) = &mut self.file else { return Ok(()) };
        let line = line() + "\n";
        file.write_all(line.as_bytes()).map_err(|source| JournalFileError { path: path.clone(), source })
    }
}

impl Keep for Journal {
    fn begin(&mut self, spec: &Spec) -> Result<(), KeepError> {
        Ok(self.write(|| header_line(spec))?)
    }

    fn append(&mut self, record: &Record, _: &[Output], _: View<'_>) -> Result<(), KeepError> {
        Ok(self.write(|| record_line(record))?)
    }
}
