//! Roots of other generations of libvirt and QEMU, for hosts that are older or newer than the machine.
//!
//! A root is Debian of one release with a daemon and an emulator, kept as a tarball in a folder of the machine (never in
//! the repository) and unpacked when a host first needs it. Hosts see it read-only, so that any number of them share
//! one. `build` makes a root from Debian's archive, `cache` keeps it, `mirror` decides where it comes from. A root must
//! never be used whose tarball has another digest than its manifest records.

mod build;
mod cache;
mod mirror;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use cache::{FOLDER_VARIABLE, Manifest, Prepared, RootCache};

/// A release of Debian, and with it a version of libvirt and one of QEMU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Generation {
    /// The root's name.
    pub name: &'static str,
    /// The release's code name.
    suite: &'static str,
    /// Where packages are taken from first, if not from the release itself.
    backports: Option<&'static str>,
    /// Packages that are installed beside the smallest Debian.
    packages: &'static str,
    /// Where the release moves when it is no longer supported.
    archive: bool,
}

/// Everything that a host needs, where libvirt's daemon comes with all of its drivers.
const PACKAGES: &str =
    "iproute2 libvirt-clients libvirt-daemon libvirt-daemon-driver-qemu qemu-system-x86 qemu-utils";
/// The same, where each driver is a package. Without one its calls are answered as unsupported.
const SPLIT_PACKAGES: &str = "iproute2 libvirt-clients libvirt-daemon libvirt-daemon-driver-interface \
    libvirt-daemon-driver-network libvirt-daemon-driver-nodedev libvirt-daemon-driver-nwfilter \
    libvirt-daemon-driver-qemu libvirt-daemon-driver-secret libvirt-daemon-driver-storage qemu-system-x86 qemu-utils";

/// All generations, the oldest first. In November 2026 they had libvirt 7.0 with QEMU 5.2, 9.0 with 7.2, 11.3 with 10.0, and
/// 12.9 with 11.1; the manifest of a root has the versions that were installed.
pub const GENERATIONS: [Generation; 4] = [
    Generation { name: "bullseye", suite: "bullseye", backports: None, packages: PACKAGES, archive: true },
    Generation { name: "bookworm", suite: "bookworm", backports: None, packages: PACKAGES, archive: false },
    Generation { name: "trixie", suite: "trixie", backports: None, packages: SPLIT_PACKAGES, archive: false },
    Generation {
        name: "trixie-backports",
        suite: "trixie",
        backports: Some("trixie-backports"),
        packages: SPLIT_PACKAGES,
        archive: false,
    },
];

impl Generation {
    /// The generation of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        GENERATIONS.into_iter().find(|generation| generation.name == name)
    }

    /// All names, for messages.
    #[must_use]
    pub fn names() -> String {
        GENERATIONS.map(|generation| generation.name).join(", ")
    }
}

/// A folder that hosts can have as their root. It stays as it is while this, or a clone of it, exists.
#[derive(Clone, Debug)]
pub struct Root {
    path: PathBuf,
    /// Locked against removal.
    _lock: Option<Arc<File>>,
}

impl Root {
    /// Any folder with a whole system in it, such as the machine's own `/`.
    #[must_use]
    pub fn folder(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), _lock: None }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use super::{GENERATIONS, Generation};

    #[test]
    fn names_are_unique_and_found() {
        for generation in GENERATIONS {
            assert_eq!(Generation::named(generation.name), Some(generation));
        }
        assert_eq!(Generation::named("sid"), None);
        assert_eq!(Generation::names().split(", ").count(), GENERATIONS.len());
    }

    #[test]
    fn every_generation_has_a_daemon_an_emulator_and_what_migrates_disks() {
        for generation in GENERATIONS {
            for package in ["libvirt-daemon-driver-qemu", "qemu-system-x86", "qemu-utils", "iproute2"] {
                assert!(
                    generation.packages.split(' ').any(|one| one == package),
                    "{}: {package}",
                    generation.name
                );
            }
        }
    }
}
