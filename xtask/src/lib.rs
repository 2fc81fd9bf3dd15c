//! The rules that the project keeps about its own files, so that tests and `cargo xtask tidy` share them.
//!
//! It must never change a file: it checks and reports.

#![forbid(unsafe_code)]

pub mod bugs;
pub mod tidy;
mod tree;

pub use tree::{Tree, TreeError};
