//! The states of the migration loop, and how long each lasts.
//!
//! Only data: what each state does is in the loop.

/// One uninterrupted call of QEMU's "send what you can".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Burst {
    /// When it began; it gives up after more than 50 ms.
    pub(crate) started_ns: u64,
    /// Pages sent in it.
    pub(crate) pages: u64,
    /// Section header and footer, sent with the first page.
    pub(crate) frame_bytes: u64,
    /// Pages of its last packet, which is not full yet, where pages go by packets.
    pub(crate) open_pages: u64,
    /// When the pages in flight, all of one price, are through or a limit is reached, if it is known; nothing happens
    /// before.
    pub(crate) goes_on_until_ns: u64,
}

impl Burst {
    /// One that begins with a frame of this many bytes.
    pub(crate) fn new(started_ns: u64, frame_bytes: u64) -> Self {
        Self { started_ns, pages: 0, frame_bytes, open_pages: 0, goes_on_until_ns: 0 }
    }
}

/// What the loop does at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Preparing until an instant.
    Setup { until_ns: u64 },
    /// At the top of the loop.
    Top,
    /// Reading the dirty bitmap because little remains.
    Syncing { until_ns: u64 },
    /// Waiting, with the bitmap read, for virtual CPUs that sleep.
    AwaitingCpus { until_ns: u64 },
    /// Deciding between sending and handing over.
    Judging,
    /// Sending pages within the budget.
    Sending(Burst),
    /// Sleeping to the end of the window, whose budget is spent.
    Sleeping { until_ns: u64 },
    /// Stopping the virtual CPUs.
    Stopping { until_ns: u64 },
    /// The sync after the stop.
    LastSync { until_ns: u64 },
    /// Waiting, with the guest stopped, for the word to hand over.
    PreSwitchover { reported: bool },
    /// Sending the rest without any limit but the link.
    LastPass(Burst),
    /// Saving and sending the device state.
    DeviceState { until_ns: u64 },
    /// Stopping the virtual CPUs, to let them go on at the destination without their memory.
    PostcopyStopping { until_ns: u64 },
    /// The sync after that, and sending the device state.
    PostcopyPackage { until_ns: u64 },
    /// The destination loads the device state; the guest runs nowhere, and is still the source's.
    PostcopyDevice { until_ns: u64 },
    /// The link was lost after the switch: both sides wait.
    PostcopyPaused,
    /// The destination reports the pages that it has.
    PostcopyRecovering { until_ns: u64 },
    /// The copy failed, and the guest does not run again yet.
    Failing { until_ns: u64 },
    /// Completed, cancelled or failed.
    Ended,
}

impl Step {
    /// When a state ends that only takes time.
    pub(crate) fn until_ns(self) -> Option<u64> {
        match self {
            Self::Setup { until_ns }
            | Self::Syncing { until_ns }
            | Self::AwaitingCpus { until_ns }
            | Self::Sleeping { until_ns }
            | Self::Stopping { until_ns }
            | Self::LastSync { until_ns }
            | Self::DeviceState { until_ns }
            | Self::PostcopyStopping { until_ns }
            | Self::PostcopyPackage { until_ns }
            | Self::PostcopyDevice { until_ns }
            | Self::Failing { until_ns }
            | Self::PostcopyRecovering { until_ns } => Some(until_ns),
            Self::Top
            | Self::Judging
            | Self::Sending(_)
            | Self::PreSwitchover { .. }
            | Self::LastPass(_)
            | Self::PostcopyPaused
            | Self::Ended => None,
        }
    }
}

/// What one turn of the loop came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn<T> {
    /// An event to report.
    Happened(T),
    /// Another state; go on.
    Moved,
    /// Nothing more before the given instant.
    Waiting,
}
