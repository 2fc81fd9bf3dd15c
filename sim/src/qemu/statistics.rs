//! The reports of a migration: events as they happen, and QEMU's own statistics at any instant.
//!
//! The numbers are QEMU's, with QEMU's delays (a dirty rate older than a second, a bandwidth of the last
//! whole window): a policy that uses them must meet the same staleness as in the field.

use whimbrel_core::convergence::{self, SyncKind};

/// Something that happened at an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Event {
    /// The instant, in the engine's nanoseconds.
    pub at_ns: u64,
    /// What happened.
    pub kind: EventKind,
}

/// The kinds of event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// The dirty bitmap was read.
    SyncDone {
        /// The iterations so far; the sync of the setup is the first.
        iteration: u64,
        /// Whether QEMU announces it by an event.
        announced: bool,
        /// Pages that were clean before and are dirty now.
        newly_dirty_pages: u64,
        /// Bytes to send now, pages times page size.
        remaining_bytes: u64,
    },
    /// A rate window of at least 100 ms ended, and bandwidth and threshold were computed again.
    WindowClosed {
        /// Bytes on the wire in this window.
        sent_bytes: u64,
        /// The same for each second.
        bandwidth_bytes_per_second: u64,
        /// The migration hands over once less than this remains.
        threshold_bytes: u64,
    },
    /// The guest is stopped for the last pass: downtime runs.
    GuestStopped,
    /// The guest is stopped and the switchover waits for libvirt.
    PreSwitchover,
    /// The guest runs at the destination, without the memory that has not arrived. It cannot come back.
    PostcopyBegan,
    /// The link was lost after the switch: the migration stalls, and so does the guest wherever it misses a page.
    PostcopyPaused,
    /// The two sides found each other again, and go on.
    PostcopyResumed,
    /// Everything was sent; the source's copy stays stopped.
    Completed,
    /// The migration was cancelled and the guest stayed on the source.
    Cancelled {
        /// Whether the guest had been stopped for the last pass and runs again.
        guest_resumed: bool,
    },
    /// The migration failed and the guest stayed on the source.
    Failed {
        /// Whether the guest had been stopped for the last pass and runs again.
        guest_resumed: bool,
    },
}

/// Where a migration stands, in QEMU's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// Preparing; nothing was sent yet.
    Setup,
    /// Sending.
    Active,
    /// Stopped for the switchover, which waits for libvirt.
    PreSwitchover,
    /// Stopped, with the last pass and the device state being sent.
    Device,
    /// The destination loads the device state. The guest runs nowhere, and is the source's if this fails.
    PostcopyDevice,
    /// The guest runs at the destination; the rest of its memory is sent after it.
    PostcopyActive,
    /// The link was lost after the switch.
    PostcopyPaused,
    /// The two sides compare what has arrived.
    PostcopyRecover,
    /// A cancel was accepted and takes effect at the next step.
    Cancelling,
    /// Failed, with the guest not yet running here again.
    Failing,
    /// Cancelled; the guest is here.
    Cancelled,
    /// Failed; the guest is here.
    Failed,
    /// Done; the guest's memory and state have left.
    Completed,
}

/// A snapshot, as `query-migrate` would answer at this instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statistics {
    /// Where it stands.
    pub status: Status,
    /// From the start until now, or until the end.
    pub elapsed_ms: u64,
    /// How long the setup took; none before it ended.
    pub setup_ms: Option<u64>,
    /// The downtime of the switchover; only when completed, or in post-copy.
    pub downtime_ms: Option<u64>,
    /// The expected downtime if the guest were stopped now; only while sending.
    pub expected_downtime_ms: Option<u64>,
    /// What remains to be sent of everything, memory and devices; only in versions that report it, while sending. Devices
    /// that send while the guest runs (VFIO) are not simulated.
    pub remaining_of_all_bytes: Option<u64>,
    /// The part of its time that auto-converge keeps the guest from running; only while it does.
    pub throttle_percent: Option<u64>,
    /// The memory part.
    pub memory: MemoryStatistics,
}

impl Statistics {
    /// The same in the form of the core, as libvirt reports it, with the kind of the last sync beside it. Disks are not part
    /// of it.
    #[must_use]
    pub fn reported(&self) -> convergence::Statistics {
        let memory = &self.memory;
        convergence::Statistics {
            elapsed_ms: self.elapsed_ms,
            memory_total_bytes: memory.total_bytes,
            memory_remaining_bytes: memory.remaining_bytes,
            memory_sent_bytes: memory.transferred_bytes,
            pages_sent: memory.normal_pages + memory.xbzrle_pages + memory.zero_pages,
            page_size_bytes: memory.page_size_bytes,
            iteration: memory.dirty_sync_count,
            sync_kind: memory.sync_kind,
            dirty_rate_pages_per_second: Some(memory.dirty_rate_pages_per_second),
            bandwidth_bytes_per_second: Some(memory.bandwidth_bytes_per_second),
            downtime_ms: self.downtime_ms.or(self.expected_downtime_ms),
            throttle_percent: self.throttle_percent.unwrap_or(0),
            ..convergence::Statistics::default()
        }
    }
}

/// The memory part of a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryStatistics {
    /// Main memory and firmware.
    pub total_bytes: u64,
    /// Sent so far: pages with their headers, block names and end marks, without section headers.
    pub transferred_bytes: u64,
    /// Dirty pages times page size: falls while sending, leaps up at a sync.
    pub remaining_bytes: u64,
    /// Pages sent with their content; a page sent twice counts twice.
    pub normal_pages: u64,
    /// Zero pages sent as a header only (QEMU calls them duplicates).
    pub zero_pages: u64,
    /// Pages sent as a difference to what was sent before; not counted among the normal ones.
    pub xbzrle_pages: u64,
    /// Pages that the guest had to wait for after the switch to post-copy.
    pub postcopy_requests: u64,
    /// How long its virtual CPUs waited for those, all together, in ms.
    pub postcopy_waited_ms: u64,
    /// Bytes of a page.
    pub page_size_bytes: u64,
    /// Newly dirty pages a second, worked out at syncs at least a second apart.
    pub dirty_rate_pages_per_second: u64,
    /// Syncs so far: the iteration.
    pub dirty_sync_count: u64,
    /// Whether the last of them ended a pass, which QEMU does not report.
    pub sync_kind: SyncKind,
    /// Bytes a second in the last whole window; over the whole migration once completed.
    pub bandwidth_bytes_per_second: u64,
}

/// The time that a guest's writers had for their work. No hypervisor reports it: it is for comparisons, never for a
/// policy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct GuestWork {
    /// Time since the start, of all writers together.
    pub all_ns: u64,
    /// The part of it that a throttle, a stopped guest or waiting for pages took, less what a writer has made up for.
    pub lost_ns: u64,
}
