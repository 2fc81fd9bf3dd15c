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
        "post-copy is asked for a guest that runs",
        "post-copy moves a running guest before its memory; libvirt refuses it for a paused or offline one",
        "leave post-copy out, or resume the guest first",
        postcopy_live,
    ),
    rule(
        "request.postcopy-tunnelled",
        "post-copy is not tunnelled",
        "a tunnel goes one way, and post-copy asks back for pages",
        "leave the tunnel out; use TLS for secrecy",
        |case, report| both(case, report, |r| (r.postcopy, r.tunnelled), "post-copy", "a tunnel"),
    ),
    rule(
        "request.postcopy-parallel",
        "post-copy and parallel connections are supported together",
        "QEMU before 10.1 refuses post-copy over parallel connections",
        "leave one of them out",
        postcopy_parallel,
    ),
    rule(
        "request.preempt",
        "post-copy pre-emption is asked for with post-copy",
        "pre-emption is a way of post-copy, and means nothing without it",
        "ask for post-copy too",
        |case, report| needs(case, report, |r| (r.postcopy_preempt, r.postcopy), "pre-emption", "post-copy"),
    ),
    rule(
        "request.offline-persistent",
        "an offline migration leaves a definition on the destination",
        "an offline migration moves the definition alone; without a persistent one nothing arrives",
        "ask for a persistent definition on the destination",
        |case, report| {
            needs(case, report, |r| (r.offline, r.persist_destination), "offline", "a persistent definition")
        },
    ),
    rule(
        "request.offline-storage",
        "an offline migration copies no disk",
        "libvirt copies disks only of a running guest",
        "copy the files another way",
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
        "there is no stream to put into the tunnel",
        "leave the tunnel out",
        |case, report| both(case, report, |r| (r.offline, r.tunnelled), "offline", "a tunnel"),
    ),
    rule(
        "request.tunnel-needs-peer",
        "a tunnel is asked for between daemons",
        "only daemons that talk to each other can carry the stream",
        "ask for peer-to-peer too",
        |case, report| needs(case, report, |r| (r.tunnelled, r.peer_to_peer), "a tunnel", "peer-to-peer"),
    ),
    rule(
        "request.tunnelled-storage",
        "a copy of disks is not tunnelled",
        "libvirt copies disks over connections of their own, which do not go through the tunnel",
        "leave the tunnel out; use TLS for secrecy",
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
        "a tunnel is one stream",
        "leave one of them out",
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
        "QEMU does not encode differences on parallel connections",
        "leave one of them out",
        |case, report| {
            let asked = |r: &Request| {
                (r.parallel_connections.is_some(), r.compression.iter().any(|name| name == "xbzrle"))
            };
            both(case, report, asked, "parallel connections", "xbzrle")
        },
    ),
    rule(
        "request.zero-copy-parallel",
        "zero-copy is asked for with parallel connections",
        "QEMU sends without copying over parallel connections alone",
        "ask for parallel connections too",
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
        "zero-copy sends pages as they are",
        "what is compressed or encrypted is copied on the way",
        "leave compression and TLS out",
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
        "QEMU sends over parallel connections through sockets alone",
        "leave one of them out",
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
        "a tunnel goes through libvirt's connection, which is a socket",
        "leave one of them out",
        |case, report| both(case, report, |r| (is_rdma(r), r.tunnelled), "RDMA", "a tunnel"),
    ),
    rule(
        "request.copied-disks",
        "disks are chosen where disks are copied",
        "libvirt refuses a list of disks without a copy",
        "ask for a copy of disks too",
        |case, report| {
            let asked = |r: &Request| (!r.copied_disks.is_empty(), r.storage_copy != StorageCopy::None);
            needs(case, report, asked, "a list of disks", "a copy of disks")
        },
    ),
    rule(
        "request.two-brakes",
        "the guest is slowed down in one way",
        "auto-converge and the dirty limit brake the same CPUs; QEMU takes one of them",
        "leave one of them out",
        |case, report| {
            both(case, report, |r| (r.dirty_limit, r.auto_converge), "a dirty limit", "auto-converge")
        },
    ),
    rule(
        "request.undefine",
        "the source's definition is removed only when the destination keeps one",
        "a guest whose last definition is removed is gone once it is switched off",
        "ask for a persistent definition on the destination",
        undefine,
    ),
    rule(
        "request.persistent-definition",
        "a changed definition is given for what is kept too",
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
        report.fail("/request", format!("{first} and {second} do not go together"));
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
        report.fail("/request/postcopy", "post-copy is asked for a guest that is not migrated live");
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
            let message =
                format!("the hypervisor of {} does not take post-copy over parallel connections", host.name);
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
