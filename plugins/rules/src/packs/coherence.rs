//! Whether the requested options are compatible with each other.

use alloc::format;

use whimbrel_facts::{Request, RunState, StorageCopy};

use crate::case::Case;
use crate::pack::{Rule, rule};
use crate::report::Report;

/// The first QEMU that combines post-copy with parallel connections.
const POSTCOPY_OVER_PARALLEL: u64 = 10_001_000;

pub(super) const RULES: &[Rule] = &[
    rule(
        "request.postcopy-live",
        "post-copy is requested for a running guest",
        "post-copy moves the running guest before its memory; libvirt refuses it for a paused guest or an offline \
         migration",
        "omit post-copy, or resume the guest first",
        postcopy_live,
    ),
    rule(
        "request.postcopy-tunnelled",
        "post-copy is not tunnelled",
        "a tunnel is one-way, and post-copy requests pages from the source",
        "omit the tunnel; use TLS for encryption",
        |case, report| both(case, report, |r| (r.postcopy, r.tunnelled), "post-copy", "a tunnel"),
    ),
    rule(
        "request.postcopy-parallel",
        "post-copy and parallel connections are supported together",
        "QEMU before 10.1 refuses post-copy over parallel connections",
        "omit one of them",
        postcopy_parallel,
    ),
    rule(
        "request.preempt",
        "post-copy pre-emption is requested with post-copy",
        "pre-emption is an option of post-copy and has no meaning without it",
        "request post-copy too",
        |case, report| needs(case, report, |r| (r.postcopy_preempt, r.postcopy), "pre-emption", "post-copy"),
    ),
    rule(
        "request.offline-persistent",
        "an offline migration stores a definition on the destination",
        "an offline migration moves only the definition; without a persistent one nothing arrives",
        "request a persistent definition on the destination",
        |case, report| {
            needs(case, report, |r| (r.offline, r.persist_destination), "offline", "a persistent definition")
        },
    ),
    rule(
        "request.offline-storage",
        "an offline migration copies no disks",
        "libvirt copies the disks of running guests only",
        "copy the files by other means",
        |case, report| {
            both(
                case,
                report,
                |r| (r.offline, r.storage_copy != StorageCopy::None),
                "offline",
                "a copy of disks",
            )
        },
    ),
    rule(
        "request.offline-tunnelled",
        "an offline migration is not tunnelled",
        "an offline migration has no stream to tunnel",
        "omit the tunnel",
        |case, report| both(case, report, |r| (r.offline, r.tunnelled), "offline", "a tunnel"),
    ),
    rule(
        "request.tunnel-needs-peer",
        "a tunnel is requested with peer-to-peer migration",
        "only a connection between the daemons can carry the stream",
        "request peer-to-peer migration too",
        |case, report| needs(case, report, |r| (r.tunnelled, r.peer_to_peer), "a tunnel", "peer-to-peer"),
    ),
    rule(
        "request.tunnelled-storage",
        "no disks are copied through a tunnel",
        "libvirt copies disks over separate connections, which do not use the tunnel",
        "omit the tunnel; use TLS for encryption",
        |case, report| {
            both(
                case,
                report,
                |r| (r.tunnelled, r.storage_copy != StorageCopy::None),
                "a tunnel",
                "a copy of disks",
            )
        },
    ),
    rule(
        "request.tunnelled-parallel",
        "parallel connections are not tunnelled",
        "a tunnel carries one stream",
        "omit one of them",
        |case, report| {
            both(
                case,
                report,
                |r| (r.tunnelled, r.parallel_connections.is_some()),
                "a tunnel",
                "parallel connections",
            )
        },
    ),
    rule(
        "request.parallel-xbzrle",
        "parallel connections are not combined with XBZRLE",
        "QEMU has no XBZRLE compression on parallel connections",
        "omit one of them",
        |case, report| {
            let asked = |r: &Request| {
                (r.parallel_connections.is_some(), r.compression.iter().any(|name| name == "xbzrle"))
            };
            both(case, report, asked, "parallel connections", "xbzrle")
        },
    ),
    rule(
        "request.zero-copy-parallel",
        "zero-copy is requested with parallel connections",
        "QEMU supports zero-copy only on parallel connections",
        "request parallel connections too",
        |case, report| {
            needs(
                case,
                report,
                |r| (r.zero_copy, r.parallel_connections.is_some()),
                "zero-copy",
                "parallel connections",
            )
        },
    ),
    rule(
        "request.zero-copy-plain",
        "zero-copy is requested without compression and TLS",
        "compressed or encrypted pages are copied on the way",
        "omit compression and TLS",
        |case, report| {
            both(
                case,
                report,
                |r| (r.zero_copy, r.tls || !r.compression.is_empty()),
                "zero-copy",
                "TLS or compression",
            )
        },
    ),
    rule(
        "request.rdma-parallel",
        "RDMA is not combined with parallel connections",
        "QEMU supports parallel connections only over sockets",
        "omit one of them",
        |case, report| {
            both(
                case,
                report,
                |r| (is_rdma(r), r.parallel_connections.is_some()),
                "RDMA",
                "parallel connections",
            )
        },
    ),
    rule(
        "request.rdma-tunnelled",
        "RDMA is not tunnelled",
        "a tunnel uses libvirt's connection, which is a socket",
        "omit one of them",
        |case, report| both(case, report, |r| (is_rdma(r), r.tunnelled), "RDMA", "a tunnel"),
    ),
    rule(
        "request.copied-disks",
        "a list of disks is given only with a copy of disks",
        "libvirt refuses a list of disks without a copy",
        "request a copy of disks too",
        |case, report| {
            let asked = |r: &Request| (!r.copied_disks.is_empty(), r.storage_copy != StorageCopy::None);
            needs(case, report, asked, "a list of disks", "a copy of disks")
        },
    ),
    rule(
        "request.two-brakes",
        "one method of throttling is requested",
        "auto-converge and the dirty limit throttle the same CPUs; QEMU accepts one of them",
        "omit one of them",
        |case, report| {
            both(case, report, |r| (r.dirty_limit, r.auto_converge), "a dirty limit", "auto-converge")
        },
    ),
    rule(
        "request.undefine",
        "the source's definition is removed only if the destination stores one",
        "a guest without any stored definition is gone once it is shut off",
        "request a persistent definition on the destination",
        undefine,
    ),
    rule(
        "request.persistent-definition",
        "a changed definition is given for the stored definition too",
        "the running guest would have the changed definition, and its next start the old one",
        "give the persistent definition for the destination too",
        persistent_definition,
    ),
];

