//! The versions that are simulated as a whole: with every difference of the tables that the simulator has, and with the
//! evidence for each.
//!
//! Any version can be simulated; these are the ones that hosts of today run, and for which it is stated what the model
//! rests on. A profile has no numbers of its own: what differs is in the tables, and what a host costs is measured on
//! that host.

use super::{Version, libvirt, qemu};

/// A version, and what its simulation rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Profile {
    /// The version.
    pub version: Version,
    /// What its simulation rests on.
    pub evidence: Evidence,
}

/// What the simulation of a version rests on, the strongest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Evidence {
    /// The engine was compared with recordings of this version.
    Recorded,
    /// Real migrations of this version were observed, without recordings to compare with.
    Observed,
    /// The source, its history and its mailing list were read.
    SourceReading,
}

impl Evidence {
    /// In words, for documents.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Recorded => "recordings",
            Self::Observed => "observed migrations",
            Self::SourceReading => "source reading only",
        }
    }
}

const fn profile(major: u32, minor: u32, evidence: Evidence) -> Profile {
    Profile { version: Version::new(major, minor, 0), evidence }
}

/// QEMU's profiles, oldest first.
pub const QEMU: [Profile; 6] = [
    profile(5, 2, Evidence::Observed),
    profile(7, 2, Evidence::Recorded),
    profile(9, 2, Evidence::SourceReading),
    profile(10, 0, Evidence::Observed),
    profile(10, 1, Evidence::SourceReading),
    profile(11, 1, Evidence::Observed),
];

/// libvirt's profiles, oldest first.
pub const LIBVIRT: [Profile; 4] = [
    profile(7, 0, Evidence::Observed),
    profile(9, 0, Evidence::Recorded),
    profile(11, 3, Evidence::Observed),
    profile(12, 9, Evidence::Observed),
];

/// What QEMU's profiles differ in, as far as the simulator has it.
pub const QEMU_DIFFERENCES: [qemu::Feature; 13] = [
    qemu::Feature::PostcopyPreempt,
    qemu::Feature::DirtyLimit,
    qemu::Feature::PeriodicSync,
    qemu::Feature::DeviceAlways,
    qemu::Feature::AtThreshold,
    qemu::Feature::PostcopyFirst,
    qemu::Feature::MultifdWithPostcopy,
    qemu::Feature::PostcopyDevice,
    qemu::Feature::Failing,
    qemu::Feature::SyncEachBurst,
    qemu::Feature::LoopIterations,
    qemu::Feature::DowntimeOnQuery,
    qemu::Feature::RemainingOfAll,
];

/// What libvirt's profiles differ in, as far as the simulator has it.
pub const LIBVIRT_DIFFERENCES: [libvirt::Feature; 3] = [
    libvirt::Feature::PostcopyResume,
    libvirt::Feature::RunningPostcopyFailed,
    libvirt::Feature::ResumeCrashes,
];
