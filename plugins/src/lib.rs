//! whimbrel-plugins.
