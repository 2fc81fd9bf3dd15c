//! Devices of the host that were given to the guest.

use alloc::format;
use alloc::string::String;

use whimbrel_facts::{NetworkCard, Scalar};

use crate::case::Case;
use crate::pack::{Rule, rule};
use crate::report::Report;
use crate::versions::{LIBVIRT_ASKS_QEMU, MEDIATED_S390, SCSI_OF_HOST, Travels, VFIO, dotted};

use super::unmigratable::judge;

pub(super) const RULES: &[Rule] = &[
    rule(
        "device.pci",
        "the guest has no PCI device of the host",
        "a PCI device can be migrated only with QEMU 8.1 and libvirt 8.6 on both hosts and a kernel driver that can \
         save its state; QEMU on the source decides",
        "detach it for the migration, or pair it with a virtio device (`<teaming type='transient'>`); where vendor and \
         driver support its migration, waive this rule for the guest",
        |case, report| host_devices(case, report, "pci", Some(VFIO)),
    ),
    rule(
        "device.usb",
        "the guest has no USB device of the host",
        "a USB device stays on its host, and the guest loses it",
        "detach it before the migration",
        usb,
    ),
    rule(
        "device.scsi",
        "the guest has no SCSI device of the host",
        "libvirt before 8.6 refuses to migrate a guest with a SCSI device of the host; later versions allow it, and \
         the destination needs the same LUN at the same address",
        "attach the LUN as a disk instead, or verify the address on the destination and waive this rule for the guest",
        |case, report| host_devices(case, report, "scsi", Some(SCSI_OF_HOST)),
    ),
    rule(
        "device.scsi-host",
        "the guest has no SCSI controller of the host",
        "libvirt refuses to migrate a guest with a vhost-scsi controller",
        "detach it before the migration",
        |case, report| host_devices(case, report, "scsi_host", None),
    ),
    rule(
        "device.mediated",
        "the guest has no mediated device",
        "a mediated device can be migrated only with QEMU 8.1 and libvirt 8.6 on both hosts, a kernel driver that \
         can save its state, and a device of the same type on the destination; `vfio-ap` and `vfio-ccw` cannot",
        "detach it before the migration; where vendor and driver support its migration, waive this rule for the guest",
        |case, report| host_devices(case, report, "mdev", Some(VFIO)),
    ),
    rule(
        "device.capabilities",
        "the guest has no character or block device node of the host",
        "libvirt refuses to migrate a guest with raw device nodes",
        "detach it before the migration",
        |case, report| host_devices(case, report, "capabilities", None),
    ),
    rule(
        "device.sriov",
        "no network card is a virtual function without a standby card",
        "few virtual functions can be migrated; with a standby virtio card the guest keeps its network meanwhile",
        "pair it with a virtio card (`<teaming type='transient'>`), or detach it",
        sriov,
    ),
    rule(
        "device.sriov-destination",
        "the destination has a device for each standby pair",
        "after the migration the guest gets a device back only if the destination has one at the same address",
        "choose a destination with such a device, or name another one in the destination's definition",
        sriov_destination,
    ),
];

fn host_devices(case: &Case<'_>, report: &mut Report, kind: &str, travels: Option<Travels>) -> Option<()> {
    let guest = case.guest(report)?;
    for (at, device) in guest.host_devices.iter().enumerate().filter(|(_, device)| device.kind == kind) {
        // A standby takes its place, and it is unplugged: PCI devices alone can have one.
        if kind == "pci" && device.transient {
            continue;
        }
        let what = format!("the host's {kind} device `{}`", device.address);
        let is_of_s390 = matches!(device.model.as_str(), "vfio-ap" | "vfio-ccw");
        let travels = if is_of_s390 { Some(MEDIATED_S390) } else { travels };
        device_of_host(case, report, travels, format!("/guest/host-devices/{at}"), &what)?;
    }
    Some(())
}

/// Reports a device of the host by the versions of both hosts. None: no version moves it.
pub(super) fn device_of_host(
    case: &Case<'_>,
    report: &mut Report,
    travels: Option<Travels>,
    subject: String,
    what: &str,
) -> Option<()> {
    let Some(travels) = travels else {
        report.fail(subject, format!("the guest has {what}"));
        return Some(());
    };
    let source = case.source(report)?;
    let library = report
        .need((source.library_version > 0).then_some(source.library_version), "/source/library-version")?;
    if library < LIBVIRT_ASKS_QEMU {
        let message = format!(
            "the guest has {what}, and the source's libvirt {} refuses every such device",
            dotted(library)
        );
        report.fail(subject, message);
        return Some(());
    }
    judge(case, report, travels, subject, what)
}

fn usb(case: &Case<'_>, report: &mut Report) -> Option<()> {
    let guest = case.guest(report)?;
    for (at, device) in guest.host_devices.iter().enumerate().filter(|(_, device)| device.kind == "usb") {
        let message = format!("the guest has the host's USB device `{}`", device.address);
        report.warn(format!("/guest/host-devices/{at}"), message);
    }
    Some(())
}

fn sriov(case: &Case<'_>, report: &mut Report) -> Option<()> {
    let guest = case.guest(report)?;
    for (at, card) in guest.network_cards.iter().enumerate().filter(|(_, card)| !card.transient) {
        let subject = format!("/guest/network-cards/{at}");
        if card.kind == "hostdev" {
            let what = format!("the card {}, a virtual function without a standby", card.mac);
            device_of_host(case, report, Some(VFIO), subject, &what)?;
        } else if card.kind == "network" {
            pool_of_functions(case, report, card, subject)?;
        }
    }
    Some(())
}

/// A network can give each card a virtual function of its own: then it has no bridge, and forwards in the mode `hostdev`.
/// Source: libvirt, "Network XML format", `forward`.
fn pool_of_functions(
    case: &Case<'_>,
    report: &mut Report,
    card: &NetworkCard,
    subject: String,
) -> Option<()> {
    let networks = case.destination(report)?.networks.as_deref();
    let known = networks.and_then(|all| all.iter().find(|network| network.name == card.source));
    // Whether the network is there at all is for the rules about networks.
    let Some(network) = known else { return Some(()) };
    match case.attribute(&format!("destination/networks/{}/forward-mode", card.source)) {
        Some(Scalar::Text(mode)) if mode == "hostdev" => {
            let what =
                format!("the card {}, a virtual function from the network `{}`", card.mac, card.source);
            device_of_host(case, report, Some(VFIO), subject, &what)
        }
        Some(_) => Some(()),
        None if !network.bridge.is_empty() => Some(()),
        None => {
            let message = format!(
                "whether the network `{}` gives the card {} a virtual function of the host is not known",
                card.source, card.mac
            );
            report.unknown(subject, message);
            Some(())
        }
    }
}

fn sriov_destination(case: &Case<'_>, report: &mut Report) -> Option<()> {
    let guest = case.arriving(report)?;
    if !guest.host_devices.iter().any(|device| device.transient) {
        return Some(());
    }
    let host = case.destination(report)?;
    let devices = report.need(host.devices.as_deref(), "/destination/devices")?;
    for (at, device) in guest.host_devices.iter().enumerate().filter(|(_, device)| device.transient) {
        if !devices.iter().any(|there| there.address == device.address) {
            let message = format!("the destination has no device `{}`", device.address);
            report.warn(format!("{}/host-devices/{at}", case.arriving_at()), message);
        }
    }
    Some(())
}
