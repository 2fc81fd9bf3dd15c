//! Which libvirt brought what: whether a feature may be asked for, given the versions of both daemons.
//!
//! A daemon refuses flags and parameters that it does not know, so the older end decides. The table speaks of
//! libvirt only: whether QEMU or the kernel can do it as well is another question, which only they can
//! answer.

use super::parameters::{MigrateFlags, MigrateParameters};
use std::fmt;

/// A version of libvirt or of a hypervisor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// The first part.
    pub major: u32,
    /// The second part, below 1000.
    pub minor: u32,
    /// The third part, below 1000.
    pub release: u32,
}

impl Version {
    /// Names a version.
    #[must_use]
    pub const fn new(major: u32, minor: u32, release: u32) -> Self {
        Self { major, minor, release }
    }

    /// Reads libvirt's encoding: 1,000,000 × major + 1,000 × minor + release.
    #[must_use]
    pub fn from_number(number: u64) -> Self {
        let part = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
        Self::new(part(number / 1_000_000), part(number / 1_000 % 1_000), part(number % 1_000))
    }

    /// Writes libvirt's encoding, as [`from_number`](Self::from_number) reads it. Only the first part can be above 999 in it.
    #[must_use]
    pub fn to_number(self) -> u64 {
        u64::from(self.major) * 1_000_000 + u64::from(self.minor) * 1_000 + u64::from(self.release)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}.{}", self.major, self.minor, self.release)
    }
}

/// What a migration may ask of libvirt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(
    missing_docs,
    reason = "each variant is the flag, parameter, event or function of the same name in `TABLE`"
)]
pub enum Feature {
    Live,
    Peer2Peer,
    Tunnelled,
    PersistDestination,
    UndefineSource,
    Paused,
    NonSharedDisk,
    NonSharedIncremental,
    Unsafe,
    Compressed,
    AbortOnError,
    AutoConverge,
    Postcopy,
    Tls,
    Parallel,
    SynchronousDiskWrites,
    PostcopyResume,
    Zerocopy,
    MigrateDisks,
    AutoConvergeSteps,
    PostcopyBandwidth,
    DisksUri,
    MaxDowntime,
    ReadMaxDowntime,
    MaxSpeed,
    CompletedStatistics,
    KeepCompletedStatistics,
    IterationEvent,
    JobCompletedEvent,
    AbortPostcopy,
    Messages,
}

/// Whose version counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ends {
    /// Both daemons see the flag or parameter.
    Both,
    /// Only the daemon that is asked, which is the source's.
    Source,
}

/// First versions as the headers and the release notes of libvirt state them.
const TABLE: &[(Feature, Version, Ends)] = &[
    (Feature::Live, Version::new(0, 3, 2), Ends::Both),
    (Feature::Peer2Peer, Version::new(0, 7, 2), Ends::Both),
    (Feature::Tunnelled, Version::new(0, 7, 2), Ends::Both),
    (Feature::PersistDestination, Version::new(0, 7, 3), Ends::Both),
    (Feature::UndefineSource, Version::new(0, 7, 3), Ends::Both),
    (Feature::Paused, Version::new(0, 7, 5), Ends::Both),
    (Feature::NonSharedDisk, Version::new(0, 8, 2), Ends::Both),
    (Feature::NonSharedIncremental, Version::new(0, 8, 2), Ends::Both),
    (Feature::Unsafe, Version::new(0, 9, 11), Ends::Both),
    (Feature::Compressed, Version::new(1, 0, 3), Ends::Both),
    (Feature::AbortOnError, Version::new(1, 1, 0), Ends::Both),
    (Feature::AutoConverge, Version::new(1, 2, 3), Ends::Both),
    (Feature::Postcopy, Version::new(1, 3, 3), Ends::Both),
    (Feature::Tls, Version::new(3, 2, 0), Ends::Both),
    (Feature::Parallel, Version::new(5, 2, 0), Ends::Both),
    (Feature::SynchronousDiskWrites, Version::new(8, 0, 0), Ends::Both),
    (Feature::PostcopyResume, Version::new(8, 5, 0), Ends::Both),
    (Feature::Zerocopy, Version::new(8, 5, 0), Ends::Both),
    (Feature::MigrateDisks, Version::new(1, 2, 17), Ends::Both),
    (Feature::AutoConvergeSteps, Version::new(2, 0, 0), Ends::Both),
    (Feature::PostcopyBandwidth, Version::new(5, 1, 0), Ends::Both),
    (Feature::DisksUri, Version::new(6, 8, 0), Ends::Both),
    (Feature::MaxDowntime, Version::new(0, 8, 0), Ends::Source),
    (Feature::ReadMaxDowntime, Version::new(3, 7, 0), Ends::Source),
    (Feature::MaxSpeed, Version::new(0, 9, 0), Ends::Source),
    (Feature::CompletedStatistics, Version::new(1, 2, 9), Ends::Source),
    (Feature::KeepCompletedStatistics, Version::new(6, 0, 0), Ends::Source),
    (Feature::IterationEvent, Version::new(1, 3, 2), Ends::Source),
    (Feature::JobCompletedEvent, Version::new(1, 3, 3), Ends::Source),
    (Feature::AbortPostcopy, Version::new(8, 5, 0), Ends::Source),
    (Feature::Messages, Version::new(7, 1, 0), Ends::Source),
];

