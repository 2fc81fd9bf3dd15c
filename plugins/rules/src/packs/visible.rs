//! Which parts of a definition the guest sees, for definitions that are given for the destination.
//!
//! The table must not guess: a path that no row names is of an unknown kind, never of a harmless one.
//!
//! Sources: libvirt, "Domain XML format"; libvirt's comparison of definitions before a migration
//! (`virDomainDefCheckABIStability` in `domain_conf.c`); for options of QEMU's devices its documentation of each device.

/// What a difference means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The guest sees it, and its absence too.
    Guest,
    /// The guest sees it. Where a definition leaves it out, libvirt chooses it, and may choose the same.
    Filled,
    /// The guest sees whether it is there. Another value may stand for the same thing on another host.
    Presence,
    /// The host alone uses it, or it changes while the guest runs.
    Host,
    /// The host alone uses it, unless one of the values is that of SPICE: then the name that the guest sees may depend on it.
    OfSpice,
    /// Another rule compares it.
    Elsewhere,
    /// No row names it.
    Unknown,
}

use Kind::{Elsewhere, Filled, Guest, Host, OfSpice, Presence};

/// The kind of a path such as `devices/disk[vda]/driver/@cache`.
pub(super) fn kind(path: &str) -> Kind {
    TABLE.iter().find(|(pattern, _)| matches(pattern, path)).map_or(Kind::Unknown, |(_, kind)| *kind)
}

/// Whether a path fits a row: `*` is any one step, `**` any number of steps at the end, and a step with `[` begins so.
fn matches(pattern: &str, path: &str) -> bool {
    let mut steps = path.split('/');
    for expected in pattern.split('/') {
        if expected == "**" {
            return true;
        }
        let Some(step) = steps.next() else { return false };
        let name = step.split('[').next().unwrap_or(step);
        let fits = if expected.contains('[') {
            step.starts_with(expected)
        } else {
            expected == "*" || expected == name
        };
        if !fits {
            return false;
        }
    }
    steps.next().is_none()
}

