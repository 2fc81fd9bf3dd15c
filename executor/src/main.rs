//! whimbrel.
fn main() {}
