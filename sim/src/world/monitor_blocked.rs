//! The monitor of a QEMU in its switchover is blocked.
//!
//! From the moment at which it may switch over until the last byte is sent QEMU holds its main lock, so its monitor
//! does not answer, and libvirt's calls that need it wait: an abort, a query of the job, another limit. On a link that
//! is cut this lasts until the kernel gives the connection up, a quarter of an hour later. Deferred commands are
//! executed then: an abort is in time as long as the destination has not reported that it has everything. In the same
//! way a source's copy is not reported while its daemon ends it, because the guest has moved.
//!
//! Sources: QEMU 7.2.22 as observed below libvirt 9.0.0 (`docs/fidelity.md`), `migration_completion` of its
//! `migration/migration.c`.

use whimbrel_core::port::Action;
use whimbrel_core::{Answer, Command, Side};

use super::daemon_calls::aborted;
use super::event_queue::Scheduled;
use super::job::{Job, Stage};
use super::{HostId, JobId, PortId, World};

impl World {
    /// The guest was stopped for the switchover. libvirt receives the event and lets QEMU continue: its monitor answers
    /// until then.
    pub(super) fn on_handing_over(&mut self, id: JobId) {
        let from_ns = self.now_ns + self.constants.event_ns + 2 * self.constants.call_ns;
        self.expect_job_mut(id).blocked_from_ns = Some(from_ns);
    }

    /// Whether the monitor of a migration's source is blocked now; after the migration's end it is not.
    pub(super) fn is_monitor_blocked(&self, id: JobId) -> bool {
        let is_blocked = |job: &Job| match job.stage {
            Stage::Copying => job.blocked_from_ns.is_some_and(|from_ns| self.now_ns >= from_ns),
            // Its daemon is busy ending it.
            Stage::Confirming => true,
            Stage::Preparing(_) | Stage::Mirroring | Stage::Finishing(_) | Stage::Postcopy(_) => false,
        };
        self.live_job(id).is_some_and(is_blocked)
    }

    /// Defers a command to a QEMU whose monitor is blocked; false if it can be executed now.
    pub(super) fn defer_if_blocked(&mut self, source: HostId, port: PortId, command: &Command) -> bool {
        let needs_qemu = match command.action {
            Action::PollJob
            | Action::AbortMigration
            | Action::StartPostcopy
            | Action::ResumePostcopy
            | Action::ReadSettings
            | Action::ApplySetting(_)
            | Action::Suspend
            | Action::Observe(Side::Source)
            | Action::Resume(Side::Source) => true,
            Action::CollectFacts
            | Action::EvaluateRules(_)
            | Action::StartMigration
            | Action::Observe(Side::Destination)
            | Action::Resume(Side::Destination)
            | Action::Destroy(_)
            | Action::Undefine(_)
            | Action::RemoveDisks(_) => false,
        };
        let job = self.guest_of(port).and_then(|guest| self.outgoing(guest, source));
        let Some(id) = job.filter(|_| needs_qemu && self.daemon_runs(source)) else { return false };
        self.advance_to_now(id);
        if !self.is_monitor_blocked(id) {
            return false;
        }
        let job = self.expect_job_mut(id);
        if matches!(command.action, Action::AbortMigration) {
            job.end_wanted.get_or_insert_with(aborted);
        }
        job.deferred.push((port, command.clone()));
        true
    }

    /// QEMU has sent everything and its monitor answers again. False if the migration was aborted meanwhile.
    pub(super) fn on_monitor_unblocked(&mut self, id: JobId) -> bool {
        let job = self.expect_job_mut(id);
        job.blocked_from_ns = None;
        let end_wanted = job.end_wanted.take();
        let deferred = std::mem::take(&mut job.deferred);
        let source = job.source;
        let Some(failure) = end_wanted else {
            self.deliver_deferred(deferred);
            return true;
        };
        let (aborts, others): (Vec<_>, Vec<_>) =
            deferred.into_iter().partition(|(_, command)| matches!(command.action, Action::AbortMigration));
        for (port, command) in aborts {
            self.tell_answer(port, source, (command.id, 0), Answer::Abort(Ok(())));
        }
        self.give_up(id, failure);
        self.deliver_deferred(others);
        false
    }

    /// Deferred commands reach their daemon again.
    pub(super) fn deliver_deferred(&mut self, deferred: Vec<(PortId, Command)>) {
        for (port, command) in deferred {
            self.event_queue.put(self.now_ns, Scheduled::Command(port, command));
        }
    }
}
