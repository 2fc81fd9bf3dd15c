//! What a host costs: the few constants that the loop cannot know by itself.
//!
//! They describe a machine, not a migration. They must never be tuned on the migrations that the engine is
//! judged by: the defaults come from idle guests, whose writes cannot hide an error, except where the field
//! says otherwise.

/// Costs of one source host and of the destination that it sends to.
///
/// The recordings behind the defaults are six migrations of an idle 512 MiB guest and 71 others, by QEMU
/// 7.2 without hardware acceleration between two processes of one two-core machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct HostConstants {
    /// Bytes a second that a source can push when nothing limits it, until the link is set otherwise.
    /// Default 1.35 GB/s: last passes of 5, 10 and 50 MB took 8, 13 and 28 to 50 ms with the device state. An idle
    /// guest's last pass is empty, so this one constant comes from recordings of busy guests.
    pub link_bytes_per_second: u64,
    /// From the request until the first sync is done. Default 2 ms (idle: 1 to 2 ms).
    pub setup_ns: u64,
    /// What one connection's thread can push; several channels carry several times as much, up to the link. Default
    /// 1.35 GB/s, as for the link: on two cores a second channel brought nothing.
    pub channel_bytes_per_second: u64,
    /// The same with pages that are not copied first. Default 2.7 GB/s: a copy saved of two (kernel and memory); not
    /// measured.
    pub zero_copy_bytes_per_second: u64,
    /// Looking through one page that turns out to be all zeros. Default 1 µs: the tail of an idle guest's
    /// first pass, 61,440 zero pages, took 58 to 66 ms in the quiet recordings.
    pub zero_page_scan_ns: u64,
    /// What the destination needs more for a page that it never touched before: its kernel has to find memory for it.
    /// Default 0. In recordings of a guest of 512 MiB it was 0 to 30 µs a page, more from one run to the next than
    /// anything else about a host.
    pub first_touch_ns: u64,
    /// Finding what changed in a page and encoding it (XBZRLE). Default 2 µs; not measured alone.
    pub encode_page_ns: u64,
    /// What the destination needs for each page after the switch to post-copy, while the next is on its way: it is put
    /// in its place by a system call. Default 7 µs: the stream after the switch made 500 to 670 MB/s, on a quiet host
    /// with a link of 2.3 GB/s and on a busy one with 1.35 GB/s alike.
    pub place_page_ns: u64,
    /// What is in the pipe before a page that the guest waits for, unless it may overtake. Default 512 KiB, a socket's
    /// buffers.
    pub pipe_bytes: u64,
    /// One way between the hosts, for what a guest waits for after the switch. Default 0.05 ms: one machine's own
    /// network.
    pub latency_ns: u64,
    /// A bitmap sync, whatever the size. Default 0.2 ms (idle: 0.04 to 1.2 ms, median 0.2 ms).
    pub sync_fixed_ns: u64,
    /// A bitmap sync, for each word of 64 pages. Default 8 ns: Cloud Hypervisor measured 382 ms for the
    /// 384 MiB bitmap of a 12 TB guest.
    pub sync_ns_per_word: u64,
    /// How late a thread that slept to the end of its rate window wakes up. Default 0.15 ms: the windows of the quieter
    /// half of the idle recordings averaged 100.04 to 100.12 ms, and of all 100.7.
    pub wake_up_ns: u64,
    /// Rate windows in a million that end late because the host was busy elsewhere. Default 0.
    pub stalls_per_million_windows: u64,
    /// By how much those are late. Default 0.
    pub stall_ns: u64,
    /// Whether each sync waits, once it has read the bitmap, until every virtual CPU has come out of the sleep that
    /// auto-converge put it to. Default no; so it is under emulation, where a sync lets each CPU end what it was at.
    pub syncs_wait_for_cpus: bool,
    /// How long the destination loads the device state after a switch to post-copy, where the source waits for it
    /// (`postcopy-device`). Default 5 ms, as long as saving and sending it; not measured.
    pub load_device_state_ns: u64,
    /// From the decision to switch over until the last virtual CPU is stopped. Default 0.4 ms (idle: 0.2
    /// to 0.6 ms between the two last syncs).
    pub stop_guest_ns: u64,
    /// Saving and sending the device state with the guest stopped. Default 5 ms: the downtime of idle guests (1 to 18
    /// ms, median 8.5) and of others with an almost empty last pass (3 ms) less the stop and the syncs.
    pub device_state_ns: u64,
}

impl Default for HostConstants {
    fn default() -> Self {
        Self {
            link_bytes_per_second: 1_350_000_000,
            setup_ns: 2_000_000,
            channel_bytes_per_second: 1_350_000_000,
            zero_copy_bytes_per_second: 2_700_000_000,
            zero_page_scan_ns: 1_000,
            first_touch_ns: 0,
            encode_page_ns: 2_000,
            place_page_ns: 7_000,
            pipe_bytes: 512 << 10,
            latency_ns: 50_000,
            sync_fixed_ns: 200_000,
            sync_ns_per_word: 8,
            wake_up_ns: 150_000,
            stalls_per_million_windows: 0,
            stall_ns: 0,
            syncs_wait_for_cpus: false,
            load_device_state_ns: 5_000_000,
            stop_guest_ns: 400_000,
            device_state_ns: 5_000_000,
        }
    }
}
