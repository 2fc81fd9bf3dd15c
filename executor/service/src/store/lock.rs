//! Who drives the migrations of a store: one process at a time. Two would give each migration's commands twice, and undo
//! each other's work.
//!
//! The lock is the operating system's own, on a file beside the database: it goes with its process, however that ends, so
//! none is ever left behind; the remains of a killed process are waited for ([`whimbrel_drive::file_lock`]). A process that
//! only reads needs none.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use super::StoreError;
use whimbrel_drive::{file_lock, private};

/// What the name of the lock's file has behind the store's. The database itself cannot be locked so: its own locks are
/// released as soon as any part of the process closes it.
const SUFFIX: &str = "-lock";

/// Held while this lives.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    /// Waits for at most [`file_lock::PATIENCE`]. It blocks its thread.
    pub(super) fn of(store: &Path) -> Result<Self, StoreError> {
        let file = open(store).map_err(StoreError::Lock)?;
        match file_lock::take(&file) {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(StoreError::Driven),
            Err(TryLockError::Error(error)) => Err(StoreError::Lock(error)),
        }
    }
}

fn open(store: &Path) -> io::Result<File> {
    // One store has one lock, by whatever name it is called.
    let mut name: OsString = match fs::canonicalize(store) {
        Ok(whole) => whole.into_os_string(),
        // A new one, which is made below.
        Err(error) if error.kind() == io::ErrorKind::NotFound => new(store)?.into_os_string(),
        Err(error) => return Err(error),
    };
    name.push(SUFFIX);
    // Nothing is written into it, and it stays: a process that removed it could remove another's.
    // Others could hold a lock that they can open.
    private::open(OpenOptions::new().write(true).create(true).truncate(false), Path::new(&name))
}

fn new(store: &Path) -> io::Result<PathBuf> {
    let folder = store.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = store.file_name().ok_or(io::ErrorKind::IsADirectory)?;
    Ok(fs::canonicalize(folder)?.join(name))
}

#[cfg(test)]
mod tests {
    use super::{Lock, StoreError};

    #[test]
    fn a_store_has_one_driver_by_whatever_name_it_is_called() {
        let folder = std::env::temp_dir().join(format!("whimbrel-lock-{}", std::process::id()));
        std::fs::create_dir(&folder).unwrap();
        let (store, other) = (folder.join("store"), folder.join("other"));
        let first = Lock::of(&store).unwrap();
        std::fs::write(&store, "").unwrap();
        std::os::unix::fs::symlink(&store, &other).unwrap();
        assert!(matches!(Lock::of(&store), Err(StoreError::Driven)));
        assert!(matches!(Lock::of(&other), Err(StoreError::Driven)));
        drop(first);
        assert!(Lock::of(&other).is_ok());
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
