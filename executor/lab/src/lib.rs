//! whimbrel-lab.
