//! What a version can do: the one table of it, each row with its source.
//!
//! A row is a statement about released programs. It must never decide against the answer of a host: where QEMU reported
//! its blockers, or libvirt its capabilities, that counts.

use alloc::format;
use alloc::string::String;

/// `major * 1000000 + minor * 1000 + release`, as the facts have versions.
pub(crate) const fn version(major: u64, minor: u64) -> u64 {
    major * 1_000_000 + minor * 1_000
}

/// How a version is written.
pub(crate) fn dotted(version: u64) -> String {
    format!("{}.{}.{}", version / 1_000_000, version / 1_000 % 1_000, version % 1_000)
}

/// From which version of QEMU the state of a device travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Travels {
    /// In no version that is known here.
    Never,
    /// From this version on.
    Since(u64),
    /// From this version on under a condition that the definition does not show.
    Perhaps(u64),
}

/// Source: QEMU 10.0.13 and 10.2.50, `hw/display/virtio-gpu-base.c`, migration blocker.
pub(crate) const VIRGL: Travels = Travels::Never;
/// Source: QEMU 10.0.13, `hw/audio/virtio-snd.c`, `unmigratable`.
pub(crate) const VIRTIO_SOUND: Travels = Travels::Never;
/// Source: QEMU 10.0.13, `hw/usb/dev-audio.c`, `unmigratable`.
pub(crate) const USB_SOUND: Travels = Travels::Never;
/// Source: QEMU 10.0.13, `hw/usb/dev-network.c`, `unmigratable`.
pub(crate) const USB_NETWORK: Travels = Travels::Never;
/// Source: QEMU 10.0.13, `hw/usb/dev-serial.c`, `unmigratable`.
pub(crate) const USB_SERIAL: Travels = Travels::Never;
/// Source: QEMU 10.0.13, `hw/usb/dev-mtp.c`, `unmigratable`.
pub(crate) const USB_MEDIA: Travels = Travels::Never;
/// Source: QEMU 10.0.13, `hw/s390x/s390-pci-bus.c`, `unmigratable`.
pub(crate) const ZPCI: Travels = Travels::Never;
/// Source: QEMU 10.0.13, `hw/vfio/ap.c` and `ccw.c`, `unmigratable`.
pub(crate) const MEDIATED_S390: Travels = Travels::Never;
/// Source: QEMU 8.1, `hw/display/virtio-gpu.c`, which writes the state of blobs.
pub(crate) const VIDEO_BLOB: Travels = Travels::Since(version(8, 1));
/// The device must be able to log its writes, or be shadowed. Source: QEMU 8.0, `net/vhost-vdpa.c`, shadow virtqueues.
pub(crate) const VDPA_CARD: Travels = Travels::Perhaps(version(8, 0));
/// Source: QEMU 10.0.13, `hw/virtio/virtio-crypto.c`, `unmigratable`.
pub(crate) const VIRTIO_CRYPTO: Travels = Travels::Never;
/// Source: QEMU 10.0.13, `hw/input/virtio-input-host.c`, `unmigratable`.
pub(crate) const INPUT_OF_HOST: Travels = Travels::Never;
/// Source: QEMU 10.0.13, `hw/nvme/ctrl.c`, `unmigratable`.
pub(crate) const EMULATED_NVME: Travels = Travels::Never;
/// Source: QEMU 10.0.13, `hw/virtio/vdpa-dev.c`, `unmigratable`.
pub(crate) const VDPA_DISK: Travels = Travels::Never;
/// Since 10.1 it depends on how libvirt creates the device. Source: QEMU 10.0.13, `hw/i386/amd_iommu.c`, `unmigratable`.
pub(crate) const AMD_IOMMU: Travels = Travels::Perhaps(version(10, 1));
/// Source: QEMU 10.0.13, `ui/vdagent.c`, migration blocker; its state is written since 10.1.
pub(crate) const CLIPBOARD_AGENT: Travels = Travels::Since(version(10, 1));
/// The kernel's driver must be able to save the state. Source: QEMU 8.1, `hw/vfio/migration.c`, protocol v2.
pub(crate) const VFIO: Travels = Travels::Perhaps(version(8, 1));
/// The destination must have the same device. Source: QEMU 6.0, `hw/scsi/scsi-generic.c`, which has a state.
pub(crate) const SCSI_OF_HOST: Travels = Travels::Perhaps(version(6, 0));

/// The first libvirt that takes QEMU's own list of blockers for its own. Source: libvirt 8.6, `qemu_migration.c`,
/// `blockedReasonsCap`.
pub(crate) const LIBVIRT_ASKS_QEMU: u64 = version(8, 6);
/// The first libvirt whose source lets a guest with virtiofs go. Source: libvirt 10.0, `qemu_migration.c`.
pub(crate) const LIBVIRT_MOVES_VIRTIOFS: u64 = version(10, 0);
/// The first libvirt that limits a larger raw block device to the size of the disk that is copied to it. Source: libvirt,
/// NEWS of 10.0.
pub(crate) const LIBVIRT_LIMITS_DEVICES: u64 = version(10, 0);
/// The libvirt versions whose daemon ends when a failed post-copy is resumed: from the first, before the second. Source:
/// libvirt, NEWS of 11.4.
pub(crate) const LIBVIRT_ENDS_ON_RESUME: (u64, u64) = (version(11, 2), version(11, 4));
/// The first libvirt that takes a guest with several threads a core into QEMU 10.0. Source: libvirt, NEWS of 11.10.
pub(crate) const LIBVIRT_KNOWS_HT: u64 = version(11, 10);
/// The first QEMU that shows the feature `ht` to such guests by another rule. Source: as above.
pub(crate) const QEMU_CHANGES_HT: u64 = version(10, 0);
/// The first libvirt that keeps `GnuTLS` from ending QEMU in a long encrypted transfer. Source: libvirt, NEWS of 11.6.
pub(crate) const LIBVIRT_LONG_TLS: u64 = version(11, 6);

/// What a table's row says of a pair of versions; 0 is an unknown version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Travels,
    Stays,
    Depends,
    /// A version is not known, and it matters.
    NotKnown,
}

impl Travels {
    /// Both ends have to be able to: the source writes the state, and the destination reads it.
    pub(crate) fn between(self, source: u64, destination: u64) -> Answer {
        let (Self::Since(first) | Self::Perhaps(first)) = self else { return Answer::Stays };
        let is_old = |version: u64| version > 0 && version < first;
        if is_old(source) || is_old(destination) {
            Answer::Stays
        } else if source == 0 || destination == 0 {
            Answer::NotKnown
        } else if matches!(self, Self::Since(_)) {
            Answer::Travels
        } else {
            Answer::Depends
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_older_end_decides() {
        let (old, new) = (version(10, 0), version(10, 1));
        assert_eq!(CLIPBOARD_AGENT.between(new, new), Answer::Travels);
        assert_eq!(CLIPBOARD_AGENT.between(old, new), Answer::Stays);
        assert_eq!(CLIPBOARD_AGENT.between(new, old), Answer::Stays);
        assert_eq!(CLIPBOARD_AGENT.between(0, new), Answer::NotKnown);
        assert_eq!(CLIPBOARD_AGENT.between(0, old), Answer::Stays);
        assert_eq!(AMD_IOMMU.between(new, new), Answer::Depends);
        assert_eq!(VIRGL.between(0, 0), Answer::Stays);
    }
}
