//! The source side of a QEMU 7.2 pre-copy migration, page by page, in virtual time.
//!
//! [`SourceMigration`] runs QEMU's own loop: a circular walk over the dirty bitmap, a byte budget per 100 ms
//! window, a bitmap sync whenever less than one downtime's worth remains, and a last pass with the guest
//! stopped. The guest's writes are drawn at the syncs only, because only their union is ever observed. That
//! is why the engine is both exact to the page and fast.
//!
//! It must never read a clock, use floating point to decide anything, or know who drives it: the same
//! configuration and seed give the same events on every machine, however finely time is stepped.

mod bitmap;
mod chance;
mod guest;
mod host;
mod pattern;
mod ram;
mod source;
mod statistics;
mod step;
mod throttle;
mod transfer;
mod turns;

pub use guest::{Guest, PAGE_BYTES, UniformPhase, Writer};
pub use host::HostConstants;
pub use pattern::{HOT_SHARE_ONE, Pattern, SteadyWriter};
pub use source::{SourceConfig, SourceMigration};
pub use statistics::{Event, EventKind, MemoryStatistics, Statistics, Status};
