//! The `whimbrel` program: its command line, and what it prints and draws.
//!
//! It registers the drivers that were built in. Nothing here decides anything about a migration.

pub mod cli;
pub mod output;
