//! Emulated devices and image formats whose state QEMU cannot write, by what it marks as unmigratable or blocks.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;

use whimbrel_facts::{Disk, Domain, Scalar};

use super::passthrough::device_of_host;
use crate::case::Case;
use crate::definition::Value;
use crate::pack::{Rule, rule};
use crate::report::Report;
use crate::versions::{self, Answer, Travels};

/// Formats that QEMU can only read, or blocks. Source: QEMU 10.0.13, `migrate_add_blocker` in `block/`.
const BLOCKED_FORMATS: [&str; 8] = ["vmdk", "vdi", "vpc", "vhd", "vhdx", "qcow", "parallels", "ploop"];

/// Attribute: the number of devices with a `<zpci>` in their address.
const ZPCI_DEVICES: &str = "guest/zpci-devices";

/// A value that stands for a device whose state QEMU may not be able to save.
struct Device {
    path: &'static str,
    value: &'static str,
    what: &'static str,
    travels: Travels,
}

const fn device(path: &'static str, value: &'static str, what: &'static str, travels: Travels) -> Device {
    Device { path, value, what, travels }
}

const DEVICES: [Device; 8] = [
    device(
        "devices/video/model/acceleration/@accel3d",
        "yes",
        "3D acceleration of the video device",
        versions::VIRGL,
    ),
    device("devices/sound/@model", "virtio", "a virtio sound device", versions::VIRTIO_SOUND),
    device("devices/sound/@model", "usb", "a USB sound device", versions::USB_SOUND),
    device("devices/crypto/@model", "virtio", "a virtio crypto device", versions::VIRTIO_CRYPTO),
    device(
        "devices/input/@type",
        "passthrough",
        "an input device of the host, passed through",
        versions::INPUT_OF_HOST,
    ),
    device("devices/video/model/@blob", "on", "a video device with blob resources", versions::VIDEO_BLOB),
    device("devices/serial/target/@type", "usb-serial", "a USB serial port", versions::USB_SERIAL),
    device("devices/iommu/@model", "amd", "an emulated AMD IOMMU", versions::AMD_IOMMU),
];

pub(super) const RULES: &[Rule] = &[
    rule(
        "device.unmigratable",
        "QEMU can save the state of every emulated device",
        "QEMU refuses to migrate a guest with a device that it marks as unmigratable, or that blocks migration",
        "detach the device, or choose another model and restart the guest: without `accel3d`, `ich9` for sound, \
         `virtio` for a network card or disk",
        devices,
    ),
    rule(
        "device.enclave-memory",
        "the guest has no SGX memory",
        "enclave memory is encrypted with a key of its CPU: the guest's enclaves are lost, and its programs have to \
         create them again",
        "stop the programs that use enclaves, or remove the `sgx-epc` memory and restart the guest",
        enclave_memory,
    ),
    rule(
        "device.disk-format",
        "QEMU can migrate the image format of every disk",
        "QEMU blocks migration while an image of such a format is open, in any layer of a disk: the second QEMU \
         would read it without the first one's unwritten data",
        "convert the image to `qcow2` or `raw` (`qemu-img convert`) while the guest is off; share a directory by virtiofs \
         instead of a `dir` disk",
        disk_format,
    ),
    rule(
        "device.clipboard",
        "no clipboard agent of QEMU blocks the migration",
        "QEMU before 10.1 refuses to migrate a guest with a `qemu-vdagent` channel; SPICE's own agent can be migrated",
        "detach the channel, or restart the guest with a `spicevmc` channel or a newer QEMU on both hosts",
        clipboard,
    ),
    rule(
        "device.vdpa",
        "no network card or disk is a vDPA device",
        "libvirt before 8.6 refuses to migrate a guest with a vDPA network card; later versions let QEMU decide, by \
         what the device can do. QEMU cannot save the state of a vDPA disk",
        "replace it with a virtio device for the migration",
        vdpa,
    ),
];

fn devices(case: &Case<'_>, report: &mut Report) -> Option<()> {
    let definition = case.definition(report)?;
    for known in &DEVICES {
        for value in definition.all(known.path).filter(|value| value.text == known.value) {
            judge(case, report, known.travels, value.subject(), known.what)?;
        }
    }
    let guest = case.guest(report)?;
    for (at, card) in guest.network_cards.iter().enumerate().filter(|(_, card)| card.model == "usb-net") {
        let what = format!("the USB network card {}", card.mac);
        judge(case, report, versions::USB_NETWORK, format!("/guest/network-cards/{at}/model"), &what)?;
    }
    for (at, disk) in guest.disks.iter().enumerate().filter(|(_, disk)| disk.bus == "nvme") {
        let what = format!("the emulated NVMe disk `{}`", disk.target);
        judge(case, report, versions::EMULATED_NVME, format!("/guest/disks/{at}/bus"), &what)?;
    }
    if let Some(Scalar::Integer(count @ 1..)) = case.attribute(ZPCI_DEVICES) {
        let what = format!("{count} PCI devices of an s390x machine (`zpci`)");
        judge(case, report, versions::ZPCI, "/guest/architecture".to_owned(), &what)?;
    }
    for value in definition.all("devices/video/driver/@name").filter(|value| value.text == "vhostuser") {
        let message =
            "another process of the source serves the video device: whether its state travels is not known";
        report.unknown(value.subject(), message);
    }
    Some(())
}

