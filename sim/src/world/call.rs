//! The migrate call: libvirt's peer-to-peer protocol of five steps (begin, prepare, perform, finish, confirm).
//!
//! ```text
//!  Preparing ─▶ (Mirroring) ─▶ Copying ─▶ Finishing ─▶ Confirming ─▶ over
//!                                 │                        ▲
//!                                 └──────▶ Postcopy ───────┘
//! ```
//!
//! The source's daemon drives. Words between the two daemons take the link's time and may get stuck on it, so a step
//! that the other side takes part in has legs: requested, in progress, answered. What each end does when it loses the
//! other stands in `peer_loss`.
//!
//! Sources: libvirt 9.0.0 as observed between two hosts, its `docs/migration.rst`, and the phases of
//! `qemu_migration.c`.

use whimbrel_core::{CommandId, Failure, Fault, Hint};

use super::domains::{Copy, ProcessState};
use super::event_queue::{DaemonTask, Scheduled};
use super::incidents::Initiator;
use super::job::{Job, Leg, Message, MigrateOptions, SourceEnd, Stage};
use super::{GuestId, HostId, JobId, PortId, World};

impl World {
    /// The migrate call reaches the source's daemon.
    pub(super) fn begin(
        &mut self,
        guest: GuestId,
        source: HostId,
        destination: HostId,
        options: MigrateOptions,
        caller: Option<(PortId, CommandId)>,
    ) -> Result<JobId, Failure> {
        self.reached(source)?;
        self.may_begin(guest, source, destination, &options)?;
        let domain = self.domain(guest);
        let process_state = domain.process_state(source);
        let backing = |path: &String| self.host(source).inventory.backing(path).map(|found| found.identity);
        let copied = self.copied(guest, [source, destination], &options)?;
        let backings = domain.machine.disks.iter().map(|disk| backing(&disk.path)).collect();
        let id = JobId(self.jobs.insert(Job {
            guest,
            source,
            destination,
            options,
            stage: Stage::Preparing(Leg::Asked),
            caller,
            source_end: SourceEnd::Drives,
            destination_takes_part: true,
            guest_ran: process_state == Some(ProcessState::Running),
            engine: None,
            turn_at: None,
            mirror: None,
            flow: None,
            demand_bytes_per_second: 0,
            held: Vec::new(),
            silent_since: None,
            copied,
            backings,
            blocked_from_ns: None,
            deferred: Vec::new(),
            end_wanted: None,
            is_unattended: false,
            resuming: None,
        }));
        if let Some(copy) = self.domain_mut(guest).copy_mut(source) {
            copy.job = Some(id);
        }
        if self.link_is_cut(source, destination) {
            self.event_queue
                .put(self.now_ns + self.constants.connect_ns, Scheduled::Done(id, DaemonTask::ConnectFailed));
        } else {
            self.send(id, Message::Prepare);
        }
        Ok(id)
    }

    /// Sends a word to the other side.
    pub(super) fn send(&mut self, id: JobId, message: Message) {
        let job = self.expect_job(id);
        let (from, to) = match message {
            Message::Prepare | Message::Finish => (job.source, job.destination),
            Message::Prepared(_) | Message::Finished(_) => (job.destination, job.source),
        };
        let delay_ns = self.delay_ns(from, to);
        self.event_queue.put(self.now_ns + delay_ns, Scheduled::Message(id, message));
    }

    /// A word arrives, or gets stuck.
    pub(super) fn on_message(&mut self, id: JobId, message: Message) {
        let Some(job) = self.live_job_mut(id) else { return };
        if job.silent_since.is_some() {
            job.held.push(message);
            return;
        }
        match message {
            Message::Prepare => self.on_prepare(id),
            Message::Prepared(result) => self.on_prepared(id, result),
            Message::Finish => self.on_finish(id),
            Message::Finished(result) => self.on_finished(id, result),
        }
    }

