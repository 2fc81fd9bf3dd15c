//! How true the simulated hypervisor is: recorded migrations of real QEMU beside what the page engine makes of them.
//!
//! [`read`] takes recordings, a JSON object a line, and groups the repeats of a case; [`compare`] runs the engine over
//! a number of seeds and sets the medians side by side. What the engine does not model is named with its reason and
//! never left out in silence. Nothing here may give the engine anything of a recording but what was set before the
//! migration began.

mod guest;
mod recording;
mod report;
mod run;

pub use recording::{Case, RecordingError, Setup, read};
pub use report::{CaseReport, Report, Side, Skipped, Summary, compare};
pub use run::Run;