pub(super) fn is_rdma(request: &Request) -> bool {
    request.rdma || request.migrate_uri.as_deref().is_some_and(|uri| uri.starts_with("rdma:"))
}

fn both(
    case: &Case<'_>,
    report: &mut Report,
    asked: impl Fn(&Request) -> (bool, bool),
    first: &str,
    second: &str,
) -> Option<()> {
    if asked(case.request(report)?) == (true, true) {
        report.fail("/request", format!("{first} and {second} cannot be used together"));
    }
    Some(())
}

fn needs(
    case: &Case<'_>,
    report: &mut Report,
    asked: impl Fn(&Request) -> (bool, bool),
    first: &str,
    second: &str,
) -> Option<()> {
    if asked(case.request(report)?) == (true, false) {
        report.fail("/request", format!("{first} needs {second}"));
    }
    Some(())
}

fn postcopy_live(case: &Case<'_>, report: &mut Report) -> Option<()> {
    let request = case.request(report)?;
    if !request.postcopy {
        return Some(());
    }
    if !request.live || request.offline {
        report.fail("/request/postcopy", "post-copy is requested for a guest that is not migrated live");
        return Some(());
    }
    if case.guest_in_short(report)?.state == RunState::Paused {
        // Source: libvirt, `qemu_migration.c`: "post-copy migration is not
        // supported with non-live or paused migration".
        report.fail(
            "/request/postcopy",
            "the guest is paused, and libvirt refuses post-copy of a paused guest",
        );
    }
    Some(())
}

fn postcopy_parallel(case: &Case<'_>, report: &mut Report) -> Option<()> {
    let request = case.request(report)?;
    if !request.postcopy || request.parallel_connections.is_none() {
        return Some(());
    }
    for (host, pointer) in [
        (case.source(report)?, "/source/hypervisor-version"),
        (case.destination(report)?, "/destination/hypervisor-version"),
    ] {
        report.need((host.hypervisor_version > 0).then_some(()), pointer)?;
        if host.hypervisor_version < POSTCOPY_OVER_PARALLEL {
            let message = format!(
                "the hypervisor of {} does not support post-copy over parallel connections",
                host.name
            );
            report.fail(pointer, message);
        }
    }
    Some(())
}

fn undefine(case: &Case<'_>, report: &mut Report) -> Option<()> {
    let request = case.request(report)?;
    if request.undefine_source && !request.persist_destination {
        report.warn("/request/undefine-source", "no host would keep a definition of the guest");
    }
    Some(())
}

fn persistent_definition(case: &Case<'_>, report: &mut Report) -> Option<()> {
    let request = case.request(report)?;
    if request.destination_xml && request.persist_destination && !request.persistent_xml {
        report.warn("/request/persistent-xml", "the definition that is kept there is not the changed one");
    }
    Some(())
}
