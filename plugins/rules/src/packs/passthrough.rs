//! Devices of the host that were given to the guest.

use alloc::format;

use crate::case::Case;
use crate::pack::{Rule, rule};
use crate::report::Report;

pub(super) const RULES: &[Rule] = &[
    rule(
        "device.pci",
        "no PCI device of the host is in the guest",
        "the state of a PCI device of the host cannot be read out, so it can neither be moved nor left out silently",
        "detach it for the migration, or pair it with a virtio device (`<teaming type='transient'>`)",
        |case, report| host_devices(case, report, "pci", true),
    ),
    rule(
        "device.usb",
        "no USB device of the host is in the guest",
        "a USB device stays plugged into its host; the guest would lose it",
        "detach it before the migration",
        usb,
    ),
    rule(
        "device.scsi",
        "no SCSI device of the host is in the guest",
        "libvirt refuses to migrate a guest with a SCSI device of the host",
        "attach the LUN as a disk instead",
        |case, report| host_devices(case, report, "scsi", false),
    ),
    rule(
        "device.scsi-host",
        "no SCSI controller of the host is in the guest",
        "libvirt refuses to migrate a guest with a vhost-scsi controller",
        "detach it before the migration",
        |case, report| host_devices(case, report, "scsi_host", false),
    ),
    rule(
        "device.mediated",
        "no mediated device is in the guest",
        "libvirt refuses to migrate a guest with a mediated device unless its driver can save its state",
        "detach it before the migration",
        |case, report| host_devices(case, report, "mdev", false),
    ),
    rule(
        "device.capabilities",
        "no character or block device node of the host is in the guest",
        "libvirt refuses to migrate a guest that was given raw device nodes",
        "detach it before the migration",
        |case, report| host_devices(case, report, "capabilities", false),
    ),
    rule(
        "device.sriov",
        "no network card is a virtual function of the host without a standby",
        "a virtual function cannot be moved; with a standby virtio card the guest keeps its network meanwhile",
        "pair it with a virtio card (`<teaming type='transient'>`), or detach it",
        sriov,
    ),
    rule(
        "device.sriov-destination",
        "the destination has a device to plug in again for each standby pair",
        "the guest gets back a device of its own only if the destination has one at the same address",
        "choose a destination with such a device, or name another one in the destination's definition",
        sriov_destination,
    ),
];

fn host_devices(case: &Case<'_>, report: &mut Report, kind: &str, may_be_transient: bool) -> Option<()> {
    let guest = case.guest(report)?;
    for (at, device) in guest.host_devices.iter().enumerate().filter(|(_, device)| device.kind == kind) {
        if may_be_transient && device.transient {
            continue;
        }
        let message = format!("the guest has the host's {kind} device `{}`", device.address);
        report.fail(format!("/guest/host-devices/{at}"), message);
    }
    Some(())
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
    for (at, card) in guest.network_cards.iter().enumerate() {
        if card.kind == "hostdev" && !card.transient {
            let message = format!("the card {} is a virtual function without a standby", card.mac);
            report.fail(format!("/guest/network-cards/{at}"), message);
        }
    }
    Some(())
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
