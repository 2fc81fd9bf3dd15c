//! The rules that are compiled in.

use whimbrel_core::{Facts, GuestRun, Severity};

use crate::{Remark, Rule};

pub(crate) const ALL: &[Rule] = &[
    Rule {
        code: "guest.not-running",
        rationale: "only a guest that is in memory can be migrated live",
        check: guest_not_running,
    },
    Rule {
        code: "guest.busy",
        rationale: "a guest takes one job at a time: a migration, a save or a backup that runs already would make ours fail",
        check: guest_busy,
    },
    Rule {
        code: "destination.is-source",
        rationale: "libvirt tells hosts apart by their UUID and refuses to migrate a guest to where it is",
        check: destination_is_source,
    },
    Rule {
        code: "destination.has-guest",
        rationale: "a guest of the same name or UUID on the destination makes the hand-over impossible, and is found by the hypervisor only after the start",
        check: destination_has_guest,
    },
    Rule {
        code: "hypervisor.differs",
        rationale: "the state of a guest can only be read by the kind of hypervisor that wrote it",
        check: hypervisor_differs,
    },
    Rule {
        code: "architecture.differs",
        rationale: "a guest's CPU cannot change its architecture while it runs",
        check: architecture_differs,
    },
    Rule {
        code: "hypervisor.older",
        rationale: "an older hypervisor may not know devices or state that a newer one writes",
        check: hypervisor_older,
    },
    Rule {
        code: "destination.memory",
        rationale: "a guest that does not fit into the destination's memory fails after its disks and memory were copied",
        check: destination_memory,
    },
];

fn guest_not_running(facts: &Facts) -> Option<Remark> {
    (facts.guest.run == GuestRun::NotRunning).then(|| {
        error(
            format!("the guest `{}` is not running on {}", facts.guest.name, facts.source.hostname),
            "start it there, or move its definition instead".to_owned(),
        )
    })
}

fn guest_busy(facts: &Facts) -> Option<Remark> {
    facts.guest.job_active.then(|| {
        error(
            format!("another job already works on the guest `{}`", facts.guest.name),
            "wait for it or end it: `virsh domjobinfo` shows it".to_owned(),
        )
    })
}

fn destination_is_source(facts: &Facts) -> Option<Remark> {
    let uuid = &facts.source.host_uuid;
    (!uuid.is_empty() && *uuid == facts.destination.host_uuid).then(|| {
        error(
            format!("source and destination are the same host {} (host UUID {uuid})", facts.source.hostname),
            "name another destination; if these are two hosts, give each a `host_uuid` of its own in libvirtd.conf"
                .to_owned(),
        )
    })
}

fn destination_has_guest(facts: &Facts) -> Option<Remark> {
    // On the source itself the guest is of course there: the rule about the same host says what is wrong.
    if destination_is_source(facts).is_some() {
        return None;
    }
    let name = &facts.guest.name;
    let host = &facts.destination.hostname;
    match facts.destination.has_guest? {
        GuestRun::Running | GuestRun::Paused => Some(error(
            format!("{host} already has a guest `{name}` (same name or UUID {}) in memory", facts.guest.uuid),
            "find out which of the two is wanted before anything else; never run both".to_owned(),
        )),
        // libvirt takes over an inactive definition of the same name and UUID: that is how a guest comes back.
        GuestRun::NotRunning => Some(Remark {
            severity: Severity::Warning,
            message: format!(
                "{host} has an inactive definition of `{name}`, which the migration will replace"
            ),
            remediation: "undefine it there if it is not an older copy of this guest".to_owned(),
        }),
    }
}

fn hypervisor_differs(facts: &Facts) -> Option<Remark> {
    let (here, there) = (&facts.source.hypervisor, &facts.destination.hypervisor);
    (here != there).then(|| {
        error(
            format!("the source runs {here}, the destination {there}"),
            "name a destination with the same kind of hypervisor".to_owned(),
        )
    })
}

fn architecture_differs(facts: &Facts) -> Option<Remark> {
    let (here, there) = (&facts.source.architecture, &facts.destination.architecture);
    (here != there).then(|| {
        error(
            format!("the source is {here}, the destination {there}"),
            "name a destination of the same architecture".to_owned(),
        )
    })
}

fn hypervisor_older(facts: &Facts) -> Option<Remark> {
    let (here, there) = (facts.source.hypervisor_version, facts.destination.hypervisor_version);
    (there < here).then(|| Remark {
        severity: Severity::Warning,
        message: format!(
            "the destination's hypervisor {} is older than the source's {}",
            dotted(there),
            dotted(here)
        ),
        remediation: "migrate to a host of the same version or a newer one".to_owned(),
    })
}

fn destination_memory(facts: &Facts) -> Option<Remark> {
    let free = facts.destination.free_memory_bytes?;
    let wanted = facts.guest.memory_bytes;
    // Not an error: what is free now leaves out what the host can give back from its caches.
    (free < wanted).then(|| Remark {
        severity: Severity::Warning,
        message: format!(
            "the guest has {} MiB of memory and {} has {} MiB free",
            wanted >> 20,
            facts.destination.hostname,
            free >> 20
        ),
        remediation: "make sure that the destination can give back that much from its caches".to_owned(),
    })
}

fn error(message: String, remediation: String) -> Remark {
    Remark { severity: Severity::Error, message, remediation }
}

fn dotted(version: u64) -> String {
    format!("{}.{}.{}", version / 1_000_000, version / 1_000 % 1_000, version % 1_000)
}
