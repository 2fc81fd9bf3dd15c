//! The reaction of each end to the loss of the other, and of a daemon to its own restart.
//!
//! | migration is | the source loses the destination | the destination loses the source |
//! | --- | --- | --- |
//! | preparing, mirroring | the call fails; the guest never noticed | its copy ends |
//! | copying | the copy fails; the guest continues | its copy ends |
//! | finishing | **the guest continues on the source**, whether or not the destination has started it | its copy ends
//! if it was not requested to finish, else it starts the guest |
//! | copying, the guest stopped | as copying, but QEMU notices when its monitor is free again: see `monitor_blocked` |
//! its copy ends |
//! | in post-copy | the call fails, and it reports "post-copy failed"; memory is copied as long as QEMU reaches QEMU |
//! continues |
//! | confirming | its copy ends as planned | nothing |
//!
//! The line in bold is how two copies come to run: libvirt takes a lost answer to *finish* for a failure and relies on
//! lock managers. A daemon that is killed forgets nothing that it wrote down: started again, it ends an outgoing copy
//! that it finds under way, leaves a guest stopped that waited for an answer, finishes a confirmation, and ends an
//! incoming copy that has not run. QEMU itself, on either side, does not need its daemon.
//!
//! Sources: `docs/migration.rst`; `qemu_migration.c` (`qemuMigrationSrcPerformPeer2Peer3`) and `qemu_process.c`
//! (recovery of jobs) of libvirt 9.0.

use whimbrel_core::{Failure, Fault, Hint};

use super::domains::ProcessState;
use super::event_queue::Scheduled;
use super::incidents::Initiator;
use super::job::{Leg, Message, Resuming, SourceEnd, Stage};
use super::{GuestId, HostId, JobId, World};
use crate::qemu::SourceMigration;

const LOST_DESTINATION: &str = "operation failed: lost connection to the destination's daemon";

impl World {
    /// The two daemons have received nothing from each other for too long.
    pub(super) fn on_silence(&mut self, id: JobId, since_ns: u64) {
        if self.live_job(id).is_none_or(|job| job.silent_since != Some(since_ns)) {
            return;
        }
        self.destination_loses_source(id);
        self.source_loses_destination(id);
    }

    /// A kernel gives up a connection between two QEMUs that was not ended otherwise.
    pub(super) fn on_stream_silence(&mut self, id: JobId, since_ns: u64) {
        if self.live_job(id).is_some_and(|job| job.silent_since == Some(since_ns)) {
            self.change_engine(id, SourceMigration::fail);
        }
    }

    pub(super) fn source_loses_destination(&mut self, id: JobId) {
        let Some(job) = self.live_job_mut(id).filter(|job| job.is_driven()) else {
            return;
        };
        let lost = |words| Failure::new(Fault::Other, words);
        match job.stage {
            Stage::Preparing(_) | Stage::Mirroring => {
                self.give_up(id, lost(LOST_DESTINATION));
            }
            Stage::Copying => self.end_copy(id, lost(LOST_DESTINATION)),
            Stage::Finishing(_) => {
                job.held.clear();
                self.let_source_go_on(id);
                let words =
                    "operation failed: lost connection to the destination's daemon while it took over";
                self.return_call(id, Err(lost(words)));
                self.leave(id);
            }
            Stage::Postcopy(_) => {
                let words = "operation failed: lost connection to the destination's daemon in post-copy";
                // The two QEMUs hold on to each other for longer.
                job.is_unattended = true;
                job.held.clear();
                let (guest, source) = (job.guest, job.source);
                self.set_process_state(
                    guest,
                    source,
                    ProcessState::PostcopySource { is_cut_off: true },
                    Initiator::Hypervisor,
                );
                self.hint(guest, source, Hint::PostcopyFailed);
                self.return_call(id, Err(lost(words)));
            }
            Stage::Confirming => {}
        }
    }

    /// The source's daemon wants the copy's end, which QEMU may not hear.
    fn end_copy(&mut self, id: JobId, failure: Failure) {
        self.advance_to_now(id);
        if self.is_monitor_blocked(id) {
            self.expect_job_mut(id).end_wanted.get_or_insert(failure);
        } else {
            self.change_engine(id, SourceMigration::fail);
        }
    }