    /// A daemon is done with something.
    pub(super) fn on_done(&mut self, id: JobId, chore: DaemonTask) {
        match chore {
            DaemonTask::Prepare => {
                let Some(job) = self.job_at(id, Stage::Preparing(Leg::AtWork)) else { return };
                if self.daemon_runs(job.destination) {
                    let alive = job.options.is_offline || self.incoming(id).is_some();
                    self.answer(
                        id,
                        Stage::Preparing(Leg::Answered),
                        Message::Prepared(alive.then_some(()).ok_or_else(qemu_died)),
                    );
                }
            }
            DaemonTask::Start => self.on_started(id),
            DaemonTask::Confirm => {
                if self.job_at(id, Stage::Confirming).is_some_and(Job::is_driven) {
                    self.confirm(id);
                }
            }
            DaemonTask::ConnectFailed => {
                if self.live_job(id).is_some() {
                    let words = "unable to connect to the destination's daemon: connection timed out";
                    self.give_up(id, Failure::new(Fault::DestinationUnreachable, words));
                }
            }
            DaemonTask::ResumeFailed => self.fail_resume(id),
        }
    }

    fn on_prepare(&mut self, id: JobId) {
        let Some(job) = self.job_at(id, Stage::Preparing(Leg::Asked)) else { return };
        let (guest, source, destination) = (job.guest, job.source, job.destination);
        let is_offline = job.options.is_offline;
        if !self.daemon_runs(destination) {
            let words = "unable to connect to the destination's daemon: connection refused";
            self.give_up(id, Failure::new(Fault::DestinationUnreachable, words));
            return;
        }
        if let Err(failure) = self.may_prepare(id) {
            self.answer(id, Stage::Preparing(Leg::Answered), Message::Prepared(Err(failure)));
            return;
        }
        if let Some(settings) =
            self.domain(guest).copy(source).map(|copy| copy.settings).filter(|_| !is_offline)
        {
            self.add_copy(guest, destination, ProcessState::Incoming, settings, Some(id));
        }
        self.stage(id, Stage::Preparing(Leg::AtWork));
        self.event_queue
            .put(self.now_ns + self.constants.prepare_ns, Scheduled::Done(id, DaemonTask::Prepare));
    }

    fn on_prepared(&mut self, id: JobId, result: Result<(), Failure>) {
        let Some(job) = self.job_at(id, Stage::Preparing(Leg::Answered)) else { return };
        if !job.is_driven() {
            return;
        }
        match result {
            Err(failure) => self.give_up(id, failure),
            Ok(()) if job.options.is_offline => {
                self.stage(id, Stage::Finishing(Leg::Asked));
                self.send(id, Message::Finish);
            }
            Ok(()) if !job.copied.is_empty() => self.start_mirror(id),
            Ok(()) => self.start_copying(id),
        }
    }

    /// Everything was sent, and the guest is stopped.
    pub(super) fn on_all_sent(&mut self, id: JobId) {
        let job = self.expect_job(id);
        match job.stage {
            Stage::Copying if job.is_driven() => {
                self.stage(id, Stage::Finishing(Leg::Asked));
                self.send(id, Message::Finish);
            }
            // No daemon requests the destination to finish: its daemon ends the copy, and the source's stays as it is.
            Stage::Copying => self.leave(id),
            Stage::Postcopy(leg) => {
                let (is_unattended, source) = (job.is_unattended, job.source);
                self.set_process_state(
                    job.guest,
                    job.destination,
                    ProcessState::Running,
                    Initiator::Hypervisor,
                );
                if is_unattended && self.daemon_runs(source) {
                    self.complete_unattended(id);
                } else if !is_unattended && leg == Leg::AtWork {
                    self.finish_postcopy(id);
                }
            }
            Stage::Preparing(_) | Stage::Mirroring | Stage::Finishing(_) | Stage::Confirming => {}
        }
    }

