//! The dirty rate of a guest, as its host measures it before a migration.

use serde::{Deserialize, Serialize};

/// Intervals that libvirt measures over, in whole seconds.
pub const INTERVALS_S: std::ops::RangeInclusive<u16> = 1..=60;

/// One measurement. A page counts once however often it was written: a longer interval gives a smaller rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DirtyRate {
    /// Over so long.
    pub interval_ms: u64,
    /// Memory that was written at least once, by second.
    pub bytes_per_second: u64,
}
