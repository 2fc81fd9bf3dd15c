//! A QEMU that hands its guest over hears nothing.
//!
//! From the moment at which it may hand over until the last byte is sent it holds its main lock, so that its monitor
//! answers nobody, and libvirt's calls that need it wait: an abort, a look at the job, another limit. On a link that is
//! cut it stays so until the kernel gives the connection up, a quarter of an hour later. What it hears then, it does
//! then: an abort is in time as long as the destination has not said that it has everything. In the same way nobody is
//! told anything of a source's copy while its daemon ends it, because the guest has moved.
//!
//! Sources: QEMU 7.2.22 as observed below libvirt 9.0.0 (`docs/fidelity.md`), `migration_completion` of its
//! `migration/migration.c`.

use whimbrel_core::port::Action;
use whimbrel_core::{Answer, Command, Side};

use super::agenda::Due;
use super::job::{Job, Stage};
use super::verbs::aborted;
use super::{HostId, JobId, PortId, World};

impl World {
    /// The guest was stopped for the hand-over. libvirt is told, and lets QEMU go on: until then it hears.
    pub(super) fn on_handing_over(&mut self, id: JobId) {
        let from_ns = self.now_ns + self.constants.event_ns + 2 * self.constants.call_ns;
        self.expect_job_mut(id).deaf_from_ns = Some(from_ns);
    }

    /// Whether a migration's source does not hear at the moment; of one that has ended, it does.
    pub(super) fn is_deaf(&self, id: JobId) -> bool {
        let deaf = |job: &Job| match job.stage {
            Stage::Copying => job.deaf_from_ns.is_some_and(|from_ns| self.now_ns >= from_ns),
            // Its daemon is busy ending it.
            Stage::Confirming => true,
            Stage::Preparing(_) | Stage::Mirroring | Stage::Finishing(_) | Stage::Postcopy(_) => false,
        };
        self.live_job(id).is_some_and(deaf)
    }

    /// Keeps a command for a QEMU that does not hear; false if it is heard.
    pub(super) fn falls_on_deaf_ears(&mut self, source: HostId, port: PortId, command: &Command) -> bool {
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
        self.bring_up(id);
        if !self.is_deaf(id) {
            return false;
        }
        let job = self.expect_job_mut(id);
        if matches!(command.action, Action::AbortMigration) {
            job.end_wanted.get_or_insert_with(aborted);
        }
        job.unheard.push((port, command.clone()));
        true
    }

    /// QEMU has sent everything and hears again. False if it was to end the migration.
    pub(super) fn on_heard(&mut self, id: JobId) -> bool {
        let job = self.expect_job_mut(id);
        job.deaf_from_ns = None;
        let end_wanted = job.end_wanted.take();
        let unheard = std::mem::take(&mut job.unheard);
        let source = job.source;
        let Some(failure) = end_wanted else {
            self.hear(unheard);
            return true;
        };
        let (aborts, others): (Vec<_>, Vec<_>) =
            unheard.into_iter().partition(|(_, command)| matches!(command.action, Action::AbortMigration));
        for (port, command) in aborts {
            self.tell_answer(port, source, (command.id, 0), Answer::Abort(Ok(())));
        }
        self.give_up(id, failure);
        self.hear(others);
        false
    }

    /// Commands that waited reach their daemon once more.
    pub(super) fn hear(&mut self, unheard: Vec<(PortId, Command)>) {
        for (port, command) in unheard {
            self.agenda.put(self.now_ns, Due::Command(port, command));
        }
    }
}
