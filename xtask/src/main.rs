//! Developers verbs.
fn main() {}
