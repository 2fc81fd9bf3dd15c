//! What changes for a guest that is off: its definition alone is moved, and nothing runs on either host.
//!
//! libvirt then leaves out every check of what cannot be migrated (`qemuMigrationSrcIsAllowed`: "following checks don't make
//! sense for offline migration"). What the destination lacks is found at the guest's next start. It must never pass what
//! harms a guest that is off: disks that stay behind or are others under the same name, a second guest of the same UUID, a
//! changed definition. libvirt moves a definition without its disks, and the source's is then gone: that is refused.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::vec::Vec;

use whimbrel_facts::{Finding, Verdict};

/// Rules about the state of a running guest, and about the way that it takes to the destination.
const OF_RUNNING_GUESTS: [&str; 30] = [
    "guest.auto-destroy",
    "guest.block-job",
    "guest.io-error",
    "guest.dirty-ring",
    "guest.memory-backing",
    "device.clipboard",
    "device.disk-format",
    "device.enclave-memory",
    "device.hyperv-passthrough",
    "device.launch-security",
    "device.memory-module",
    "device.persistent-memory",
    "device.root-ports",
    "device.shared-memory",
    "device.sriov",
    "device.tpm-state",
    "device.transient-disk",
    "device.unmigratable",
    "device.user-network",
    "cpu.invariant-tsc",
    "destination.live-migration",
    "destination.memory",
    "destination.migrations",
    "destination.transport",
    "device.reservations",
    "storage.cache",
    "storage.unsafe-flag",
    "storage.lease",
    "access.address",
    "access.name",
];
/// Rules about devices of the host: their state is not moved, and the guest looks for them when it is started.
const OF_HOST_DEVICES: [&str; 8] = [
    "device.capabilities",
    "device.filesystem",
    "device.mediated",
    "device.pci",
    "device.scsi",
    "device.scsi-host",
    "device.usb",
    "device.vdpa",
];
/// Kinds of rules about what the guest needs to be started.
const OF_THE_START: [&str; 7] =
    ["device.", "cpu.", "machine.", "network.", "architecture.", "destination.", "secret."];
/// Rules of those kinds that hold for a guest that is off as well.
const ALWAYS: [&str; 2] = ["destination.is-source", "destination.has-guest"];

/// A rule's findings about a guest that is off.
pub(crate) fn judged(code: &str, findings: Vec<Finding>) -> Vec<Finding> {
    if OF_RUNNING_GUESTS.contains(&code) {
        let message = "the guest is off: nothing of a running guest is moved".to_owned();
        let passed = Finding { code: code.to_owned(), verdict: Verdict::Pass, message, ..Finding::default() };
        return Vec::from([passed]);
    }
    let is_of_host_devices = OF_HOST_DEVICES.contains(&code);
    let is_of_the_start = OF_THE_START.iter().any(|kind| code.starts_with(kind)) && !ALWAYS.contains(&code);
    let soften = |mut finding: Finding| {
        if is_of_host_devices && finding.verdict != Verdict::Pass {
            finding.verdict = Verdict::Warn;
            "the definition names a device or directory of the host; the guest starts on the destination only if \
             that has one under the same name"
                .clone_into(&mut finding.message);
        } else if is_of_the_start && finding.verdict == Verdict::Fail {
            finding.verdict = Verdict::Warn;
            finding.message = format!(
                "{}; the definition can be moved, and the guest cannot be started there before that is fixed",
                finding.message
            );
        }
        finding
    };
    findings.into_iter().map(soften).collect()
}
