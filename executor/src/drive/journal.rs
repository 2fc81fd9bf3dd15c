//! The journal of a migration in a file, written ahead: a record is with the operating system before the commands
//! that it causes are given, so it outlives this process.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use whimbrel_core::journal::{Circumstances, Record, header_line, record_line};
use whimbrel_core::{Output, Spec, View};

use crate::private;

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

/// A journal in a file of its own. The file is locked as long as this lives: two drivers of one migration would undo
/// each other's work.
#[derive(Debug, Default)]
pub struct Journal {
    file: Option<(File, PathBuf)>,
    circumstances: Option<Circumstances>,
}

/// A journal that could not be kept.
#[derive(Debug, thiserror::Error)]
pub enum JournalFileError {
    /// It cannot be written.
    #[error("cannot write the journal `{}`", path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Somebody keeps it.
    #[error("the journal `{}` is being kept by another process", .0.display())]
    Kept(PathBuf),
}

impl Journal {
    /// Keeps no records.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Keeps the records in a new file, for this user only. Its directory is made when it is missing.
    ///
    /// # Errors
    /// When the file exists already, or cannot be made.
    pub fn create(path: &Path, circumstances: Circumstances) -> Result<Self, JournalFileError> {
        let attempt = || {
            if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
                private::make_folder(parent)?;
            }
            private::open(OpenOptions::new().write(true).create_new(true), path)
        };
        let file = locked(attempt().map_err(unwritable(path))?, path)?;
        Ok(Self { file: Some((file, path.to_owned())), circumstances: Some(circumstances) })
    }

    /// Keeps the records behind those of a journal that somebody else began, and gives what is in it. A line that was
    /// torn while it was written is taken off: what it was to cause was never commanded.
    ///
    /// # Errors
    /// When it cannot be read or written, or is still being kept.
    pub fn adopt(path: &Path) -> Result<(Self, String), JournalFileError> {
        let open = private::open(OpenOptions::new().read(true).write(true), path);
        let mut file = locked(open.map_err(unwritable(path))?, path)?;
        let mut whole = || {
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            bytes.truncate(bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1));
            file.set_len(u64::try_from(bytes.len()).unwrap_or(u64::MAX))?;
            file.seek(SeekFrom::End(0))?;
            String::from_utf8(bytes).map_err(io::Error::other)
        };
        let text = whole().map_err(unwritable(path))?;
        Ok((Self { file: Some((file, path.to_owned())), circumstances: None }, text))
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
        file.write_all(line.as_bytes()).map_err(unwritable(path))
    }
}

impl Keep for Journal {
    fn begin(&mut self, spec: &Spec) -> Result<(), KeepError> {
        // One that was adopted has its header.
        let Some(circumstances) = self.circumstances.take() else { return Ok(()) };
        Ok(self.write(|| header_line(spec, Some(circumstances)))?)
    }

    fn append(&mut self, record: &Record, _: &[Output], _: View<'_>) -> Result<(), KeepError> {
        Ok(self.write(|| record_line(record))?)
    }
}

fn locked(file: File, path: &Path) -> Result<File, JournalFileError> {
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(JournalFileError::Kept(path.to_owned())),
        // Where there are no locks, as on some network file systems, a journal is worth more than its lock.
        Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => Ok(file),
        Err(TryLockError::Error(source)) => Err(unwritable(path)(source)),
    }
}

fn unwritable(path: &Path) -> impl FnOnce(io::Error) -> JournalFileError {
    let path = path.to_owned();
    move |source| JournalFileError::Unwritable { path, source }
}