/// Reports what a version table says of a device on these two hosts.
pub(super) fn judge(
    case: &Case<'_>,
    report: &mut Report,
    travels: Travels,
    subject: String,
    what: &str,
) -> Option<()> {
    let (source, destination) = (case.source(report)?, case.destination(report)?);
    match travels.between(source.hypervisor_version, destination.hypervisor_version) {
        Answer::Travels => {}
        Answer::Stays => {
            let since = match travels {
                Travels::Never => String::new(),
                Travels::Since(first) | Travels::Perhaps(first) => {
                    format!("; QEMU {} or later on both hosts can", versions::dotted(first))
                }
            };
            report.fail(subject, format!("the guest has {what}, whose state QEMU cannot write{since}"));
        }
        Answer::Depends => {
            report.unknown(subject, format!("the guest has {what}: whether QEMU can write its state is not known"));
        }
        Answer::NotKnown => report.unknown(
            subject,
            format!("the guest has {what}: whether QEMU can write its state depends on a version that is not known"),
        ),
    }
    Some(())
}

fn enclave_memory(case: &Case<'_>, report: &mut Report) -> Option<()> {
    let guest = case.guest(report)?;
    for (at, memory) in guest.memory_devices.iter().enumerate().filter(|(_, one)| one.model == "sgx-epc") {
        let message =
            format!("the guest has {} KiB of SGX memory, whose content stays behind", memory.size_kib);
        report.warn(format!("/guest/memory-devices/{at}"), message);
    }
    Some(())
}

fn disk_format(case: &Case<'_>, report: &mut Report) -> Option<()> {
    let guest = case.guest(report)?;
    let definition = case.definition(report)?;
    for (at, disk) in guest.disks.iter().enumerate() {
        if disk.kind == "dir" {
            let message =
                format!("disk `{}` is made of a directory of the source as it is read (vvfat)", disk.target);
            report.fail(format!("/guest/disks/{at}/kind"), message);
        } else if BLOCKED_FORMATS.contains(&disk.format.as_str()) {
            report.fail(format!("/guest/disks/{at}/format"), blocked(disk, &disk.format));
        }
    }
    for layer in definition.all("**/backingStore/format/@type") {
        if BLOCKED_FORMATS.contains(&layer.text)
            && let Some(disk) = disk_of(guest, layer)
        {
            report.fail(layer.subject(), format!("in a layer below: {}", blocked(disk, layer.text)));
        }
    }
    Some(())
}

fn disk_of<'a>(guest: &'a Domain, value: Value<'_>) -> Option<&'a Disk> {
    guest.disks.get(value.number())
}

fn blocked(disk: &Disk, format: &str) -> String {
    format!(
        "QEMU does not migrate a guest with an open image of the format `{format}` (disk `{}`)",
        disk.target
    )
}

fn clipboard(case: &Case<'_>, report: &mut Report) -> Option<()> {
    let guest = case.guest(report)?;
    for (at, _) in
        guest.character_devices.iter().enumerate().filter(|(_, device)| device.backend == "qemu-vdagent")
    {
        let subject = format!("/guest/character-devices/{at}/backend");
        judge(
            case,
            report,
            versions::CLIPBOARD_AGENT,
            subject,
            "a clipboard agent of QEMU (`qemu-vdagent`)",
        )?;
    }
    Some(())
}

fn vdpa(case: &Case<'_>, report: &mut Report) -> Option<()> {
    let guest = case.guest(report)?;
    for (at, card) in guest.network_cards.iter().enumerate().filter(|(_, card)| card.kind == "vdpa") {
        let what = format!("the card {}, the vDPA device `{}`", card.mac, card.source);
        device_of_host(case, report, Some(versions::VDPA_CARD), format!("/guest/network-cards/{at}"), &what)?;
    }
    for (at, disk) in guest.disks.iter().enumerate().filter(|(_, disk)| disk.kind == "vhostvdpa") {
        let what = format!("the vDPA disk `{}`", disk.target);
        judge(case, report, versions::VDPA_DISK, format!("/guest/disks/{at}"), &what)?;
    }
    Some(())
}
