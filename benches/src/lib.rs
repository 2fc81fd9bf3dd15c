//! whimbrel-benches.
