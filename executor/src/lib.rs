//! whimbrel.
