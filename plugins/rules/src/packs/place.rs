//! Whether the destination can run this guest at all.

use alloc::format;

use whimbrel_facts::{Host, RunState};

use crate::case::{Case, called};
use crate::pack::{Rule, rule};
use crate::report::Report;
use crate::versions::dotted;

pub(super) const RULES: &[Rule] = &[
    rule(
        "destination.is-source",
        "source and destination are two hosts",
        "libvirt identifies hosts by their UUID, and refuses to migrate a guest to its own host",
        "name another destination; if these are two hosts, set a different `host_uuid` on each in libvirtd.conf",
        is_source,
    ),
    rule(
        "destination.has-guest",
        "the destination has no guest of this name or UUID",
        "a guest of the same name or UUID on the destination prevents the migration, and libvirt reports it only \
         after the preparation has begun",
        "find out which of the two is needed first; never run both",
        has_guest,
    ),
    rule(
        "hypervisor.differs",
        "both hosts run the same kind of hypervisor",
        "only the same kind of hypervisor can read the state of a guest",
        "name a destination with the same kind of hypervisor",
        hypervisor_differs,
    ),
    rule(
        "architecture.differs",
        "both hosts have the same architecture",
        "a guest's CPU cannot change its architecture while it runs",
        "name a destination of the same architecture",
        architecture_differs,
    ),
    rule(
        "hypervisor.older",
        "the destination's hypervisor is not older",
        "an older hypervisor may not know devices or state that a newer one writes",
        "migrate to a host with the same or a newer version",
        hypervisor_older,
    ),
    rule(
        "libvirt.older",
        "the destination's libvirt is not older",
        "an older libvirt may refuse a definition that a newer one wrote",
        "migrate to a host with the same or a newer version",
        library_older,
    ),
    rule(
        "destination.maintenance",
        "the destination is not in maintenance",
        "a host in maintenance is about to be evacuated or shut down",
        "name another destination, or end the maintenance",
        maintenance,
    ),
    rule(
        "destination.live-migration",
        "the destination's hypervisor supports live migration",
        "a driver without live migration refuses the guest",
        "name another destination",
        live_migration,
    ),
    rule(
        "destination.transport",
        "the destination supports the requested transport",
        "an unsupported scheme fails only when the copy begins",
        "use one of the transports that the destination reports",
        transport,
    ),
    rule(
        "destination.accelerator",
        "the destination supports the guest's kind of virtualization",
        "a KVM guest cannot run on a host without KVM",
        "load the KVM module on the destination, or name another destination",
        accelerator,
    ),
];

fn is_source(case: &Case<'_>, report: &mut Report) -> Option<()> {
    let (source, destination) = (case.source(report)?, case.destination(report)?);
    if is_same(source, destination) {
        let message =
            format!("source and destination are the same host {} (host UUID {})", source.name, source.uuid);
        report.fail("/destination/uuid", message);
    } else if source.uuid.is_empty() || destination.uuid.is_empty() {
        report.unknown("/destination/uuid", "a host does not report its UUID");
    }
    Some(())
}

fn is_same(source: &Host, destination: &Host) -> bool {
    !source.uuid.is_empty() && source.uuid == destination.uuid
}

fn has_guest(case: &Case<'_>, report: &mut Report) -> Option<()> {
    let guest = case.guest_in_short(report)?;
    let (source, destination) = (case.source(report)?, case.destination(report)?);
    // On the source itself the guest exists, of course: the rule about the same host reports that.
    if is_same(source, destination) {
        return Some(());
    }
    for (at, other) in
        report.need(destination.namesakes.as_ref(), "/destination/namesakes")?.iter().enumerate()
    {
        let pointer = format!("/destination/namesakes/{at}");
        let host = called(destination);
        if other.state != RunState::Off {
            let message = format!(
                "{host} already has a guest `{}` (same name or UUID {}) in memory",
                guest.name, guest.uuid
            );
            report.fail(pointer, message);
        } else if other.name == guest.name && !other.uuid.is_empty() && other.uuid != guest.uuid {
            let message = format!(
                "{host} has another guest of the name `{}`, with the UUID {}",
                guest.name, other.uuid
            );
            report.fail(pointer, message);
        } else {
            // libvirt takes over an inactive definition of the same name and UUID: that is how a guest comes back.
            let message = format!(
                "{host} has an inactive definition of `{}`, which the migration will replace",
                guest.name
            );
            report.warn(pointer, message);
        }
    }
    Some(())
}

