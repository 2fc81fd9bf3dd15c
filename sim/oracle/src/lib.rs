//! An independent checker of what really happened to a guest that was migrated.
//!
//! Ground truth is a [`History`]: when each copy of the guest was created, received memory, ran, and ended; which
//! storage was written; and what the migration observed. [`check`] goes through a history and reports every
//! [`Violation`] of three rules, with the instants, copies and versions that prove it:
//!
//! 1. **One writer.** No two copies run at the same time on the same storage.
//! 2. **Matching versions.** The memory of a copy that runs is never older than its storage, and its storage never
//!    older than its memory.
//! 3. **No loss.** No command of the migration ends the last copy from which the guest can go on.
//!
//! [`check_claim`] compares what a migration reports at its end with the same history.
//!
//! # Versions
//!
//! Each run of a copy advances the version of the storage it uses, and the version of that storage that its memory
//! knows. Memory that is copied takes its known versions along. A copy whose memory knows an older version than its
//! storage has is *stale*: its caches describe a file system that has changed since.
//!
//! This crate must never depend on the migration's state machine or on a simulator, nor take over an assumption of
//! theirs: a history says what happened, and nothing about what was meant.

#![forbid(unsafe_code)]

mod check;
mod claim;
mod history;
mod state;

pub use check::{Rule, Violation, check};
pub use claim::{Claim, ClaimViolation, Reason, check_claim};
pub use history::{Actor, CopyId, End, Event, History, HostId, Part, Seen, SettingId, StorageId, Writes};

/// The page of the package, so that its example is tried.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
