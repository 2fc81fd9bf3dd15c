//! What to ask of libvirt's migration call.
//!
//! Plain data, turned into typed parameters elsewhere. It must not know which policy chose the values, and it
//! must not leave out silently what a host does not know: see [`super::versions`].

use std::ffi::CStr;
use std::ops::{BitOr, BitOrAssign};

/// A set of libvirt's `VIR_MIGRATE_*` flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct MigrateFlags(u32);

impl MigrateFlags {
    /// The guest runs during the copy.
    pub const LIVE: Self = Self(virt_sys::VIR_MIGRATE_LIVE);
    /// The source's daemon drives the migration; added to every call of this layer.
    pub const PEER2PEER: Self = Self(virt_sys::VIR_MIGRATE_PEER2PEER);
    /// Data goes through the daemons' connection.
    pub const TUNNELLED: Self = Self(virt_sys::VIR_MIGRATE_TUNNELLED);
    /// The destination keeps the definition.
    pub const PERSIST_DEST: Self = Self(virt_sys::VIR_MIGRATE_PERSIST_DEST);
    /// The source drops the definition when the guest has gone.
    pub const UNDEFINE_SOURCE: Self = Self(virt_sys::VIR_MIGRATE_UNDEFINE_SOURCE);
    /// The destination leaves the guest paused.
    pub const PAUSED: Self = Self(virt_sys::VIR_MIGRATE_PAUSED);
    /// Copy whole disks that are not shared.
    pub const NON_SHARED_DISK: Self = Self(virt_sys::VIR_MIGRATE_NON_SHARED_DISK);
    /// Copy only the top layer of disks that are not shared.
    pub const NON_SHARED_INC: Self = Self(virt_sys::VIR_MIGRATE_NON_SHARED_INC);
    /// Only the definition of a guest that is off.
    pub const OFFLINE: Self = Self(virt_sys::VIR_MIGRATE_OFFLINE);
    /// Skip libvirt's guess whether the disks are shared safely.
    pub const UNSAFE: Self = Self(virt_sys::VIR_MIGRATE_UNSAFE);
    /// Compress memory.
    pub const COMPRESSED: Self = Self(virt_sys::VIR_MIGRATE_COMPRESSED);
    /// Give up when a disk fails.
    pub const ABORT_ON_ERROR: Self = Self(virt_sys::VIR_MIGRATE_ABORT_ON_ERROR);
    /// Slow the guest's processors until the copy converges.
    pub const AUTO_CONVERGE: Self = Self(virt_sys::VIR_MIGRATE_AUTO_CONVERGE);
    /// Prepare for post-copy, which begins only by [`super::Domain::start_postcopy`].
    pub const POSTCOPY: Self = Self(virt_sys::VIR_MIGRATE_POSTCOPY);
    /// Encrypt QEMU's connection.
    pub const TLS: Self = Self(virt_sys::VIR_MIGRATE_TLS);
    /// Several connections.
    pub const PARALLEL: Self = Self(virt_sys::VIR_MIGRATE_PARALLEL);
    /// Write copied disks on both sides at once.
    pub const NON_SHARED_SYNCHRONOUS_WRITES: Self = Self(virt_sys::VIR_MIGRATE_NON_SHARED_SYNCHRONOUS_WRITES);
    /// Take up a post-copy that lost its link.
    pub const POSTCOPY_RESUME: Self = Self(virt_sys::VIR_MIGRATE_POSTCOPY_RESUME);
    /// Send without copying in the kernel.
    pub const ZEROCOPY: Self = Self(virt_sys::VIR_MIGRATE_ZEROCOPY);

    /// The number that libvirt takes.
    #[must_use]
    pub fn bits(self) -> u32 {
        self.0
    }

