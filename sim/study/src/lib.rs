//! Compares convergence policies on simulated migrations.
//!
//! A [`Grid`] names kinds of guests, sizes, links, intents and seeds. Every policy meets the same guests on the same links
//! (common random numbers), on the simulator's lumped engine, through the statistics that libvirt would report. [`compare`]
//! runs them and sums up; [`run`] is one migration under one policy.
//!
//! Floating point decides nothing here that a policy sees: it only sums up what happened.

#![forbid(unsafe_code)]

mod calibration;
mod comparison;
mod cost;
mod grid;
mod hindsight;
mod kinds;
mod link;
mod migration;
mod model_beside;
mod table;

pub use calibration::{Calibration, Outlook, Score, calibrate, chances_before_ppm, outlooks};
pub use comparison::{Cell, Comparison, Estimate, PolicyReport, compare};
pub use cost::cost_ms;
pub use grid::{BUILT_IN, Case, Grid, GridError, IntentRow};
pub use hindsight::{Hindsight, hindsight};
pub use kinds::Kind;
pub use migration::{Ended, Observer, Run, run, run_measured, run_observed};
pub use model_beside::ModelBeside;