/// The flag of a feature, for those that are flags.
const FLAGS: &[(MigrateFlags, Feature)] = &[
    (MigrateFlags::LIVE, Feature::Live),
    (MigrateFlags::PEER2PEER, Feature::Peer2Peer),
    (MigrateFlags::TUNNELLED, Feature::Tunnelled),
    (MigrateFlags::PERSIST_DEST, Feature::PersistDestination),
    (MigrateFlags::UNDEFINE_SOURCE, Feature::UndefineSource),
    (MigrateFlags::PAUSED, Feature::Paused),
    (MigrateFlags::NON_SHARED_DISK, Feature::NonSharedDisk),
    (MigrateFlags::NON_SHARED_INC, Feature::NonSharedIncremental),
    (MigrateFlags::UNSAFE, Feature::Unsafe),
    (MigrateFlags::COMPRESSED, Feature::Compressed),
    (MigrateFlags::ABORT_ON_ERROR, Feature::AbortOnError),
    (MigrateFlags::AUTO_CONVERGE, Feature::AutoConverge),
    (MigrateFlags::POSTCOPY, Feature::Postcopy),
    (MigrateFlags::TLS, Feature::Tls),
    (MigrateFlags::PARALLEL, Feature::Parallel),
    (MigrateFlags::NON_SHARED_SYNCHRONOUS_WRITES, Feature::SynchronousDiskWrites),
    (MigrateFlags::POSTCOPY_RESUME, Feature::PostcopyResume),
    (MigrateFlags::ZEROCOPY, Feature::Zerocopy),
];

/// The first version with the feature. A feature that the table lacks is not offered by any version.
#[must_use]
pub fn since(feature: Feature) -> Option<Version> {
    TABLE.iter().find(|(entry, ..)| *entry == feature).map(|(_, version, _)| *version)
}

/// Whether the feature may be asked for between daemons of these versions.
#[must_use]
pub fn offered(feature: Feature, source: Version, destination: Version) -> bool {
    TABLE.iter().any(|(entry, version, ends)| {
        *entry == feature && source >= *version && (*ends == Ends::Source || destination >= *version)
    })
}

/// What these parameters ask for that daemons of these versions do not offer, so that it can be said
/// beforehand.
#[must_use]
pub fn missing(parameters: &MigrateParameters, source: Version, destination: Version) -> Vec<Feature> {
    let flags =
        FLAGS.iter().filter(|(flag, _)| parameters.flags.contains(*flag)).map(|(_, feature)| *feature);
    let steps = parameters.auto_converge_initial_percent.is_some()
        || parameters.auto_converge_increment_percent.is_some();
    let rest = [
        (!parameters.migrate_disks.is_empty(), Feature::MigrateDisks),
        (steps, Feature::AutoConvergeSteps),
        (parameters.postcopy_bandwidth_mib_per_second.is_some(), Feature::PostcopyBandwidth),
        (parameters.parallel_connections.is_some(), Feature::Parallel),
        (parameters.disks_uri.is_some(), Feature::DisksUri),
    ];
    let rest = rest.into_iter().filter_map(|(asked, feature)| asked.then_some(feature));
    let mut missing = Vec::new();
    for feature in flags.chain(rest) {
        if !offered(feature, source, destination) && !missing.contains(&feature) {
            missing.push(feature);
        }
    }
    missing
}

#[cfg(test)]
mod tests {
    use super::{FLAGS, Feature, Version, missing, offered, since};
    use crate::parameters::{MigrateFlags, MigrateParameters};

    const OLD: Version = Version::new(8, 4, 0);
    const NEW: Version = Version::new(9, 0, 0);

    #[test]
    fn libvirts_numbers_are_read() {
        assert_eq!(Version::from_number(9_000_000), NEW);
        assert_eq!(Version::from_number(1_002_017), Version::new(1, 2, 17));
        assert_eq!(Version::from_number(7_002_022).to_string(), "7.2.22");
        assert!(Version::from_number(u64::MAX) > NEW);
        for number in [0, 9_000_000, 7_002_022, 4_294_967_295_999_999] {
            assert_eq!(Version::from_number(number).to_number(), number);
        }
    }

    #[test]
    fn the_older_end_decides_about_flags() {
        assert!(offered(Feature::PostcopyResume, NEW, NEW));
        assert!(!offered(Feature::PostcopyResume, NEW, OLD));
        assert!(!offered(Feature::PostcopyResume, OLD, NEW));
        assert!(offered(Feature::Parallel, OLD, NEW));
    }

    #[test]
    fn only_the_source_decides_about_its_own_functions() {
        assert!(offered(Feature::AbortPostcopy, NEW, OLD));
        assert!(!offered(Feature::AbortPostcopy, OLD, NEW));
    }

    #[test]
    fn every_flag_is_in_the_table_and_none_twice() {
        let mut all = 0;
        for (flag, feature) in FLAGS {
            assert!(since(*feature).is_some(), "{feature:?}");
            assert_eq!(all & flag.bits(), 0, "{feature:?}");
            all |= flag.bits();
        }
    }

    #[test]
    fn what_is_missing_is_named_once() {
        let parameters = MigrateParameters {
            flags: MigrateFlags::LIVE | MigrateFlags::PARALLEL | MigrateFlags::ZEROCOPY,
            parallel_connections: Some(2),
            ..MigrateParameters::default()
        };
        assert_eq!(missing(&parameters, NEW, NEW), []);
        assert_eq!(missing(&parameters, NEW, OLD), [Feature::Zerocopy]);
        let ancient = Version::new(5, 0, 0);
        assert_eq!(missing(&parameters, ancient, NEW), [Feature::Parallel, Feature::Zerocopy]);
    }
}
