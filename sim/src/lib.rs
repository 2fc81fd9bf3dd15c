//! whimbrel-sim.
