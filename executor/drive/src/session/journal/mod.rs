//! The journal of a migration in a file, written ahead: a record is on the disk before commands that change something
//! are sent, and handed to the operating system before any other command, so it outlives this process.
//!
//! The disk has a thread of its own ([`disk`]), which is waited for within a bound only: a disk that hangs must not keep
//! a stopped guest from being resumed.

mod disk;
mod earlier;

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Sender, channel, sync_channel};
use std::thread;
use std::time::Duration;

use whimbrel_core::journal::{DriverContext, Record, header_line, record_line};
use whimbrel_core::{Action, Output, Spec, View};

use self::disk::{Ask, Medium};
pub use self::earlier::EarlierLines;
use super::acks::{Acks, COMMIT_WAIT};
use crate::{file_lock, private};

/// How long the start waits for the disk. Nothing has been started yet, so a slow disk harms nothing.
const FIRST_LINE: Duration = Duration::from_mins(1);
/// How long the end waits for a slow disk.
const LAST_LINES: Duration = Duration::from_secs(5);

/// The sink for the records of a migration. An implementation keeps in memory what it cannot write immediately, and
/// retries: it receives every record, whether or not earlier ones were written.
pub trait JournalSink: Send {
    /// The request.
    ///
    /// # Errors
    /// When it could not be saved: the migration is not started then.
    fn begin(&mut self, spec: &Spec) -> Result<(), JournalSinkError>;

