//! How true the simulated hypervisor is: recorded migrations of real QEMU beside what an engine makes of them.
//!
//! [`read`] takes recordings, a JSON object a line, and groups the repeats of a case; [`compare`] runs the engine over
//! a number of seeds and sets the medians side by side. What the engine does not have is named with its reason and
//! never left out in silence. Nothing here may give the engine anything of a judged recording but what was set or known
//! before the migration began; the costs of the host come from idle guests.

mod arguments;
mod compare;
mod constants;
mod edge;
mod estimates;
mod features;
mod pacing;
mod recording;
mod report;
mod row;
mod run;
mod targets;
mod trace;
mod workload;

pub use arguments::Arguments;
pub use compare::{compare, compare_watched, migrations};
pub use constants::HostConstant;
pub use edge::EdgeReport;
pub use recording::{Case, RecordingError, Repeat, read};
pub use report::{CaseReport, NotSimulated, Report, Side, Summary, WorkloadReport};
pub use run::Run;
pub use targets::Target;
