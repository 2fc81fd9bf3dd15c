//! Presents a migration to people: the interface of observers, and the wording of events and outcomes in plain English, which
//! the command line, the service and the page share.
//!
//! It must never claim more than was observed, and no text of a guest or hypervisor reaches a terminal unchecked.

pub mod messages;
pub mod names;
pub mod phases;
pub mod summary;
pub mod units;
mod watcher;

pub use watcher::Watcher;
