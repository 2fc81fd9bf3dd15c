//! What each shipped rule can give and needs, for explanations.
//!
//! The list is made by the rules themselves on the facts of their tests (`tests/document.rs`), and a test compares it. The
//! sandboxed packs do not have it.

use alloc::vec::Vec;

const LINES: &str = include_str!("catalogue.txt");

/// What one rule can give and needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Verdicts other than `pass`, in the contract's order.
    pub verdicts: Vec<&'static str>,
    /// JSON pointers to the facts without which it is unknown, sorted.
    pub needs: Vec<&'static str>,
}

/// The entry of a shipped rule; none for a code that no shipped pack has.
#[must_use]
pub fn of(code: &str) -> Option<Entry> {
    let line = LINES.lines().find(|line| line.split('\t').next() == Some(code))?;
    let mut parts = line.split('\t').skip(1);
    let words = |part: Option<&'static str>| part.unwrap_or_default().split_ascii_whitespace().collect();
    let verdicts = words(parts.next());
    Some(Entry { verdicts, needs: words(parts.next()) })
}
