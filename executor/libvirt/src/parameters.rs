//! What to ask of libvirt's migration call.
//!
//! Plain data, turned into typed parameters elsewhere. It must not know which policy chose the values, and it
//! must not leave out silently what a host does not know: see [`super::versions`].

use std::ffi::CStr;
use std::ops::{BitOr, BitOrAssign};

/// A set of libvirt's `VIR_MIGRATE_*` flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct MigrateFlags(u32);

impl MigrateFlags {
    /// The guest runs during the copy.
    pub(crate) const LIVE: Self = Self(virt_sys::VIR_MIGRATE_LIVE);
    /// The source's daemon drives the migration; added to every call of this layer.
    pub(crate) const PEER2PEER: Self = Self(virt_sys::VIR_MIGRATE_PEER2PEER);
    /// The destination keeps the definition.
    pub(crate) const PERSIST_DEST: Self = Self(virt_sys::VIR_MIGRATE_PERSIST_DEST);
    /// The source drops the definition when the guest has gone.
    pub(crate) const UNDEFINE_SOURCE: Self = Self(virt_sys::VIR_MIGRATE_UNDEFINE_SOURCE);
    /// Copy whole disks that are not shared.
    pub(crate) const NON_SHARED_DISK: Self = Self(virt_sys::VIR_MIGRATE_NON_SHARED_DISK);
    /// Only the definition of a guest that is off.
    pub(crate) const OFFLINE: Self = Self(virt_sys::VIR_MIGRATE_OFFLINE);
    /// Skip libvirt's guess whether the disks are shared safely.
    pub(crate) const UNSAFE: Self = Self(virt_sys::VIR_MIGRATE_UNSAFE);
    /// Compress memory.
    pub(crate) const COMPRESSED: Self = Self(virt_sys::VIR_MIGRATE_COMPRESSED);
    /// Slow the guest's processors until the copy converges.
    pub(crate) const AUTO_CONVERGE: Self = Self(virt_sys::VIR_MIGRATE_AUTO_CONVERGE);
    /// Prepare for post-copy, which begins only by [`super::Domain::start_postcopy`].
    pub(crate) const POSTCOPY: Self = Self(virt_sys::VIR_MIGRATE_POSTCOPY);
    /// Several connections.
    pub(crate) const PARALLEL: Self = Self(virt_sys::VIR_MIGRATE_PARALLEL);
    /// Take up a post-copy that lost its link.
    pub(crate) const POSTCOPY_RESUME: Self = Self(virt_sys::VIR_MIGRATE_POSTCOPY_RESUME);

    /// The number that libvirt takes.
    #[must_use]
    pub(crate) fn bits(self) -> u32 {
        self.0
    }

    /// Whether every flag of `other` is in this set.
    #[must_use]
    pub(crate) fn contains(self, other: Self) -> bool {
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

/// One migration as it is requested from libvirt. What is `None` or empty is left to libvirt.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct MigrateParameters {
    /// How.
    pub(crate) flags: MigrateFlags,
    /// Where QEMU's data goes, such as `tcp://192.0.2.12:49152`; without it libvirt uses the destination's
    /// host name.
    pub(crate) migrate_uri: Option<String>,
    /// The domain XML for the incoming guest.
    pub(crate) destination_xml: Option<String>,
    /// The domain XML that the destination keeps.
    pub(crate) persistent_xml: Option<String>,
    /// Connections of a parallel migration, with [`MigrateFlags::PARALLEL`] (libvirt 5.2.0).
    pub(crate) parallel_connections: Option<i32>,
    /// Target names of the disks to copy, such as `vda`; empty means all that are not shared (libvirt
    /// 1.2.17).
    pub(crate) migrate_disks: Vec<String>,
}

/// A value on its way into a typed parameter, in the C type that libvirt insists on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Argument<'a> {
    Int(i32),
    Text(&'a str),
}

impl MigrateParameters {
    /// The typed parameters in the order of the fields.
    pub(super) fn arguments(&self) -> Vec<(&'static CStr, Argument<'_>)> {
        let texts = [
            (virt_sys::VIR_MIGRATE_PARAM_URI, &self.migrate_uri),
            (virt_sys::VIR_MIGRATE_PARAM_DEST_XML, &self.destination_xml),
            (virt_sys::VIR_MIGRATE_PARAM_PERSIST_XML, &self.persistent_xml),
        ];
        let texts =
            texts.into_iter().filter_map(|(name, text)| Some((name, Argument::Text(text.as_deref()?))));
        let connections = self
            .parallel_connections
            .map(|count| (virt_sys::VIR_MIGRATE_PARAM_PARALLEL_CONNECTIONS, Argument::Int(count)));
        let disks =
            self.migrate_disks.iter().map(|d| (virt_sys::VIR_MIGRATE_PARAM_MIGRATE_DISKS, Argument::Text(d)));
        texts.chain(connections).chain(disks).collect()
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
            parallel_connections: Some(4),
            migrate_disks: vec!["vda".to_owned(), "vdb".to_owned()],
            ..MigrateParameters::default()
        };
        assert_eq!(
            parameters.arguments(),
            [
                (c"migrate_uri", Argument::Text("tcp://192.0.2.12")),
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
        assert!(!flags.contains(MigrateFlags::LIVE | MigrateFlags::PARALLEL));
        assert_eq!(flags.bits(), 1 | (1 << 15));
    }
}