    /// Whether every flag of `other` is in this set.
    #[must_use]
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl BitOr for MigrateFlags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for MigrateFlags {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

/// One migration as libvirt is asked for it. What is `None` or empty is left to libvirt.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MigrateParameters {
    /// How.
    pub flags: MigrateFlags,
    /// Where QEMU's data goes, such as `tcp://192.0.2.12:49152`; without it libvirt uses the destination's
    /// host name.
    pub migrate_uri: Option<String>,
    /// The guest's name over there.
    pub destination_name: Option<String>,
    /// The domain XML for the incoming guest.
    pub destination_xml: Option<String>,
    /// The domain XML that the destination keeps.
    pub persistent_xml: Option<String>,
    /// Upper bound of the pre-copy data in MiB/s.
    pub bandwidth_mib_per_second: Option<u64>,
    /// Upper bound of the post-copy data in MiB/s (libvirt 5.1.0).
    pub postcopy_bandwidth_mib_per_second: Option<u64>,
    /// First step of auto-converge, 1 to 99 percent (libvirt 2.0.0).
    pub auto_converge_initial_percent: Option<i32>,
    /// Further steps of auto-converge, 1 to 99 percent (libvirt 2.0.0).
    pub auto_converge_increment_percent: Option<i32>,
    /// Connections of a parallel migration, with [`MigrateFlags::PARALLEL`] (libvirt 5.2.0).
    pub parallel_connections: Option<i32>,
    /// Target names of the disks to copy, such as `vda`; empty means all that are not shared (libvirt
    /// 1.2.17).
    pub migrate_disks: Vec<String>,
    /// Where disks are copied to, such as `tcp://192.0.2.12:49153` (libvirt 6.8.0).
    pub disks_uri: Option<String>,
}

/// A value on its way into a typed parameter, in the C type that libvirt insists on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Argument<'a> {
    Int(i32),
    UnsignedLongLong(u64),
    Text(&'a str),
}

impl MigrateParameters {
    /// The typed parameters in the order of the fields.
    pub(super) fn arguments(&self) -> Vec<(&'static CStr, Argument<'_>)> {
        let texts = [
            (virt_sys::VIR_MIGRATE_PARAM_URI, &self.migrate_uri),
            (virt_sys::VIR_MIGRATE_PARAM_DEST_NAME, &self.destination_name),
            (virt_sys::VIR_MIGRATE_PARAM_DEST_XML, &self.destination_xml),
            (virt_sys::VIR_MIGRATE_PARAM_PERSIST_XML, &self.persistent_xml),
            (virt_sys::VIR_MIGRATE_PARAM_DISKS_URI, &self.disks_uri),
        ];
        let numbers = [
            (virt_sys::VIR_MIGRATE_PARAM_BANDWIDTH, self.bandwidth_mib_per_second),
            (virt_sys::VIR_MIGRATE_PARAM_BANDWIDTH_POSTCOPY, self.postcopy_bandwidth_mib_per_second),
        ];
        let small = [
            (virt_sys::VIR_MIGRATE_PARAM_AUTO_CONVERGE_INITIAL, self.auto_converge_initial_percent),
            (virt_sys::VIR_MIGRATE_PARAM_AUTO_CONVERGE_INCREMENT, self.auto_converge_increment_percent),
            (virt_sys::VIR_MIGRATE_PARAM_PARALLEL_CONNECTIONS, self.parallel_connections),
        ];
        let texts =
            texts.into_iter().filter_map(|(name, text)| Some((name, Argument::Text(text.as_deref()?))));
        let numbers =
            numbers.into_iter().filter_map(|(name, n)| Some((name, Argument::UnsignedLongLong(n?))));
        let small = small.into_iter().filter_map(|(name, n)| Some((name, Argument::Int(n?))));
        let disks =
            self.migrate_disks.iter().map(|d| (virt_sys::VIR_MIGRATE_PARAM_MIGRATE_DISKS, Argument::Text(d)));
        texts.chain(numbers).chain(small).chain(disks).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{Argument, MigrateFlags, MigrateParameters};

    #[test]
    fn nothing_asked_for_is_nothing_sent() {
        assert_eq!(MigrateParameters::default().arguments(), []);
    }

    #[test]
    fn each_value_goes_out_in_its_c_type() {
        let parameters = MigrateParameters {
            migrate_uri: Some("tcp://192.0.2.12".to_owned()),
            bandwidth_mib_per_second: Some(10),
            parallel_connections: Some(4),
            migrate_disks: vec!["vda".to_owned(), "vdb".to_owned()],
            ..MigrateParameters::default()
        };
        assert_eq!(
            parameters.arguments(),
            [
                (c"migrate_uri", Argument::Text("tcp://192.0.2.12")),
                (c"bandwidth", Argument::UnsignedLongLong(10)),
                (c"parallel.connections", Argument::Int(4)),
                (c"migrate_disks", Argument::Text("vda")),
                (c"migrate_disks", Argument::Text("vdb")),
            ]
        );
    }

    #[test]
    fn flags_are_a_set() {
        let flags = MigrateFlags::LIVE | MigrateFlags::POSTCOPY;
        assert!(flags.contains(MigrateFlags::LIVE));
        assert!(!flags.contains(MigrateFlags::LIVE | MigrateFlags::ZEROCOPY));
        assert_eq!(flags.bits(), 1 | (1 << 15));
    }
}
