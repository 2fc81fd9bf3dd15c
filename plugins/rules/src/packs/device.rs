//! Emulated devices whose state, or whose other half on the host, cannot be migrated.

use alloc::format;

use whimbrel_facts::RunState;

use crate::case::Case;
use crate::pack::{Rule, rule};
use crate::report::Report;
use crate::versions::{LIBVIRT_MOVES_VIRTIOFS, USB_MEDIA, dotted};

use super::unmigratable::judge;

pub(super) const RULES: &[Rule] = &[
    rule(
        "device.character",
        "no serial or parallel port is connected to a device or file of the host",
        "the other end of the port stays on the source",
        "connect the port to a pty or a socket",
        character,
    ),
    rule(
        "device.shared-memory",
        "the guest is the master of its shared memory",
        "shared memory can be migrated only with the guest that is its master",
        "detach it, or set its role to `master`",
        shared_memory,
    ),
    rule(
        "device.user-network",
        "no network card uses the hypervisor's user network",
        "connections through the user network end with the hypervisor's process",
        "expect connections to break, or use a bridge",
        user_network,
    ),
    rule(
        "device.filesystem",
        "the guest has no shared directory of the host",
        "the state of a shared directory is in a process of the host; 9p blocks migration while it is mounted, and \
         virtiofs needs support in both libvirt and virtiofsd; QEMU cannot save that of a USB media device (MTP)",
        "unmount and detach it for the migration",
        filesystem,
    ),
    rule(
        "device.transient-disk",
        "no disk is transient",
        "the overlay of a transient disk stays on the source, and libvirt refuses to migrate the guest",
        "shut the guest down instead, or make the disk persistent",
        transient_disk,
    ),
    rule(
        "device.memory-module",
        "every DIMM has a slot and a base address",
        "the destination plugs each DIMM again; without slot and base it may get another address",
        "set slot and base of each DIMM to those of the running guest",
        memory_module,
    ),
    rule(
        "device.persistent-memory",
        "the guest has no persistent memory",
        "persistent memory is copied like memory, but the file that backs it stays on the source",
        "create a file of the same size at the same path on the destination",
        persistent_memory,
    ),
    rule(
        "device.launch-security",
        "the guest's memory is not encrypted",
        "the host cannot read encrypted memory, so it cannot send it",
        "shut the guest down to move it",
        launch_security,
    ),
    rule(
        "device.hyperv-passthrough",
        "Hyper-V features are listed by name, not passed through",
        "passed-through features depend on the host and may differ on the destination; QEMU refuses the migration",
        "list the features in the definition",
        hyperv_passthrough,
    ),
    rule(
        "device.reservations",
        "no disk uses persistent reservations",
        "SCSI reservations belong to the host's port, and the LUN would refuse the destination",
        "release the reservations before the migration",
        reservations,
    ),
    rule(
        "device.tpm-passthrough",
        "the guest has no TPM of the host",
        "a TPM of the host stays on its host",
        "use an emulated TPM",
        tpm_passthrough,
    ),
    rule(
        "device.tpm-secret",
        "the destination has the secret of the guest's TPM",
        "the encrypted state of a TPM cannot be read without its secret",
        "define the secret on the destination: `virsh secret-define`",
        tpm_secret,
    ),
    rule(
        "device.vhost-user",
        "no device is served by another process of the host",
        "the process that serves a vhost-user device has to run on the destination too, with the same state",
        "start that process on the destination before the migration",
        vhost_user,
    ),
    rule(
        "device.root-ports",
        "a PCI Express guest has a free root port",
        "without a free root port no device can be plugged in on the destination, such as a replacement device",
        "add `pcie-root-port` controllers before the next start",
        root_ports,
    ),
];

fn character(case: &Case<'_>, report: &mut Report) -> Option<()> {
    let guest = case.guest(report)?;
    for (at, device) in guest.character_devices.iter().enumerate() {
        if matches!(device.backend.as_str(), "dev" | "file" | "pipe") {
            let message = format!("a {} device leads to `{}` of the source", device.kind, device.path);
            report.warn(format!("/guest/character-devices/{at}"), message);
        }
    }
    Some(())
}

fn shared_memory(case: &Case<'_>, report: &mut Report) -> Option<()> {
    let guest = case.guest(report)?;
    for (at, memory) in guest.shared_memories.iter().enumerate().filter(|(_, one)| one.role != "master") {
        let message = format!("the shared memory `{}` is not mastered by the guest", memory.name);
        report.fail(format!("/guest/shared-memories/{at}"), message);
    }
    Some(())
}

fn user_network(case: &Case<'_>, report: &mut Report) -> Option<()> {
    let guest = case.guest(report)?;
    for (at, card) in guest.network_cards.iter().enumerate().filter(|(_, card)| card.kind == "user") {
        report.warn(format!("/guest/network-cards/{at}"), format!("connections of {} will break", card.mac));
    }
    Some(())
}

