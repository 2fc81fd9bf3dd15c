//! The call that resumes a post-copy: when libvirt accepts it, how long a refusal takes, and what is lost meanwhile.

use whimbrel_core::{CommandId, Failure};

use super::daemon_calls::{no_job, refused, unreachable};
use super::domains::ProcessState;
use super::event_queue::{DaemonTask, Scheduled};
use super::job::{Leg, Resuming, SourceEnd, Stage};
use super::{GuestId, HostId, JobId, PortId, World};
use crate::qemu::{SourceMigration, Status};
use crate::versions::libvirt;

impl World {
    /// Resumes a post-copy that lost its connection: the migrate call again, with the flag to resume. Returns
    /// with the migration; until then the caller waits.
    ///
    /// # Errors
    /// When a daemon does not answer, or nothing is there to resume.
    pub(super) fn resume_postcopy(
        &mut self,
        guest: GuestId,
        source: HostId,
        destination: HostId,
        caller: (PortId, CommandId),
    ) -> Result<(), Failure> {
        self.reached(source)?;
        if [source, destination].iter().any(|host| !self.resumes_postcopy(*host)) {
            return Err(refused("unsupported flags in function virDomainMigrateToURI3: post-copy resume"));
        }
        let Some(id) = self.outgoing(guest, source) else { return Err(no_job()) };
        if self.expect_job(id).resuming.is_some() {
            return Err(refused("the migration is already being driven"));
        }
        if self.link_is_cut(source, destination) {
            self.resume_fails_after(id, caller, self.constants.connect_ns, unreachable());
            return Ok(());
        }
        if !self.daemon_runs(destination) {
            return Err(unreachable());
        }
        self.advance_to_now(id);
        let Some(job) = self.live_job_mut(id).filter(|job| job.destination == destination) else {
            return Err(no_job());
        };
        let Stage::Postcopy(_) = job.stage else { return Err(refused("the migration is not in post-copy")) };
        if job.caller.is_some() {
            return Err(refused("the migration is already being driven"));
        }
        let failed = job.engine.as_ref().is_some_and(|engine| engine.status() == Status::PostcopyPaused);
        if !failed
            || !matches!(
                self.domain(guest).process_state(destination),
                Some(ProcessState::PostcopyDestination { .. })
            )
        {
            let failure = refused("QEMU reports that post-copy is not paused on both sides");
            self.resume_fails_after(id, caller, self.constants.resume_refused_ns, failure);
            return Ok(());
        }
        let there = self.host(destination).inventory.libvirt;
        if libvirt::offers(there, libvirt::Feature::ResumeCrashes).is_offered() {
            self.kill_daemon(destination);
            return Err(unreachable());
        }
        if self.change_engine(id, SourceMigration::recover) != Some(true) {
            return Err(refused("QEMU could not resume the migration"));
        }
        let job = self.expect_job_mut(id);
        job.caller = Some(caller);
        job.is_unattended = false;
        job.source_end = SourceEnd::Drives;
        job.destination_takes_part = true;
        job.stage = Stage::Postcopy(Leg::AtWork);
        Ok(())
    }

    fn resume_fails_after(
        &mut self,
        id: JobId,
        caller: (PortId, CommandId),
        after_ns: u64,
        failure: Failure,
    ) {
        let until_ns = self.now_ns + after_ns;
        self.expect_job_mut(id).resuming = Some(Resuming { caller, until_ns, failure });
        self.event_queue.put(until_ns, Scheduled::Done(id, DaemonTask::ResumeFailed));
    }

    /// A call to resume a post-copy has failed, unless it was answered before.
    pub(super) fn fail_resume(&mut self, id: JobId) {
        let now_ns = self.now_ns;
        let Some(job) = self.live_job_mut(id) else { return };
        if let Some(resuming) = job.resuming.take_if(|resuming| resuming.until_ns <= now_ns) {
            let (port, command) = resuming.caller;
            self.on_call_returned(port, command, Err(resuming.failure));
        }
    }

    /// The source's daemon reaches the destination's after all.
    pub(super) fn connect_to_resume(&mut self, id: JobId) {
        let Some(job) = self.live_job_mut(id) else { return };
        let (guest, source, destination) = (job.guest, job.source, job.destination);
        if let Some(Resuming { caller, .. }) = job.resuming.take()
            && let Err(failure) = self.resume_postcopy(guest, source, destination, caller)
        {
            self.on_call_returned(caller.0, caller.1, Err(failure));
        }
    }

    /// Whether the destination runs the guest whole, and the source's half holds nothing that it misses.
    pub(super) fn half_is_empty(&self, guest: GuestId, job: Option<JobId>) -> bool {
        job.is_some_and(|id| {
            let destination = self.expect_job(id).destination;
            self.all_has_arrived(id)
                && self.daemon_runs(destination)
                && self.domain(guest).process_state(destination) == Some(ProcessState::Running)
        })
    }
}
