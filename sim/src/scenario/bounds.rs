//! Bounds that several sections share. They keep a scenario within what the engines can count, and a simulation short.

/// Where the guest's region starts: below lie the guest's own code and data.
pub(super) const REGION_START_MIB: u64 = 16;
/// A guest that can hold itself and a region.
pub(super) const MIN_MEMORY_MIB: u64 = 32;
/// 1 TiB: a page map of 32 MiB.
pub(super) const MAX_MEMORY_MIB: u64 = 1 << 20;
pub(super) const MAX_WRITES_PER_SECOND: u64 = 1_000_000_000;
/// 100 GiB/s, beyond any network card.
pub(super) const MAX_BANDWIDTH_MIB_PER_SECOND: u64 = 100_000;
/// A week.
pub(super) const MAX_TIME_MS: u64 = 604_800_000;
/// A minute.
pub(super) const MAX_LATENCY_US: u64 = 60_000_000;
pub(super) const MAX_ITERATION: u64 = 1_000_000;
/// QEMU's own bound on its downtime limit.
pub(super) const MAX_DOWNTIME_MS: u64 = 2_000_000;
/// 1 PiB.
pub(super) const MAX_ROOM_MIB: u64 = 1 << 30;

pub(super) const BYTES_PER_MIB: u64 = 1 << 20;
pub(super) const PAGES_PER_MIB: u64 = 256;
pub(super) const NS_PER_US: u64 = 1_000;
pub(super) const NS_PER_MS: u64 = 1_000_000;