fn filesystem(case: &Case<'_>, report: &mut Report) -> Option<()> {
    let guest = case.guest(report)?;
    for (at, shared) in guest.filesystems.iter().enumerate() {
        let pointer = format!("/guest/filesystems/{at}");
        let message = format!("the host's directory `{}` is shared as `{}`", shared.source, shared.target);
        if shared.driver == "mtp" {
            judge(case, report, USB_MEDIA, pointer, "a directory that is shared as a USB media device")?;
            continue;
        }
        if shared.driver != "virtiofs" {
            report.unknown(pointer, format!("{message} (9p): whether the guest has it mounted is not known"));
            continue;
        }
        // The source's libvirt refuses or lets go; the destination has no say.
        let here = case.source(report)?.library_version;
        report.need((here > 0).then_some(()), "/source/library-version")?;
        if here < LIBVIRT_MOVES_VIRTIOFS {
            report.fail(
                pointer,
                format!(
                    "{message} (virtiofs), which the source's libvirt {} refuses; {} or later does not",
                    dotted(here),
                    dotted(LIBVIRT_MOVES_VIRTIOFS)
                ),
            );
        } else {
            report.unknown(
                pointer,
                format!("{message} (virtiofs): whether its virtiofsd can save its state is not known"),
            );
        }
    }
    Some(())
}

fn transient_disk(case: &Case<'_>, report: &mut Report) -> Option<()> {
    let guest = case.guest(report)?;
    for (at, disk) in guest.disks.iter().enumerate().filter(|(_, disk)| disk.transient) {
        report.fail(format!("/guest/disks/{at}"), format!("disk `{}` forgets its writes", disk.target));
    }
    Some(())
}

fn memory_module(case: &Case<'_>, report: &mut Report) -> Option<()> {
    let guest = case.guest(report)?;
    for (at, module) in guest.memory_devices.iter().enumerate().filter(|(_, one)| one.model == "dimm") {
        if module.slot.is_some() && module.base.is_some() {
            continue;
        }
        let pointer = format!("/guest/memory-devices/{at}");
        match guest.state {
            // libvirt passes both when the guest is started.
            RunState::Off => {}
            RunState::Unknown => report.unknown(
                pointer,
                "a memory module has no slot or no base: whether the guest runs with it so is not known",
            ),
            RunState::Running | RunState::Paused | RunState::Crashed => {
                report.fail(pointer, "a memory module has no slot or no base");
            }
        }
    }
    Some(())
}

fn persistent_memory(case: &Case<'_>, report: &mut Report) -> Option<()> {
    let guest = case.guest(report)?;
    for (at, module) in guest.memory_devices.iter().enumerate() {
        if matches!(module.model.as_str(), "nvdimm" | "virtio-pmem") {
            let message = format!("the guest has persistent memory ({})", module.model);
            report.warn(format!("/guest/memory-devices/{at}"), message);
        }
    }
    Some(())
}

fn launch_security(case: &Case<'_>, report: &mut Report) -> Option<()> {
    let kind = case.guest(report)?.launch_security.as_str();
    if !kind.is_empty() {
        report.fail("/guest/launch-security", format!("the guest's memory is protected ({kind})"));
    }
    Some(())
}

fn hyperv_passthrough(case: &Case<'_>, report: &mut Report) -> Option<()> {
    if case.guest(report)?.hyperv_mode == "passthrough" {
        report.fail("/guest/hyperv-mode", "Hyper-V features are passed through from the source");
    }
    Some(())
}

fn reservations(case: &Case<'_>, report: &mut Report) -> Option<()> {
    let guest = case.guest(report)?;
    for (at, disk) in guest.disks.iter().enumerate().filter(|(_, disk)| disk.reservations) {
        let message = format!("disk `{}` uses persistent reservations", disk.target);
        report.fail(format!("/guest/disks/{at}"), message);
    }
    Some(())
}

fn tpm_passthrough(case: &Case<'_>, report: &mut Report) -> Option<()> {
    let guest = case.guest(report)?;
    for (at, _) in guest.tpms.iter().enumerate().filter(|(_, tpm)| tpm.backend == "passthrough") {
        report.fail(format!("/guest/tpms/{at}"), "the guest has the host's TPM");
    }
    Some(())
}

fn tpm_secret(case: &Case<'_>, report: &mut Report) -> Option<()> {
    let guest = case.arriving(report)?;
    for (at, tpm) in guest.tpms.iter().enumerate() {
        let Some(secret) = &tpm.secret else { continue };
        let host = case.destination(report)?;
        let secrets = report.need(host.secrets.as_deref(), "/destination/secrets")?;
        if !secrets.contains(secret) {
            report.fail(
                format!("{}/tpms/{at}/secret", case.arriving_at()),
                format!("the destination has no secret {secret}"),
            );
        }
    }
    Some(())
}

fn vhost_user(case: &Case<'_>, report: &mut Report) -> Option<()> {
    let guest = case.guest(report)?;
    for (at, disk) in guest.disks.iter().enumerate().filter(|(_, disk)| disk.kind == "vhostuser") {
        let message = format!("disk `{}` is served by another process", disk.target);
        report.unknown(format!("/guest/disks/{at}"), message);
    }
    for (at, card) in guest.network_cards.iter().enumerate().filter(|(_, card)| card.kind == "vhostuser") {
        let message = format!("the card {} is served by another process", card.mac);
        report.unknown(format!("/guest/network-cards/{at}"), message);
    }
    Some(())
}

fn root_ports(case: &Case<'_>, report: &mut Report) -> Option<()> {
    // None is not unknown here: the guest has no PCI Express.
    if case.guest(report)?.free_root_ports == Some(0) {
        report.warn("/guest/free-root-ports", "every PCI Express root port is taken");
    }
    Some(())
}