    pub(super) fn destination_loses_source(&mut self, id: JobId) {
        let job = self.expect_job(id);
        if !self.daemon_runs(job.destination) || !job.destination_takes_part {
            return;
        }
        match job.stage {
            Stage::Preparing(_) | Stage::Mirroring | Stage::Copying => self.end_incoming(id),
            // A word to finish that is on its way still arrives when only its sender died, not when the link is cut.
            Stage::Finishing(Leg::Asked) if job.silent_since.is_some() => self.end_incoming(id),
            Stage::Finishing(_) | Stage::Postcopy(_) | Stage::Confirming => {}
        }
    }

    /// The source's daemon dies; its QEMU lives on.
    pub(super) fn on_source_daemon_died(&mut self, id: JobId) {
        self.return_call(
            id,
            Err(Failure::new(Fault::ReplyLost, "the connection to the source's daemon broke")),
        );
        let resuming = self.live_job_mut(id).and_then(|job| job.resuming.take());
        if let Some(Resuming { caller: (port, command), .. }) = resuming {
            let failure = Failure::new(Fault::ReplyLost, "the connection to the source's daemon broke");
            self.on_call_returned(port, command, Err(failure));
        }
        let Some(job) = self.live_job_mut(id) else { return };
        job.source_end = SourceEnd::Died;
        job.is_unattended |= matches!(job.stage, Stage::Postcopy(_));
        let (deferred, is_cut) = (std::mem::take(&mut job.deferred), job.silent_since.is_some());
        if !is_cut {
            self.destination_loses_source(id);
        }
        self.deliver_deferred(deferred);
    }

    /// The destination's daemon dies; its QEMU lives on.
    pub(super) fn on_destination_daemon_died(&mut self, id: JobId) {
        let Some(job) = self.live_job_mut(id) else { return };
        job.destination_takes_part = false;
        if job.silent_since.is_none() {
            self.source_loses_destination(id);
        }
    }

    /// The source's daemon is there again, and finds what it had written down.
    pub(super) fn on_source_daemon_started(&mut self, id: JobId) {
        let Some(job) = self.live_job_mut(id).filter(|job| job.source_end == SourceEnd::Died) else {
            return;
        };
        match job.stage {
            Stage::Preparing(_) | Stage::Mirroring => {
                self.drop_incoming(id);
                self.end(id);
            }
            Stage::Copying => self.end_copy(id, Failure::new(Fault::Other, LOST_DESTINATION)),
            // Whether the guest was started over there is not known: it is left as it is.
            Stage::Finishing(_) => self.leave(id),
            Stage::Postcopy(_) => {
                job.source_end = SourceEnd::Drives;
                if self.all_has_arrived(id) {
                    self.complete_unattended(id);
                }
            }
            Stage::Confirming => self.confirm(id),
        }
    }

    /// The destination's daemon is there again. What has not run there yet is ended.
    pub(super) fn on_destination_daemon_started(&mut self, id: JobId) {
        let Some(job) = self.live_job(id).filter(|job| !job.destination_takes_part) else { return };
        match job.stage {
            Stage::Preparing(_) | Stage::Mirroring | Stage::Copying => self.end_incoming(id),
            Stage::Finishing(_) => {
                self.end_incoming(id);
                if self.live_job(id).is_some_and(|job| job.source_end == SourceEnd::Through) {
                    self.end(id);
                }
            }
            Stage::Postcopy(_) | Stage::Confirming => {}
        }
    }

    /// A QEMU process of a migration is gone, on either side.
    pub(super) fn on_copy_gone(&mut self, id: JobId, host: HostId) {
        let Some(job) = self.live_job_mut(id) else { return };
        if host == job.source {
            job.engine = None;
            self.on_source_copy_gone(id);
        } else {
            self.on_destination_copy_gone(id);
        }
    }

    fn on_source_copy_gone(&mut self, id: JobId) {
        let job = self.expect_job(id);
        let (guest, destination) = (job.guest, job.destination);
        let gone = Failure::new(Fault::Other, "operation failed: domain is not running");
        match job.stage {
            Stage::Preparing(_) | Stage::Mirroring | Stage::Copying => self.give_up(id, gone),
            // The destination continues with what it has; the call finds the source's copy gone at the end.
            Stage::Finishing(_) | Stage::Confirming => {}
            Stage::Postcopy(_) => {
                let process_state = self.domain(guest).process_state(destination);
                if matches!(process_state, Some(ProcessState::PostcopyDestination { .. })) {
                    let cut_off = ProcessState::PostcopyDestination { is_cut_off: true };
                    self.set_process_state(guest, destination, cut_off, Initiator::Fault);
                }
                self.return_call(id, Err(gone));
                self.end(id);
            }
        }
    }

