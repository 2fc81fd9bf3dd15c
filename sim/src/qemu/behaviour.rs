//! The rules of QEMU's migration loop that changed from one version to another.
//!
//! Each is one fact about the loop; which version has which is in [`crate::versions`], with its source. The default is
//! the loop of QEMU 7.2, with which most recordings were made. The loop must ask for a rule by its name and never for a
//! version.

/// How a version's loop behaves where versions differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Behaviour {
    /// When a copy may complete, and which of a switch to post-copy and completion comes first.
    pub completion: Completion,
    /// When the loop reads the dirty bitmap.
    pub sync: SyncRule,
    /// Which syncs are iterations: counted, and announced by an event.
    pub iterations: Iterations,
    /// How the expected downtime is computed.
    pub expected_downtime: ExpectedDowntime,
    /// When the state `device` is shown.
    pub device: DeviceState,
    /// Whether the destination loads the device state in the state `postcopy-device`, in which a failure still lets the
    /// guest go on at the source.
    pub postcopy_device: bool,
    /// Whether a copy that failed is `failing` until the guest runs again at the source, and `failed` only then.
    pub failing: bool,
    /// Whether the statistics have a system-wide number of remaining bytes, apart from that of memory.
    pub remaining_of_all: bool,
}

/// When a copy may complete.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Completion {
    /// When less than the threshold remains, or nothing. A requested switch to post-copy is made only if it cannot.
    #[default]
    BelowThreshold,
    /// When at most the threshold remains. A requested switch to post-copy is made first.
    AtThreshold,
}

/// When the loop reads the dirty bitmap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SyncRule {
    /// When less than the threshold remains.
    #[default]
    BelowThreshold,
    /// When at most the threshold remains, or nothing that must be sent before a switch to post-copy. With post-copy
    /// allowed no memory must be: the bitmap is read before every burst.
    AtThresholdOrAllPostcopiable,
}

/// Which syncs are iterations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Iterations {
    /// Every sync.
    #[default]
    EverySync,
    /// Those of the loop. The setup's counts as the first and is not announced; those of the throttle's timer, of the
    /// last pass and of the switch to post-copy are neither.
    OfTheLoop,
}

/// How the expected downtime is computed, from the bytes that remained at the last sync.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ExpectedDowntime {
    /// At the end of each rate window in which more than 10,000 bytes were sent, once a dirty rate is known.
    #[default]
    AtWindows,
    /// Whenever it is queried, from the second iteration on.
    OnQuery,
}

/// When the state `device` is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum DeviceState {
    /// After a switchover that waited to be continued; a switch to post-copy is `postcopy-active` from its beginning.
    #[default]
    AfterWaiting,
    /// In every switchover, from when the guest was stopped.
    Always,
}
