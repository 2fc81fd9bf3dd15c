//! whimbrel-core.
