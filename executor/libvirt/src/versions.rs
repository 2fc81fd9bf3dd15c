//! Which libvirt brought what: whether a feature may be requested, given the versions of both daemons.
//!
//! A daemon refuses flags and parameters that it does not know, so the older end decides. The table has the flags that
//! are used, and speaks of libvirt only: whether QEMU or the kernel can do it as well is another question, which only they can
//! answer.

use super::parameters::{MigrateFlags, MigrateParameters};
use std::fmt;

/// A version of libvirt or of a hypervisor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Version {
    /// The first part.
    pub(crate) major: u32,
    /// The second part, below 1000.
    pub(crate) minor: u32,
    /// The third part, below 1000.
    pub(crate) release: u32,
}

impl Version {
    /// Names a version.
    #[must_use]
    pub(crate) const fn new(major: u32, minor: u32, release: u32) -> Self {
        Self { major, minor, release }
    }

    /// Reads libvirt's encoding: 1,000,000 × major + 1,000 × minor + release.
    #[must_use]
    pub(crate) fn from_number(number: u64) -> Self {
        let part = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
        Self::new(part(number / 1_000_000), part(number / 1_000 % 1_000), part(number % 1_000))
    }

    /// Writes libvirt's encoding, as [`from_number`](Self::from_number) reads it. Only the first part can be above 999 in it.
    #[must_use]
    pub(crate) fn to_number(self) -> u64 {
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
pub(crate) enum Feature {
    Live,
    Peer2Peer,
    PersistDestination,
    UndefineSource,
    NonSharedDisk,
    Unsafe,
    Compressed,
    AutoConverge,
    Postcopy,
    Parallel,
    PostcopyResume,
    MigrateDisks,
    PersistentXml,
}

/// The flags and their first versions, as the headers and the release notes of libvirt state them.
const FLAGS: &[(MigrateFlags, Feature, Version)] = &[
    (MigrateFlags::LIVE, Feature::Live, Version::new(0, 3, 2)),
    (MigrateFlags::PEER2PEER, Feature::Peer2Peer, Version::new(0, 7, 2)),
    (MigrateFlags::PERSIST_DEST, Feature::PersistDestination, Version::new(0, 7, 3)),
    (MigrateFlags::UNDEFINE_SOURCE, Feature::UndefineSource, Version::new(0, 7, 3)),
    (MigrateFlags::NON_SHARED_DISK, Feature::NonSharedDisk, Version::new(0, 8, 2)),
    (MigrateFlags::UNSAFE, Feature::Unsafe, Version::new(0, 9, 11)),
    (MigrateFlags::COMPRESSED, Feature::Compressed, Version::new(1, 0, 3)),
    (MigrateFlags::AUTO_CONVERGE, Feature::AutoConverge, Version::new(1, 2, 3)),
    (MigrateFlags::POSTCOPY, Feature::Postcopy, Version::new(1, 3, 3)),
    (MigrateFlags::PARALLEL, Feature::Parallel, Version::new(5, 2, 0)),
    (MigrateFlags::POSTCOPY_RESUME, Feature::PostcopyResume, Version::new(8, 5, 0)),
];
/// The parameter that names the disks.
const MIGRATE_DISKS: Version = Version::new(1, 2, 17);
/// The parameter that has the definition that stays.
const PERSISTENT_XML: Version = Version::new(1, 3, 4);

/// What these parameters ask for that daemons of these versions do not offer, so that it can be said
/// beforehand.
#[must_use]
pub(crate) fn missing(parameters: &MigrateParameters, source: Version, destination: Version) -> Vec<Feature> {
    let older = source.min(destination);
    let flags = FLAGS.iter().filter(|(flag, ..)| parameters.flags.contains(*flag));
    let disks = (!parameters.migrate_disks.is_empty()).then_some((Feature::MigrateDisks, MIGRATE_DISKS));
    let definition = parameters.persistent_xml.is_some().then_some((Feature::PersistentXml, PERSISTENT_XML));
    let asked = flags.map(|(_, feature, version)| (*feature, *version)).chain(disks).chain(definition);
    asked.filter(|(_, version)| older < *version).map(|(feature, _)| feature).collect()
}

#[cfg(test)]
mod tests {
    use super::{FLAGS, Feature, Version, missing};
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
    fn the_older_end_decides_and_each_feature_is_named_once() {
        let parameters = MigrateParameters {
            flags: MigrateFlags::LIVE | MigrateFlags::PARALLEL | MigrateFlags::POSTCOPY_RESUME,
            parallel_connections: Some(2),
            ..MigrateParameters::default()
        };
        assert_eq!(missing(&parameters, NEW, NEW), []);
        assert_eq!(missing(&parameters, NEW, OLD), [Feature::PostcopyResume]);
        assert_eq!(missing(&parameters, OLD, NEW), [Feature::PostcopyResume]);
        let ancient = Version::new(5, 0, 0);
        assert_eq!(missing(&parameters, ancient, NEW), [Feature::Parallel, Feature::PostcopyResume]);
        let disks =
            MigrateParameters { migrate_disks: vec!["vda".to_owned()], ..MigrateParameters::default() };
        assert_eq!(missing(&disks, Version::new(1, 2, 16), NEW), [Feature::MigrateDisks]);
        let definition = MigrateParameters {
            persistent_xml: Some("<domain/>".to_owned()),
            ..MigrateParameters::default()
        };
        assert_eq!(missing(&definition, Version::new(1, 3, 3), NEW), [Feature::PersistentXml]);
    }

    #[test]
    fn no_flag_is_twice_in_the_table() {
        let mut all = 0;
        for (flag, feature, _) in FLAGS {
            assert_eq!(all & flag.bits(), 0, "{feature:?}");
            all |= flag.bits();
        }
    }
}