fn hypervisor_differs(case: &Case<'_>, report: &mut Report) -> Option<()> {
    let here = &case.source(report)?.hypervisor;
    let there = &case.destination(report)?.hypervisor;
    if here.is_empty() || there.is_empty() {
        report.unknown("/destination/hypervisor", "a host does not report its hypervisor");
    } else if here != there {
        let message = format!("the source runs {here}, the destination {there}");
        report.fail("/destination/hypervisor", message);
    }
    Some(())
}

fn architecture_differs(case: &Case<'_>, report: &mut Report) -> Option<()> {
    let here = &case.source(report)?.architecture;
    let there = &case.destination(report)?.architecture;
    if here.is_empty() || there.is_empty() {
        report.unknown("/destination/architecture", "a host does not report its architecture");
    } else if here != there {
        let message = format!("the source is {here}, the destination {there}");
        report.fail("/destination/architecture", message);
    }
    Some(())
}

fn hypervisor_older(case: &Case<'_>, report: &mut Report) -> Option<()> {
    let here = known_version(case.source(report)?.hypervisor_version, report, "/source/hypervisor-version")?;
    let there = known_version(
        case.destination(report)?.hypervisor_version,
        report,
        "/destination/hypervisor-version",
    )?;
    if there < here {
        let message = format!(
            "the destination's hypervisor {} is older than the source's {}",
            dotted(there),
            dotted(here)
        );
        report.warn("/destination/hypervisor-version", message);
    }
    Some(())
}

fn library_older(case: &Case<'_>, report: &mut Report) -> Option<()> {
    let here = known_version(case.source(report)?.library_version, report, "/source/library-version")?;
    let there =
        known_version(case.destination(report)?.library_version, report, "/destination/library-version")?;
    if there < here {
        let message = format!(
            "the destination's libvirt {} is older than the source's {}",
            dotted(there),
            dotted(here)
        );
        report.warn("/destination/library-version", message);
    }
    Some(())
}

/// Versions are 0 where a host does not report them.
fn known_version(version: u64, report: &mut Report, pointer: &'static str) -> Option<u64> {
    report.need((version > 0).then_some(version), pointer)
}

fn maintenance(case: &Case<'_>, report: &mut Report) -> Option<()> {
    let destination = case.destination(report)?;
    match destination.maintenance {
        Some(true) => {
            report.fail("/destination/maintenance", format!("{} is in maintenance", called(destination)));
        }
        Some(false) => {}
        // It is the operator's own knowledge: a host that was queried cannot report more.
        None if destination.library_version > 0 => report.pass(
            "/destination/maintenance",
            format!(
                "no inventory says that {} is in maintenance; libvirt has no such state",
                called(destination)
            ),
        ),
        None => drop(report.need(None::<()>, "/destination/maintenance")),
    }
    Some(())
}

fn live_migration(case: &Case<'_>, report: &mut Report) -> Option<()> {
    let offline = case.request(report)?.offline;
    let destination = case.destination(report)?;
    if !offline && !report.need(destination.live_migration, "/destination/live-migration")? {
        let message = format!("the hypervisor of {} does not migrate live", called(destination));
        report.fail("/destination/live-migration", message);
    }
    Some(())
}

fn transport(case: &Case<'_>, report: &mut Report) -> Option<()> {
    let request = case.request(report)?;
    let destination = case.destination(report)?;
    let scheme = match request.migrate_uri.as_deref().and_then(|uri| uri.split_once(':')) {
        Some((scheme, _)) => scheme,
        None if request.rdma => "rdma",
        None => "tcp",
    };
    // A socket is between processes of one host; it is not among the transports that hosts report.
    if scheme == "unix" {
        return Some(());
    }
    let known = (!destination.transports.is_empty()).then_some(&destination.transports);
    let transports = report.need(known, "/destination/transports")?;
    if !transports.iter().any(|one| one == scheme) {
        let message =
            format!("{} does not support `{scheme}`, only {}", called(destination), transports.join(", "));
        report.fail("/destination/transports", message);
    }
    Some(())
}

fn accelerator(case: &Case<'_>, report: &mut Report) -> Option<()> {
    let guest = case.guest(report)?;
    let destination = case.destination(report)?;
    let known = (!destination.accelerators.is_empty()).then_some(&destination.accelerators);
    let accelerators = report.need(known, "/destination/accelerators")?;
    if !accelerators.contains(&guest.accelerator) {
        let message = format!(
            "the guest is of the type `{}`, and {} has {}",
            guest.accelerator,
            called(destination),
            accelerators.join(", ")
        );
        report.fail("/destination/accelerators", message);
    }
    Some(())
}