    fn on_finish(&mut self, id: JobId) {
        let job = self.expect_job(id);
        if !self.daemon_runs(job.destination) || !job.destination_takes_part {
            return;
        }
        match job.stage {
            Stage::Finishing(Leg::Asked) => {
                self.stage(id, Stage::Finishing(Leg::AtWork));
                self.event_queue
                    .put(self.now_ns + self.constants.finish_ns, Scheduled::Done(id, DaemonTask::Start));
            }
            Stage::Postcopy(Leg::Asked) => {
                self.stage(id, Stage::Postcopy(Leg::AtWork));
                if self.all_has_arrived(id) {
                    self.finish_postcopy(id);
                }
            }
            Stage::Preparing(_)
            | Stage::Mirroring
            | Stage::Copying
            | Stage::Finishing(Leg::AtWork | Leg::Answered)
            | Stage::Postcopy(Leg::AtWork | Leg::Answered)
            | Stage::Confirming => {}
        }
    }

    /// The destination's daemon starts the guest. From here on it belongs there, whether or not the source learns of
    /// it.
    fn on_started(&mut self, id: JobId) {
        let Some(job) = self.job_at(id, Stage::Finishing(Leg::AtWork)) else { return };
        let (guest, destination, ran, through) =
            (job.guest, job.destination, job.guest_ran, job.source_end == SourceEnd::Through);
        let (persists, is_offline) = (job.options.persist_destination, job.options.is_offline);
        if !self.daemon_runs(destination) || !job.destination_takes_part {
            return;
        }
        let started = is_offline || self.incoming(id).is_some();
        if is_offline {
            self.define(guest, destination);
        } else if started {
            self.check_disks(id);
            let process_state = if ran { ProcessState::Running } else { ProcessState::Paused };
            self.set_process_state(guest, destination, process_state, Initiator::Hypervisor);
            if persists {
                self.define(guest, destination);
            }
        }
        if through {
            self.end(id);
        } else {
            let result = started.then_some(()).ok_or_else(qemu_died);
            self.answer(id, Stage::Finishing(Leg::Answered), Message::Finished(result));
        }
    }

    /// The destination's daemon reports that the whole memory has arrived.
    fn finish_postcopy(&mut self, id: JobId) {
        let job = self.expect_job(id);
        if job.options.persist_destination {
            self.define(job.guest, job.destination);
        }
        self.answer(id, Stage::Postcopy(Leg::Answered), Message::Finished(Ok(())));
    }

    /// A post-copy whose daemons have parted comes to its end: each of them tidies up for itself. The source's keeps
    /// the guest's definition, whatever the flags of the call were; while it works on a call to resume the migration,
    /// QEMU's event of the end is lost, and its half stays as a post-copy that failed (seen with libvirt 9.0).
    pub(super) fn complete_unattended(&mut self, id: JobId) {
        let job = self.expect_job(id);
        let (guest, source, destination) = (job.guest, job.source, job.destination);
        if job.options.persist_destination {
            self.define(guest, destination);
        }
        if self.expect_job(id).resuming.is_some() {
            return;
        }
        self.conclude(id);
        self.remove_copy(guest, source, Initiator::Hypervisor);
        self.end(id);
    }

    fn on_finished(&mut self, id: JobId, result: Result<(), Failure>) {
        let job = self.expect_job(id);
        let answered = matches!(job.stage, Stage::Finishing(Leg::Answered) | Stage::Postcopy(Leg::Answered));
        if !answered || !job.is_driven() {
            return;
        }
        match result {
            Ok(()) => {
                self.stage(id, Stage::Confirming);
                self.event_queue
                    .put(self.now_ns + self.constants.confirm_ns, Scheduled::Done(id, DaemonTask::Confirm));
            }
            Err(failure) => self.give_up(id, failure),
        }
    }

    /// The source's copy ends, and with it the call.
    pub(super) fn confirm(&mut self, id: JobId) {
        let job = self.expect_job(id);
        let (guest, source, undefine) = (job.guest, job.source, job.options.undefine_source);
        let was_there = job.options.is_offline || self.domain(guest).copy(source).is_some();
        self.conclude(id);
        self.remove_copy(guest, source, Initiator::Hypervisor);
        if undefine {
            self.undefine_on(guest, source);
        }
        let gone = || Failure::new(Fault::Other, "operation failed: domain is not running");
        self.return_call(id, was_there.then_some(()).ok_or_else(gone));
        self.end(id);
    }

