//! The source side of a QEMU migration in virtual time.
//!
//! [`SourceMigration`] runs QEMU's own loop: a circular walk over the dirty pages, a byte budget per 100 ms
//! window, a bitmap sync whenever less than one downtime's worth remains, and a last pass with the guest
//! stopped. The guest's writes are drawn at the syncs only, because only their union is ever observed. That
//! is why it is both exact to the page and fast.
//!
//! It must never read a clock, use floating point to decide anything, or know who drives it: the same
//! configuration and seed give the same events on every machine, however finely time is stepped.

mod behaviour;
mod burst;
mod config;
mod dirty_limit;
mod dirty_rate;
mod fast_forward;
mod host;
mod machine;
mod migration_loop;
mod postcopy;
mod report;
mod source;
mod statistics;
mod step;
mod syncs;
mod throttle;
mod wakeup_jitter;
mod wire;
mod xbzrle;

pub use behaviour::{Behaviour, Completion, DeviceState, ExpectedDowntime, Iterations, SyncRule};
pub use config::{AutoConverge, Channels, DirtyLimit, Postcopy, SourceConfig, Xbzrle};
pub use dirty_rate::dirty_rate_mib_per_second;
pub use host::HostConstants;
pub(crate) use machine::{Machine, Plan};
pub use source::{Engine, SourceMigration};
pub use statistics::{Event, EventKind, GuestWork, MemoryStatistics, Statistics, Status};
