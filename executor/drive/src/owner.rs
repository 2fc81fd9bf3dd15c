//! Which driver a migration belongs to, so that drivers in different processes see each other.
//!
//! The identity comes from what outlives the driver: its journal, or its store and the migration's number. A driver that
//! adopts the migration therefore has the same identity. It must never depend on the process: everything else here is for
//! people.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::date::date_of;

/// The driver of one migration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Its identity; the same for every process that drives this migration.
    pub id: String,
    /// Where its record is, for people.
    pub record: String,
    /// The machine of the driver.
    pub host: String,
    /// The account of the driver.
    pub user: String,
    /// The process that wrote this.
    pub pid: u32,
    /// When the migration began, in milliseconds since 1970.
    pub began_at_unix_ms: u64,
}

impl Owner {
    /// The driver of a migration whose journal is this file. The file may be moved, but not renamed.
    #[must_use]
    pub fn of_journal(journal: &Path, began_at_unix_ms: u64) -> Self {
        let name = file_name(journal);
        Self::new(
            &format!("{name}@{began_at_unix_ms}"),
            &format!("journal `{}`", whole(journal)),
            began_at_unix_ms,
        )
    }

    /// The driver of this migration of a service. The store may be moved, but not renamed.
    #[must_use]
    pub fn of_store(store: &Path, migration: i64, began_at_unix_ms: u64) -> Self {
        let name = file_name(store);
        Self::new(
            &format!("{name}#{migration}@{began_at_unix_ms}"),
            &format!("migration {migration} of the service with the store `{}`", whole(store)),
            began_at_unix_ms,
        )
    }

    fn new(id: &str, record: &str, began_at_unix_ms: u64) -> Self {
        let uid = rustix::process::getuid().as_raw();
        Self {
            // It is typed at a terminal, and written into XML.
            id: id.chars().map(|c| if c.is_ascii_graphic() && c != '\'' { c } else { '_' }).collect(),
            record: printable(record),
            host: host_name(),
            user: std::env::var("USER").map_or_else(|_| format!("uid {uid}"), |user| printable(&user)),
            pid: std::process::id(),
            began_at_unix_ms,
        }
    }

    /// Who it is, and since when, for another driver's refusal.
    #[must_use]
    pub fn describe(&self) -> String {
        let since = UNIX_EPOCH + std::time::Duration::from_millis(self.began_at_unix_ms);
        format!(
            "owner {}: {}, process {} of {} on {}, since {}",
            self.id,
            self.record,
            self.pid,
            self.user,
            self.host,
            date_of(since)
        )
    }
}

/// Now, in milliseconds since 1970; 0 before it.
#[must_use]
pub fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// As the kernel has it.
fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    if name.trim().is_empty() { "unknown".to_owned() } else { printable(name.trim()) }
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn whole(path: &Path) -> String {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).display().to_string()
}

/// Control characters cannot be written in XML.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_identity_outlives_the_process_and_the_folder() {
        let at_first = Owner::of_journal(Path::new("/var/a/web-1.journal"), 1_764_434_400_000);
        let later = Owner { pid: 0, host: "other".to_owned(), ..at_first.clone() };
        let moved = Owner::of_journal(Path::new("elsewhere/web-1.journal"), 1_764_434_400_000);
        assert_eq!((&at_first.id, &at_first.id), (&later.id, &moved.id));
        assert_ne!(at_first.id, Owner::of_journal(Path::new("/var/a/web-1.journal"), 1).id);
        let store = Path::new("/var/store");
        assert_ne!(Owner::of_store(store, 1, 5).id, Owner::of_store(store, 2, 5).id);
    }

    #[test]
    fn it_can_be_typed_written_and_read() {
        let owner = Owner::of_journal(Path::new("/tmp/a b'\u{7}ü.journal"), 1_764_434_400_000);
        assert_eq!(owner.id, "a_b___.journal@1764434400000");
        assert!(!owner.record.contains('\u{7}'), "{}", owner.record);
        let text = owner.describe();
        assert!(text.contains(&owner.id) && text.contains("2025-11-29 16:40:00 UTC"), "{text}");
    }
}