    /// The guest continues where it was; the destination's copy and the call end.
    pub(super) fn give_up(&mut self, id: JobId, failure: Failure) {
        self.let_source_go_on(id);
        self.drop_incoming(id);
        // A side that loses its peer by that may have ended the migration.
        self.return_call(id, Err(failure));
        self.end(id);
    }

    /// What the migration stopped runs again.
    pub(super) fn let_source_go_on(&mut self, id: JobId) {
        let job = self.expect_job(id);
        let (guest, source, ran) = (job.guest, job.source, job.guest_ran);
        if self.domain(guest).process_state(source) == Some(ProcessState::Stopped) && ran {
            self.set_process_state(guest, source, ProcessState::Running, Initiator::Hypervisor);
            self.hint(guest, source, Hint::SourceResumed);
        }
    }

    /// The call returns to its caller.
    pub(super) fn return_call(&mut self, id: JobId, result: Result<(), Failure>) {
        let caller = self.live_job_mut(id).and_then(|job| job.caller.take());
        if let Some((port, command)) = caller {
            self.on_call_returned(port, command, result);
        }
    }

    /// The source's daemon forgets a migration without a word; what the destination still does, it does.
    pub(super) fn leave(&mut self, id: JobId) {
        let job = self.expect_job_mut(id);
        job.source_end = SourceEnd::Through;
        let (guest, source, destination) = (job.guest, job.source, job.destination);
        let starts = job.stage == Stage::Finishing(Leg::AtWork) && job.destination_takes_part;
        if let Some(copy) = self.domain_mut(guest).copy_mut(source) {
            copy.job = None;
        }
        if !starts || !self.daemon_runs(destination) {
            self.end(id);
        }
    }

    /// The migration is over for both daemons.
    pub(super) fn end(&mut self, id: JobId) {
        // One whose destination's copy was dropped may have come to its end by that.
        let Some(job) = self.jobs.remove(id.0) else { return };
        if let Some(flow) = job.flow {
            self.close_flow(flow);
        }
        self.deliver_deferred(job.deferred);
        for copy in &mut self.domain_mut(job.guest).copies {
            if copy.job == Some(id) {
                copy.job = None;
            }
        }
        if self.daemon_runs(job.source) {
            self.hint(job.guest, job.source, Hint::JobEnded);
        }
        self.settle();
    }

    /// Reaches the next stage, for which faults and requests may wait.
    pub(super) fn stage(&mut self, id: JobId, stage: Stage) {
        let job = self.expect_job_mut(id);
        job.stage = stage;
        let guest = job.guest;
        self.on_stage(guest, stage);
    }

    fn answer(&mut self, id: JobId, stage: Stage, message: Message) {
        self.stage(id, stage);
        self.send(id, message);
    }

    /// The destination's copy, as long as it has not run.
    fn incoming(&self, id: JobId) -> Option<&Copy> {
        let job = self.expect_job(id);
        self.domain(job.guest)
            .copy(job.destination)
            .filter(|copy| copy.process_state == ProcessState::Incoming)
    }

    fn job_at(&self, id: JobId, stage: Stage) -> Option<&Job> {
        self.live_job(id).filter(|job| job.stage == stage)
    }

    fn define(&mut self, guest: GuestId, host: HostId) {
        let defined_on = &mut self.domain_mut(guest).defined_on;
        if !defined_on.contains(&host) {
            defined_on.push(host);
            self.record_definition(guest, host, true);
        }
    }

    /// Drops the guest's definition on a host, if there is one.
    pub(super) fn undefine_on(&mut self, guest: GuestId, host: HostId) {
        let defined_on = &mut self.domain_mut(guest).defined_on;
        let before = defined_on.len();
        defined_on.retain(|other| *other != host);
        if defined_on.len() < before {
            self.record_definition(guest, host, false);
        }
    }
}

fn qemu_died() -> Failure {
    Failure::new(Fault::Other, "internal error: QEMU unexpectedly closed the monitor")
}
