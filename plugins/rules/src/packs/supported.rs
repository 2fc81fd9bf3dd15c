//! Requested options that depend on a version, on the guest's devices or on a host's certificates.

use alloc::format;

use whimbrel_facts::Request;

use super::coherence::is_rdma;
use crate::case::Case;
use crate::pack::{Rule, rule};
use crate::report::Report;
use crate::versions::{dotted, version};

/// An option, the first QEMU that has it, and whether both ends need it. Sources: QEMU's `qapi/migration.json`, "Since".
struct Wanted {
    name: &'static str,
    pointer: &'static str,
    applies: fn(&Request) -> bool,
    since: u64,
    is_for_both: bool,
}

const OPTIONS: [Wanted; 5] = [
    Wanted {
        name: "parallel connections",
        pointer: "/request/parallel-connections",
        applies: |request| request.parallel_connections.is_some(),
        since: version(4, 0),
        is_for_both: true,
    },
    Wanted {
        name: "compression on parallel connections",
        pointer: "/request/compression",
        applies: |request| request.compression.iter().any(|name| matches!(name.as_str(), "zlib" | "zstd")),
        since: version(5, 0),
        is_for_both: true,
    },
    Wanted {
        name: "zero-copy",
        pointer: "/request/zero-copy",
        applies: |request| request.zero_copy,
        since: version(7, 1),
        is_for_both: false,
    },
    Wanted {
        name: "post-copy pre-emption",
        pointer: "/request/postcopy-preempt",
        applies: |request| request.postcopy_preempt,
        since: version(7, 1),
        is_for_both: true,
    },
    Wanted {
        name: "a dirty limit",
        pointer: "/request/dirty-limit",
        applies: |request| request.dirty_limit,
        since: version(8, 1),
        is_for_both: false,
    },
];

pub(super) const RULES: &[Rule] = &[
    rule(
        "request.supported",
        "QEMU on the hosts has every requested option",
        "libvirt refuses an option that its QEMU does not have; an option that changes the stream has to be known on both hosts",
        "omit the option, or update QEMU",
        supported,
    ),
    rule(
        "request.postcopy-devices",
        "every device of the guest can take part in post-copy",
        "QEMU refuses post-copy of a guest with a VFIO device, and with a vhost-user device whose process cannot fetch pages",
        "migrate without post-copy, or detach the device",
        postcopy_devices,
    ),
    rule(
        "request.tls",
        "TLS can be used between the hosts",
        "both daemons need certificates for migration (`migrate_tls_x509_cert_dir` in `qemu.conf`), and the destination's has \
         to name the address that memory is sent to; libvirt does not report either",
        "verify the certificates on both hosts, and waive this rule for them",
        tls,
    ),
];

fn supported(case: &Case<'_>, report: &mut Report) -> Option<()> {
    let request = case.request(report)?;
    for option in OPTIONS.iter().filter(|option| (option.applies)(request)) {
        let source = (case.source(report)?, "/source/hypervisor-version");
        let destination = option
            .is_for_both
            .then(|| case.destination(report))
            .flatten()
            .map(|host| (host, "/destination/hypervisor-version"));
        for (host, pointer) in [Some(source), destination].into_iter().flatten() {
            let known = (host.hypervisor_version > 0).then_some(host.hypervisor_version);
            let there = report.need(known, pointer)?;
            if there < option.since {
                let message = format!(
                    "{} needs QEMU {} or later, and {} has {}",
                    option.name,
                    dotted(option.since),
                    host.name,
                    dotted(there)
                );
                report.fail(option.pointer, message);
            }
        }
    }
    Some(())
}

fn postcopy_devices(case: &Case<'_>, report: &mut Report) -> Option<()> {
    let guest = case.guest(report)?;
    if !case.request(report)?.postcopy {
        return Some(());
    }
    // A device with a standby is unplugged before the copy.
    let of_host = guest.host_devices.iter().enumerate().filter(|(_, device)| !device.transient);
    for (at, device) in of_host.filter(|(_, device)| matches!(device.kind.as_str(), "pci" | "mdev")) {
        let message =
            format!("post-copy of a guest with the VFIO device `{}` is refused by QEMU", device.address);
        report.fail(format!("/guest/host-devices/{at}"), message);
    }
    for (at, card) in guest.network_cards.iter().enumerate().filter(|(_, card)| !card.transient) {
        match card.kind.as_str() {
            "hostdev" => {
                let message = format!(
                    "post-copy of a guest with the virtual function of card {} is refused by QEMU",
                    card.mac
                );
                report.fail(format!("/guest/network-cards/{at}"), message);
            }
            "vhostuser" => report.unknown(
                format!("/guest/network-cards/{at}"),
                format!(
                    "whether the process behind card {} can take part in post-copy is not known",
                    card.mac
                ),
            ),
            _ => {}
        }
    }
    for (at, disk) in guest.disks.iter().enumerate().filter(|(_, disk)| disk.kind == "vhostuser") {
        report.unknown(
            format!("/guest/disks/{at}"),
            format!(
                "whether the process behind disk `{}` can take part in post-copy is not known",
                disk.target
            ),
        );
    }
    Some(())
}

fn tls(case: &Case<'_>, report: &mut Report) -> Option<()> {
    let request = case.request(report)?;
    if !request.tls {
        return Some(());
    }
    if request.migrate_uri.as_deref().is_some_and(|uri| uri.starts_with("unix:")) {
        report.fail(
            "/request/migrate-uri",
            "TLS to a Unix socket needs the name in the destination's certificate, which a request cannot give",
        );
    }
    if is_rdma(request) || request.tunnelled {
        report.fail("/request/tls", "TLS is for migrations over TCP, without a tunnel");
    }
    report.unknown(
        "/request/tls",
        "whether both hosts have certificates for migration, and the destination's has the right name, is not known",
    );
    Some(())
}
