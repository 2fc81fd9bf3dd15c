//! Whether the destination's hypervisor has each model and backend that the guest uses, by its domain capabilities.
//!
//! What libvirt lists there depends on how its QEMU was built: a host of the same version may lack SPICE or QXL.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::case::{Case, called};
use crate::definition::{Definition, Value};
use crate::pack::{Rule, rule};
use crate::report::Report;

/// Groups of devices that every libvirt reports which reports any. Source: libvirt 3.0, `domain_capabilities.c`.
const ALWAYS: [&str; 5] = ["disk", "graphics", "video", "hostdev", "tpm"];

/// Values of a definition, and the enumeration that must have them.
const VALUES: [(&str, &str); 10] = [
    ("devices/video/model/@type", "video.modelType"),
    ("devices/rng/backend/@model", "rng.backendModel"),
    ("devices/sound/@model", "sound.model"),
    ("devices/crypto/@model", "crypto.model"),
    ("devices/channel/@type", "channel.type"),
    ("memoryBacking/source/@type", "memoryBacking.sourceType"),
    ("devices/tpm/backend/@version", "tpm.backendVersion"),
    ("devices/iommu/@model", "iommu.model"),
    ("devices/redirdev/@bus", "redirdev.bus"),
    ("devices/panic/@model", "panic.model"),
];

pub(super) const RULES: &[Rule] = &[
    rule(
        "device.support",
        "the destination's hypervisor has every model, feature and backend that the guest uses",
        "a QEMU that was built without a device or display refuses to start the guest at the end of the preparation; \
         many builds have no SPICE or QXL",
        "name a destination whose QEMU has it (`virsh domcapabilities` lists them), install the package that adds it, or \
         restart the guest with another model: `vnc` for displays, `virtio` or `vga` for video",
        support,
    ),
    rule(
        "device.tpm-support",
        "the destination supports the guest's TPM",
        "a destination without the TPM's emulator or model refuses to start the guest",
        "install the TPM emulator (swtpm) on the destination",
        tpm_support,
    ),
];

/// A value that the guest uses, with the place of its fact.
struct Used {
    subject: String,
    value: String,
    enumeration: &'static str,
}

fn support(case: &Case<'_>, report: &mut Report) -> Option<()> {
    let guest = case.arriving(report)?;
    let definition = case.expected(report)?;
    let pointer = case.arriving_at();
    let mut used: Vec<Used> = Vec::new();
    let mut add = |subject: String, value: &str, enumeration| {
        if !value.is_empty() {
            used.push(Used { subject, value: value.to_string(), enumeration });
        }
    };
    for (at, display) in guest.graphics.iter().enumerate() {
        add(format!("{pointer}/graphics/{at}/kind"), &display.kind, "graphics.type");
    }
    for (at, disk) in guest.disks.iter().enumerate() {
        add(format!("{pointer}/disks/{at}/bus"), &disk.bus, "disk.bus");
        add(format!("{pointer}/disks/{at}/device"), &disk.device, "disk.diskDevice");
    }
    for (at, device) in guest.host_devices.iter().enumerate() {
        if matches!(device.kind.as_str(), "pci" | "usb" | "scsi") {
            add(format!("{pointer}/host-devices/{at}/kind"), &device.kind, "hostdev.subsysType");
        }
    }
    for (at, shared) in guest.filesystems.iter().enumerate() {
        add(format!("{pointer}/filesystems/{at}/driver"), &shared.driver, "filesystem.driverType");
    }
    for (path, enumeration) in VALUES {
        for value in definition.all(path) {
            add(value.subject(), value.text, enumeration);
        }
    }
    for value in definition.all("features/hyperv/*/@state").filter(|value| value.text == "on") {
        let feature = value.path.rsplit('/').nth(1).unwrap_or_default();
        add(value.subject(), feature, "hyperv.features");
    }
    // Ports of SPICE are of no use to a hypervisor without it.
    for value in spice_ports(definition) {
        add(value.subject(), "spice", "graphics.type");
    }
    if used.is_empty() {
        return Some(());
    }
    let destination = case.destination(report)?;
    let supports = report.need(destination.supports.as_deref(), "/destination/supports")?;
    for Used { subject, value, enumeration } in used {
        if is_lacking(supports, enumeration, &value) {
            let message = format!(
                "{} does not offer `{value}` ({enumeration} of its domain capabilities), which the guest uses",
                called(destination)
            );
            report.fail(subject, message);
        }
    }
    Some(())
}

fn spice_ports(definition: Definition<'_>) -> impl Iterator<Item = Value<'_>> {
    definition.all("devices/*/@type").filter(|value| matches!(value.text, "spicevmc" | "spiceport"))
}

/// Whether the list says that this value is not there. An enumeration that the host's libvirt does not report says nothing,
/// and one of the device groups that each libvirt reports is absent where the hypervisor has no such device.
fn is_lacking(supports: &[String], enumeration: &str, value: &str) -> bool {
    let values = || supports.iter().filter_map(|one| one.strip_prefix(enumeration)?.strip_prefix('.'));
    let group = enumeration.split('.').next().unwrap_or(enumeration);
    let has = |name: &str| supports.iter().any(|one| one == name);
    let has_no_device = ALWAYS.contains(&group) && has("disk") && !has(group);
    if values().next().is_some() { !values().any(|one| one == value) } else { has_no_device }
}

fn tpm_support(case: &Case<'_>, report: &mut Report) -> Option<()> {
    let guest = case.arriving(report)?;
    let pointer = case.arriving_at();
    for (at, tpm) in guest.tpms.iter().enumerate() {
        let host = case.destination(report)?;
        let supports = report.need(host.supports.as_deref(), "/destination/supports")?;
        let has = |value: &str| supports.iter().any(|one| one == value);
        if tpm.backend == "emulator" && !has("tpm.backendModel.emulator") {
            report.fail(format!("{pointer}/tpms/{at}"), format!("{} cannot emulate a TPM", called(host)));
        } else if !tpm.model.is_empty() && is_lacking(supports, "tpm.model", &tpm.model) {
            let message = format!("{} does not offer the TPM model `{}`", called(host), tpm.model);
            report.fail(format!("{pointer}/tpms/{at}/model"), message);
        }
    }
    Some(())
}
