//! The state that the guest is in.

use alloc::format;

use whimbrel_facts::{Domain, RunState};

use crate::case::Case;
use crate::pack::{Rule, rule};
use crate::report::Report;

pub(super) const RULES: &[Rule] = &[
    rule(
        "guest.not-running",
        "the guest runs, or only its definition is moved",
        "only a guest that is in memory can be migrated live",
        "start the guest, or move its definition with `--offline`",
        not_running,
    ),
    rule(
        "guest.busy",
        "no other job runs on the guest",
        "libvirt runs one job on a guest at a time: a migration, save or backup in progress makes this migration fail",
        "wait for the job, or cancel it: `virsh domjobinfo` shows it",
        busy,
    ),
    rule(
        "guest.io-error",
        "the guest is not paused by an I/O error",
        "a guest that waits for storage has requests in flight, and the destination may not repeat them",
        "correct the storage error and resume the guest first",
        io_error,
    ),
    rule(
        "guest.crashed",
        "the guest has not crashed",
        "a crashed guest arrives crashed, and a crash dump becomes harder to take",
        "restart the guest, or take a dump first (`virsh dump`)",
        crashed,
    ),
    rule(
        "guest.left-by-migration",
        "no earlier migration left the guest paused",
        "a guest that an earlier migration left paused may have a second copy on another host",
        "find the host with the complete copy first: `virsh domstate --reason` on both hosts",
        left_by_migration,
    ),
    rule(
        "guest.block-job",
        "no block job is active on a disk",
        "libvirt refuses to migrate a guest whose disk is being copied, committed or backed up",
        "wait for the block job, or cancel it: `virsh blockjob` shows it",
        block_job,
    ),
    rule(
        "guest.auto-destroy",
        "the guest is not bound to the connection that started it",
        "libvirt refuses to migrate a guest that ends with a client's connection",
        "start the guest without `--autodestroy`",
        auto_destroy,
    ),
    rule(
        "guest.not-understood",
        "the rules know every part of the guest's definition",
        "an element that no rule reads may block a migration",
        "check the named elements manually, or write a rule for them",
        not_understood,
    ),
];

fn not_running(case: &Case<'_>, report: &mut Report) -> Option<()> {
    let guest = case.guest_in_short(report)?;
    let offline = case.request(report)?.offline;
    report.saw("guest.state", guest.state.name());
    match guest.state {
        RunState::Running | RunState::Paused | RunState::Crashed if offline => {
            report.warn("/request/offline", "the guest runs, and only its definition would be moved");
        }
        RunState::Running | RunState::Paused | RunState::Crashed => {}
        RunState::Off if offline => {}
        RunState::Off => report.fail("/guest/state", format!("the guest `{}` is not running", guest.name)),
        RunState::Unknown => report.unknown("/guest/state", "the guest's state is not known"),
    }
    Some(())
}

fn busy(case: &Case<'_>, report: &mut Report) -> Option<()> {
    let guest = case.guest_in_short(report)?;
    let job = report.need(guest.job.as_deref(), "/guest/job")?;
    if !job.is_empty() {
        report.fail("/guest/job", format!("another job ({job}) works on the guest `{}`", guest.name));
    }
    Some(())
}

fn io_error(case: &Case<'_>, report: &mut Report) -> Option<()> {
    let guest = case.guest_in_short(report)?;
    let request = case.request(report)?;
    let reason = known_reason(guest, report)?;
    if guest.state == RunState::Paused && reason == "io-error" {
        let message = format!("`{}` is paused because of an I/O error", guest.name);
        if request.abort_on_error {
            report.fail("/guest/state-reason", message);
        } else {
            report.warn("/guest/state-reason", message);
        }
    }
    Some(())
}

/// The reason for the guest's state. It matters for a paused guest only, and there an empty one is unknown.
fn known_reason<'a>(guest: &'a Domain, report: &mut Report) -> Option<&'a str> {
    report.need((guest.state != RunState::Unknown).then_some(()), "/guest/state")?;
    let known = guest.state != RunState::Paused || !guest.state_reason.is_empty();
    report.need(known.then_some(guest.state_reason.as_str()), "/guest/state-reason")
}

fn crashed(case: &Case<'_>, report: &mut Report) -> Option<()> {
    let guest = case.guest_in_short(report)?;
    report.need((guest.state != RunState::Unknown).then_some(()), "/guest/state")?;
    if guest.state == RunState::Crashed || guest.state_reason == "crashed" {
        report.fail("/guest/state", format!("`{}` has crashed", guest.name));
    }
    Some(())
}

fn left_by_migration(case: &Case<'_>, report: &mut Report) -> Option<()> {
    let guest = case.guest_in_short(report)?;
    let reason = known_reason(guest, report)?;
    if guest.state == RunState::Paused && matches!(reason, "migration" | "post-copy" | "post-copy-failed") {
        report.saw("guest.state-reason", reason);
        report.fail("/guest/state-reason", format!("an earlier migration left `{}` paused", guest.name));
    }
    Some(())
}

fn block_job(case: &Case<'_>, report: &mut Report) -> Option<()> {
    let guest = case.guest(report)?;
    for (at, disk) in guest.disks.iter().enumerate() {
        // An empty drive can have no block job.
        if disk.source.is_none() {
            continue;
        }
        let pointer = format!("/guest/disks/{at}/busy");
        let Some(job) = disk.busy.as_deref() else {
            report.unknown(
                pointer,
                format!("whether a block job works on disk `{}` is not known", disk.target),
            );
            continue;
        };
        if !job.is_empty() {
            let message = format!("a block job ({job}) works on disk `{}`", disk.target);
            report.fail(pointer, message);
        }
    }
    Some(())
}

fn auto_destroy(case: &Case<'_>, report: &mut Report) -> Option<()> {
    let guest = case.guest_in_short(report)?;
    match guest.auto_destroy {
        Some(true) => {
            report.fail("/guest/auto-destroy", "the guest ends with the connection that started it");
        }
        Some(false) => {}
        // No call of libvirt's reports it. Source: libvirt, `qemuMigrationSrcIsAllowed`, which refuses such a guest first.
        None if case.source(report)?.library_version > 0 => report.pass(
            "/guest/auto-destroy",
            "libvirt does not report whether the guest ends with a client's connection, and refuses such a guest itself \
             before anything is sent",
        ),
        None => drop(report.need(None::<()>, "/guest/auto-destroy")),
    }
    Some(())
}

fn not_understood(case: &Case<'_>, report: &mut Report) -> Option<()> {
    let guest = case.guest(report)?;
    if !guest.not_understood.is_empty() {
        let elements = guest.not_understood.join(", ");
        report.unknown("/guest/not-understood", format!("not understood in the definition: {elements}"));
    }
    Some(())
}
