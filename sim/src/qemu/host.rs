//! What a host costs: the few constants that the loop cannot know by itself.
//!
//! They describe a machine, not a migration. They must never be tuned on the migrations that the engine is
//! judged by: the defaults come from idle guests, whose writes cannot hide an error, except where the field
//! says otherwise.

/// Costs of one source host.
///
/// The recordings behind the defaults are six migrations of an idle 512 MiB guest and 71 others, by QEMU
/// 7.2 without hardware acceleration between two processes of one two-core machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct HostConstants {
    /// Bytes a second that a source can push when nothing limits it, until the link is set otherwise.
    /// Default 1 GB/s: last passes of 15.6 MB took 22 to 24 ms including the device state. An idle guest's
    /// last pass is empty, so this one constant comes from recordings of a small busy working set.
    pub link_bytes_per_second: u64,
    /// From the request until the first sync is done. Default 2 ms (idle: 1 to 2 ms).
    pub setup_ns: u64,
    /// Looking through one page that turns out to be all zeros. Default 1.15 µs: the tail of an idle guest's
    /// first pass, 61,440 zero pages, took 59 to 100 ms, on average 87 ms with 1,870 other pages.
    pub zero_page_scan_ns: u64,
    /// A bitmap sync, whatever the size. Default 0.2 ms (idle: 0.04 to 1.2 ms, median 0.2 ms).
    pub sync_fixed_ns: u64,
    /// A bitmap sync, for each word of 64 pages. Default 8 ns: Cloud Hypervisor measured 382 ms for the
    /// 384 MiB bitmap of a 12 TB guest.
    pub sync_ns_per_word: u64,
    /// How late a thread that slept to the end of its rate window wakes up. Default 0.5 ms: idle windows
    /// averaged between 100.1 and 102.5 ms, median 100.3, mean 100.7.
    pub wake_up_ns: u64,
    /// From the decision to hand over until the last virtual CPU stands still. Default 0.4 ms (idle: 0.2
    /// to 0.6 ms between the two last syncs).
    pub stop_guest_ns: u64,
    /// Saving and sending the device state with the guest stopped. Default 7.5 ms: the downtime of an idle
    /// guest (1 to 18 ms, median 8.5) less the stop and the syncs.
    pub device_state_ns: u64,
}

impl Default for HostConstants {
    fn default() -> Self {
        Self {
            link_bytes_per_second: 1_000_000_000,
            setup_ns: 2_000_000,
            zero_page_scan_ns: 1_150,
            sync_fixed_ns: 200_000,
            sync_ns_per_word: 8,
            wake_up_ns: 500_000,
            stop_guest_ns: 400_000,
            device_state_ns: 7_500_000,
        }
    }
}