    fn on_destination_copy_gone(&mut self, id: JobId) {
        let Some(job) = self.live_job(id).filter(|job| job.silent_since.is_none()) else { return };
        match job.stage {
            Stage::Mirroring => {
                let words = "operation failed: migration of disks failed: connection reset";
                self.give_up(id, Failure::new(Fault::Other, words));
            }
            Stage::Copying | Stage::Postcopy(_) => {
                self.change_engine(id, SourceMigration::fail);
            }
            // The next word that is due finds it out.
            Stage::Preparing(_) | Stage::Finishing(_) | Stage::Confirming => {}
        }
    }

    /// The source is done with a migration that did not work: the destination's copy has no purpose any more. Its
    /// daemon ends it on request, or when it notices the loss of its peer; QEMU ends when its stream breaks off. A dead
    /// daemon's copy that has everything waits for the daemon.
    pub(super) fn drop_incoming(&mut self, id: JobId) {
        let job = self.expect_job(id);
        let (guest, destination) = (job.guest, job.destination);
        let streams = matches!(job.stage, Stage::Mirroring | Stage::Copying);
        let notices = self.daemon_runs(destination) && job.destination_takes_part;
        match job.silent_since {
            None if notices || streams => self.end_incoming(id),
            Some(since_ns) if notices => {
                let at_ns = (since_ns + self.constants.keep_alive_ns).max(self.now_ns);
                self.event_queue.put(at_ns, Scheduled::EndIncoming(guest, destination));
            }
            None | Some(_) => {}
        }
    }

    /// The destination's copy ends if it has never run. Its QEMU's end breaks the stream.
    fn end_incoming(&mut self, id: JobId) {
        let job = self.expect_job(id);
        let (guest, destination) = (job.guest, job.destination);
        if self.end_incoming_of(guest, destination) {
            self.on_copy_gone(id, destination);
        }
    }

    pub(super) fn end_incoming_of(&mut self, guest: GuestId, host: HostId) -> bool {
        let is_incoming = self.domain(guest).process_state(host) == Some(ProcessState::Incoming);
        if is_incoming {
            self.remove_copy(guest, host, Initiator::Hypervisor);
        }
        is_incoming
    }

    /// The link between the two ends of a migration was cut, or is there again.
    pub(super) fn on_link_changed(&mut self, id: JobId) {
        let Some(job) = self.live_job(id) else { return };
        let is_cut = self.link_is_cut(job.source, job.destination);
        if is_cut == job.silent_since.is_some() {
            return;
        }
        let now_ns = self.now_ns;
        let (keep_alive_ns, stream_ns) = (self.constants.keep_alive_ns, self.constants.stream_timeout_ns);
        let job = self.expect_job_mut(id);
        if is_cut {
            job.silent_since = Some(now_ns);
            self.event_queue.put(now_ns + keep_alive_ns, Scheduled::Silence(id, now_ns));
            self.event_queue.put(now_ns + stream_ns, Scheduled::StreamSilence(id, now_ns));
        } else {
            job.silent_since = None;
            let held: Vec<Message> = std::mem::take(&mut job.held);
            for message in held {
                self.send(id, message);
            }
            self.find_out(id);
            self.connect_to_resume(id);
        }
        self.set_engine_link(id);
    }

    /// Two ends that can reach each other again learn each other's state: one that knows nothing of a
    /// connection resets it.
    fn find_out(&mut self, id: JobId) {
        let job = self.expect_job(id);
        let (is_driven, takes_part) = (job.is_driven(), job.destination_takes_part);
        let is_there = self.domain(job.guest).process_state(job.destination).is_some();
        if !is_driven {
            self.destination_loses_source(id);
        }
        if !takes_part {
            self.source_loses_destination(id);
        }
        if !is_there {
            self.on_destination_copy_gone(id);
        }
    }
}