    /// A record, with its outputs and the migration's state after it. Returns when it is durable, or after a bounded time: the
    /// commands that it causes are sent after that.
    ///
    /// # Errors
    /// When a record is lost permanently: the journal has a gap, and ends before it.
    fn append(&mut self, record: &Record, outputs: &[Output], view: View<'_>)
    -> Result<(), JournalSinkError>;

    /// Waits until every record so far is durable, at most for `bound`. Returns whether they are.
    ///
    /// # Errors
    /// When a record is lost permanently.
    fn settle(&mut self, bound: Duration) -> Result<bool, JournalSinkError>;

    /// No record follows: tries for the last time to make pending ones durable.
    ///
    /// # Errors
    /// When some records are not durable.
    fn finish(&mut self) -> Result<(), JournalSinkError>;
}

/// A record that could not be saved.
#[derive(Debug, thiserror::Error)]
pub enum JournalSinkError {
    /// In a file.
    #[error(transparent)]
    File(#[from] JournalFileError),
    /// In a store.
    #[error("the store did not save every record: {0}")]
    Store(String),
}

/// A journal in a file of its own. The file is locked as long as its thread lives: two drivers of one migration would
/// undo each other's work.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    disk: Sender<Ask>,
    acks: Acks<String>,
    context: Option<DriverContext>,
}

/// A journal that could not be written.
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
    /// Another process is writing it.
    #[error("another process is writing the journal `{}`", .0.display())]
    Kept(PathBuf),
    /// Its last records are missing.
    #[error("the last records are missing in the journal `{}`: {reason}", path.display())]
    Incomplete {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

impl Journal {
    /// Writes the records to a new file, for this user only.
    ///
    /// # Errors
    /// When the file exists already, or cannot be created.
    pub fn create(path: &Path, context: DriverContext) -> Result<Self, JournalFileError> {
        let attempt = || {
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            let file = private::open(OpenOptions::new().write(true).create_new(true), path)?;
            // A file whose name is not on the disk is lost with the power, however often it is synced itself.
            File::open(parent.unwrap_or(Path::new(".")))?.sync_all()?;
            Ok(file)
        };
        let file = locked(attempt().map_err(unwritable(path))?, path)?;
        Self::serve(file, 0, path, Some(context))
    }

    /// Appends the records to the journal of an earlier driver, and returns the lines that it has. A torn last line is
    /// removed: its commands were never sent.
    ///
    /// # Errors
    /// When it cannot be read or written, or another process is writing it.
    pub fn adopt(path: &Path) -> Result<(Self, EarlierLines), JournalFileError> {
        let open = private::open(OpenOptions::new().read(true).write(true), path);
        let mut file = locked(open.map_err(unwritable(path))?, path)?;
        let mut cut = || {
            let length = earlier::whole_length(&mut file)?;
            file.set_len(length)?;
            file.seek(SeekFrom::End(0))?;
            Ok(EarlierLines::new(path, length))
        };
        let lines = cut().map_err(unwritable(path))?;
        Ok((Self::serve(file, lines.length(), path, None)?, lines))
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn serve(
        medium: impl Medium,
        length: u64,
        path: &Path,
        context: Option<DriverContext>,
    ) -> Result<Self, JournalFileError> {
        let (disk, asked) = channel();
        thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || disk::serve(medium, length, &asked))
            .map_err(unwritable(path))?;
        Ok(Self { path: path.to_owned(), disk, acks: Acks::new(), context })
    }

    /// Writes one line, and waits for it within a bound.
    fn write(&mut self, line: String, sync: bool) -> Result<(), JournalFileError> {
        let text = line + "\n";
        // A missing acknowledgement reveals that the thread has ended.
        let send = |ack| drop(self.disk.send(Ask::Line { text, sync, ack }));
        let said = self.acks.hand_over(COMMIT_WAIT, send);
        said.unwrap_or_else(|_| Err(STOPPED.to_owned())).map_err(incomplete(&self.path))
    }

    fn ask_disk(&self, bound: Duration) -> Result<(), String> {
        let (ack, said) = sync_channel(1);
        drop(self.disk.send(Ask::Finish(ack)));
        said.recv_timeout(bound).map_err(|_| "the disk does not answer".to_owned())?
    }
}

/// The thread cannot end before its journal, unless it panicked.
const STOPPED: &str = "the thread of the journal has stopped";

impl JournalSink for Journal {
    fn begin(&mut self, spec: &Spec) -> Result<(), JournalSinkError> {
        // An adopted journal has its header.
        let Some(context) = self.context.take() else { return Ok(()) };
        self.write(header_line(spec, Some(context)), true)?;
        let unwritten = |reason| unwritable(&self.path)(io::Error::other(reason));
        Ok(self.ask_disk(FIRST_LINE).map_err(unwritten)?)
    }

    fn append(&mut self, record: &Record, outputs: &[Output], _: View<'_>) -> Result<(), JournalSinkError> {
        let is_command = |output: &Output| match output {
            Output::Command(command) => changes_something(&command.action),
            Output::Event(_) => false,
        };
        Ok(self.write(record_line(record), outputs.iter().any(is_command))?)
    }

    fn settle(&mut self, bound: Duration) -> Result<bool, JournalSinkError> {
        let settled = self.acks.finish(Some(bound));
        let (are_durable, said) = settled.unwrap_or_else(|_| (false, Err(STOPPED.to_owned())));
        said.map_err(incomplete(&self.path))?;
        Ok(are_durable)
    }

    fn finish(&mut self) -> Result<(), JournalSinkError> {
        Ok(self.ask_disk(LAST_LINES).map_err(incomplete(&self.path))?)
    }
}

/// Whether a command changes something at the hosts: its record must survive a power loss.
const fn changes_something(action: &Action) -> bool {
    match action {
        Action::CollectFacts
        | Action::EvaluateRules(_)
        | Action::ReadSettings
        | Action::PollJob
        | Action::Observe(_) => false,
        Action::ApplySetting(_)
        | Action::StartMigration
        | Action::AbortMigration
        | Action::StartPostcopy
        | Action::ResumePostcopy
        | Action::Resume(_)
        | Action::Destroy(_)
        | Action::Suspend
        | Action::Undefine(_)
        | Action::RemoveDisks(_) => true,
    }
}

fn locked(file: File, path: &Path) -> Result<File, JournalFileError> {
    match file_lock::take(&file) {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(JournalFileError::Kept(path.to_owned())),
        // Without locks, as on some network file systems, a journal is more important than its lock.
        Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => Ok(file),
        Err(TryLockError::Error(source)) => Err(unwritable(path)(source)),
    }
}

fn unwritable(path: &Path) -> impl FnOnce(io::Error) -> JournalFileError {
    let path = path.to_owned();
    move |source| JournalFileError::Unwritable { path, source }
}

fn incomplete(path: &Path) -> impl FnOnce(String) -> JournalFileError {
    let path = path.to_owned();
    move |reason| JournalFileError::Incomplete { path, reason }
}