/// The first row that fits counts.
const TABLE: &[(&str, Kind)] = &[
    ("@type", Guest),
    ("@id", Host),
    ("name", Elsewhere),
    ("uuid", Elsewhere),
    ("genid", Guest),
    ("title", Host),
    ("description", Host),
    ("metadata/**", Elsewhere),
    ("memory", Elsewhere),
    ("memory/@dumpCore", Host),
    ("maxMemory", Elsewhere),
    ("maxMemory/@slots", Guest),
    // libvirt leaves out what the balloon changes while the guest runs (`VIR_DOMAIN_DEF_ABI_CHECK_SKIP_VOLATILE`).
    ("currentMemory", Host),
    ("memoryBacking/**", Host),
    ("vcpu", Elsewhere),
    ("vcpu/@current", Elsewhere),
    ("vcpu/**", Host),
    ("vcpus/**", Filled),
    ("iothreads/**", Host),
    ("iothreadids/**", Host),
    ("defaultiothread/**", Host),
    ("cputune/**", Host),
    ("numatune/**", Host),
    ("memtune/**", Host),
    ("blkiotune/**", Host),
    ("resource/**", Host),
    ("perf/**", Host),
    ("seclabel/**", Host),
    ("sysinfo/**", Guest),
    ("os/type", Guest),
    ("os/type/**", Elsewhere),
    ("os/smbios/**", Guest),
    ("os/loader", Presence),
    ("os/loader/@type", Filled),
    ("os/loader/@secure", Filled),
    ("os/loader/**", Host),
    ("os/nvram/**", Host),
    ("os/boot/**", Host),
    ("os/bootmenu/**", Host),
    ("os/bios/@useserial", Guest),
    ("os/@firmware", Filled),
    ("features/**", Guest),
    ("cpu", Guest),
    ("cpu/@mode", Elsewhere),
    ("cpu/@match", Host),
    ("cpu/@check", Host),
    ("cpu/@migratable", Filled),
    ("cpu/@deprecated_features", Filled),
    ("cpu/model", Elsewhere),
    ("cpu/model/@fallback", Host),
    ("cpu/model/@vendor_id", Guest),
    ("cpu/vendor", Filled),
    ("cpu/maxphysaddr/@mode", Guest),
    ("cpu/**", Guest),
    ("clock/timer/**", Guest),
    ("on_poweroff", Host),
    ("on_reboot", Host),
    ("on_crash", Host),
    ("on_lockfailure", Host),
    ("pm/**", Guest),
    ("launchSecurity/**", Guest),
    ("devices/emulator", Host),
    // Of every device.
    ("devices/*/address/**", Filled),
    ("devices/*/alias/**", Host),
    ("devices/*/acpi/**", Guest),
    ("devices/*/boot/**", Host),
    ("devices/*/rom/@file", Host),
    ("devices/*/rom/**", Filled),
    // Disks.
    ("devices/disk", Elsewhere),
    ("devices/disk/@device", Guest),
    ("devices/disk/@model", Filled),
    ("devices/disk/@type", Host),
    ("devices/disk/@snapshot", Host),
    ("devices/disk/@sgio", Host),
    ("devices/disk/@rawio", Host),
    ("devices/disk/driver/@type", Elsewhere),
    ("devices/disk/driver/@queues", Filled),
    ("devices/disk/driver/@queue_size", Filled),
    ("devices/disk/driver/@packed", Filled),
    ("devices/disk/driver/@event_idx", Filled),
    ("devices/disk/driver/@iommu", Guest),
    ("devices/disk/driver/@ats", Guest),
    ("devices/disk/driver/**", Host),
    ("devices/disk/target/@bus", Elsewhere),
    ("devices/disk/target/@rotation_rate", Guest),
    ("devices/disk/target/**", Host),
    ("devices/disk/serial", Elsewhere),
    ("devices/disk/wwn", Elsewhere),
    ("devices/disk/readonly", Elsewhere),
    ("devices/disk/vendor", Guest),
    ("devices/disk/product", Guest),
    ("devices/disk/transient/**", Guest),
    ("devices/disk/geometry/**", Guest),
    ("devices/disk/blockio/@discard_granularity", Filled),
    ("devices/disk/blockio/**", Guest),
    ("devices/disk/shareable", Host),
    ("devices/disk/source/**", Host),
    ("devices/disk/backingStore/**", Host),
    ("devices/disk/mirror/**", Host),
    ("devices/disk/auth/**", Host),
    ("devices/disk/encryption/**", Host),
    ("devices/disk/iotune/**", Host),
    ("devices/disk/throttlefilters/**", Host),
    // Controllers. libvirt adds those that a guest's machine or devices need.
    ("devices/controller[pci,/**", Filled),
    ("devices/controller[usb,/**", Filled),
    ("devices/controller", Guest),
    ("devices/controller/driver/@iothread", Host),
    ("devices/controller/driver/@ioeventfd", Host),
    ("devices/controller/**", Filled),
    // Network cards.
    ("devices/interface", Elsewhere),
    ("devices/interface/@type", Host),
    ("devices/interface/@trustGuestRxFilters", Host),
    ("devices/interface/@managed", Host),
    ("devices/interface/mac/**", Host),
    ("devices/interface/model/@type", Elsewhere),
    ("devices/interface/mtu/**", Guest),
    ("devices/interface/teaming/**", Guest),
    ("devices/interface/driver/@name", Host),
    ("devices/interface/driver/@ioeventfd", Host),
    ("devices/interface/driver/@txmode", Host),
    ("devices/interface/driver/host/**", Guest),
    ("devices/interface/driver/guest/**", Guest),
    ("devices/interface/driver/**", Filled),
    ("devices/interface/source/**", Host),
    ("devices/interface/target/**", Host),
    ("devices/interface/bandwidth/**", Host),
    ("devices/interface/virtualport/**", Host),
    ("devices/interface/vlan/**", Host),
    ("devices/interface/port/**", Host),
    ("devices/interface/portForward/**", Host),
    ("devices/interface/filterref/**", Host),
    ("devices/interface/link/**", Host),
    ("devices/interface/backend/**", Host),
    ("devices/interface/script/**", Host),
    ("devices/interface/downscript/**", Host),
    ("devices/interface/tune/**", Host),
    ("devices/interface/coalesce/**", Host),
    // Displays and sound: the protocol to viewers is the host's, the hardware is the guest's.
    ("devices/graphics/**", Host),
    ("devices/audio/**", Host),
    ("devices/video", Guest),
    ("devices/video/model", Guest),
    ("devices/video/model/@type", Guest),
    ("devices/video/**", Filled),
    ("devices/sound/codec/**", Guest),
    ("devices/sound/audio/**", Host),
    ("devices/sound/**", Guest),
    ("devices/input[mouse,ps2]", Filled),
    ("devices/input[keyboard,ps2]", Filled),
    ("devices/input/source/**", Host),
    ("devices/input/@model", Filled),
    ("devices/input/**", Guest),
    // Devices without a counterpart outside of the guest, or with one of the host's own.
    ("devices/memballoon/stats/**", Host),
    ("devices/memballoon/@autodeflate", Guest),
    ("devices/memballoon/@freePageReporting", Guest),
    ("devices/memballoon/**", Filled),
    ("devices/rng", Guest),
    ("devices/rng/backend/**", Host),
    ("devices/rng/rate/**", Host),
    ("devices/rng/**", Filled),
    ("devices/watchdog/@action", Host),
    ("devices/watchdog/**", Guest),
    ("devices/panic", Guest),
    ("devices/panic/**", Filled),
    ("devices/hub/**", Guest),
    ("devices/redirdev/source/**", Host),
    ("devices/redirdev/**", Guest),
    ("devices/redirfilter/**", Guest),
    ("devices/smartcard/source/**", Host),
    ("devices/smartcard/**", Guest),
    ("devices/tpm", Elsewhere),
    ("devices/tpm/@model", Guest),
    ("devices/tpm/backend/@type", Guest),
    ("devices/tpm/backend/@version", Filled),
    ("devices/tpm/backend/@debug", Host),
    ("devices/tpm/backend/@persistent_state", Host),
    ("devices/tpm/backend/source/**", Host),
    ("devices/tpm/backend/encryption/**", Host),
    // libvirt compares the list as it is, an empty one too.
    ("devices/tpm/backend/active_pcr_banks/**", Guest),
    ("devices/tpm/backend/**", Filled),
    ("devices/vsock", Guest),
    ("devices/vsock/cid/@auto", Host),
    ("devices/vsock/**", Filled),
    ("devices/iommu/**", Guest),
    ("devices/crypto", Guest),
    ("devices/crypto/backend/**", Host),
    ("devices/crypto/**", Filled),
    ("devices/pstore", Guest),
    ("devices/pstore/path", Host),
    ("devices/pstore/**", Guest),
    ("devices/shmem", Elsewhere),
    ("devices/shmem/server", Guest),
    ("devices/shmem/server/**", Host),
    ("devices/shmem/**", Guest),
    ("devices/memory", Elsewhere),
    ("devices/memory/source/alignsize/**", Guest),
    ("devices/memory/source/pmem", Guest),
    ("devices/memory/source/**", Host),
    ("devices/memory/target/current", Host),
    ("devices/memory/uuid", Guest),
    ("devices/memory/**", Guest),
    ("devices/hostdev", Elsewhere),
    ("devices/hostdev/@mode", Guest),
    ("devices/hostdev/@type", Guest),
    ("devices/hostdev/@managed", Host),
    ("devices/hostdev/source/**", Host),
    ("devices/hostdev/driver/**", Host),
    ("devices/hostdev/teaming/**", Guest),
    ("devices/filesystem", Elsewhere),
    ("devices/filesystem/target/**", Guest),
    ("devices/filesystem/source/**", Host),
    ("devices/filesystem/binary/**", Host),
    ("devices/filesystem/@accessmode", Guest),
    ("devices/filesystem/@model", Guest),
    ("devices/lease/**", Host),
    // Ports: where their data goes on the host is the host's.
    ("devices/*/target/@state", Host),
    ("devices/serial", Guest),
    ("devices/parallel", Guest),
    ("devices/console", Guest),
    ("devices/channel", Guest),
    ("devices/serial/target/**", Filled),
    ("devices/parallel/target/**", Filled),
    ("devices/console/target/**", Filled),
    ("devices/channel/@type", OfSpice),
    ("devices/channel/target/@name", Guest),
    ("devices/channel/target/**", Filled),
    ("devices/serial/**", Host),
    ("devices/parallel/**", Host),
    ("devices/console/**", Host),
    ("devices/channel/**", Host),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_found_by_their_steps() {
        for (path, expected) in [
            ("devices/disk[vda]/driver/@cache", Host),
            ("devices/disk[vda]/address/@bus", Filled),
            ("devices/controller[pci,1]", Filled),
            ("devices/controller[scsi,0]", Guest),
            ("devices/controller[scsi,0]/@model", Filled),
            ("devices/video[2]/model/@vram", Filled),
            ("cpu/feature[vmx]", Guest),
            ("cpu/novelty", Guest),
            ("devices/novelty", Kind::Unknown),
            ("novelty/@of", Kind::Unknown),
            ("qemu:commandline/qemu:arg", Kind::Unknown),
        ] {
            assert_eq!(kind(path), expected, "{path}");
        }
    }

    /// A row behind one that fits all of its paths would never count.
    #[test]
    fn every_row_can_be_reached() {
        for (at, (pattern, _)) in TABLE.iter().enumerate() {
            let path = pattern.replace("**", "@probe").replace('*', "any");
            let first = TABLE.iter().position(|(other, _)| matches(other, &path));
            assert_eq!(first, Some(at), "{pattern}");
        }
    }
}
