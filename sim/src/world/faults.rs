//! What can go wrong, and when.

use whimbrel_core::{Answer, Failure, Fault as FailureClass, Observation};

use super::domains::ProcessState;
use super::event_queue::Scheduled;
use super::hosts::ReplyBehavior;
use super::incidents::Initiator;
use super::job::{Job, Leg, MigrateOptions, SourceEnd, Stage};
use super::{DEFAULT_SETTINGS, GuestId, HostId, JobId, PortEvent, PortId, World};
use crate::qemu::SourceMigration;
use whimbrel_core::Request;

/// A fault, or its repair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// A host's libvirt daemon dies. Its guests live on.
    KillDaemon(HostId),
    /// It is started again, and finds what it had written down.
    StartDaemon(HostId),
    /// The QEMU process of a guest on a host dies.
    KillGuest(GuestId, HostId),
    /// A host loses its power.
    LoseHost(HostId),
    /// It comes up again, with its daemon and without guests.
    StartHost(HostId),
    /// Nothing gets through between two hosts.
    CutLink(HostId, HostId),
    /// It does again.
    RestoreLink(HostId, HostId),
    /// The connections between the two QEMUs of a guest's migration break; the link is well.
    BreakStream(GuestId),
    /// The connections between a host's daemon and its clients break; a migration continues without its caller.
    DropClients(HostId),
    /// How a host's answers and events fare from now on.
    SetReplyBehavior(HostId, ReplyBehavior),
    /// So much of a host's memory is taken by something else, in MiB.
    TakeMemory(HostId, u64),
    /// So much room is left in all pools of a host, in bytes.
    LeaveRoom(HostId, u64),
    /// Another client stops a guest's CPUs.
    Pause(GuestId, HostId),
    /// Another client resumes them.
    Unpause(GuestId, HostId),
    /// The guest powers itself off, wherever it runs.
    PowerOff(GuestId),
    /// The guest boots again, wherever it runs.
    Reboot(GuestId),
    /// The guest sleeps and wakes up, wherever it runs. libvirt overwrites its reason for running, whatever that was.
    WakeUp(GuestId),
    /// A disk of a guest on a host fails: QEMU stops its CPUs, and the guest can be resumed.
    IoError(GuestId, HostId),
    /// Another client aborts the guest's migration on a host, as `virsh domjobabort` does.
    Abort(GuestId, HostId),
    /// Another client starts the guest from its disks on a host that has its definition and no copy of it, as high
    /// availability does.
    ColdStart(GuestId, HostId),
    /// Another client migrates the guest from the first host to the second, as `virsh migrate` does: refused where
    /// libvirt's job lock refuses it, and otherwise the holder of that lock.
    Migrate(GuestId, HostId, HostId),
}

/// The moment at which something is to happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Moment {
    /// An instant of the world's time.
    AtNs(u64),
    /// A guest's migration has done this many bitmap syncs; the first belongs to the setup.
    AtIteration(GuestId, u64),
    /// A guest's migration has come so far.
    At(GuestId, Milestone),
}

/// How far a migration has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Milestone {
    /// The destination's daemon has begun to prepare.
    Preparing,
    /// Disks begin to be mirrored.
    Mirroring,
    /// Memory begins to be copied.
    Copying,
    /// The guest was stopped for the switchover.
    Stopped,
    /// Everything was sent, and the destination is requested to take over.
    Finishing,
    /// The destination's daemon was reached and is about to let the guest run.
    Starting,
    /// The guest runs at the destination, and the answer is on its way.
    Started,
    /// The source knows, and is about to end its copy.
    Confirming,
    /// The guest runs at the destination without its memory.
    Postcopy,
}

/// What is to happen at a moment that has not come.
#[derive(Clone, Copy, Debug)]
pub(super) struct Awaited {
    pub(super) moment: Moment,
    pub(super) after_ns: u64,
    pub(super) what: What,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum What {
    Fault(Fault),
    Ask(PortId, Request),
    Interrupt(PortId, u64),
}

impl World {
    /// Lets something go wrong now.
    pub fn inject(&mut self, fault: Fault) {
        match fault {
            Fault::KillDaemon(host) => self.kill_daemon(host),
            Fault::StartDaemon(host) => self.start_daemon(host),
            Fault::KillGuest(guest, host) => self.end_guest(guest, host, Initiator::Fault),
            Fault::LoseHost(host) => self.lose_host(host),
            Fault::StartHost(host) => {
                if !self.host(host).is_up {
                    self.host_mut(host).is_up = true;
                    self.on_links_changed();
                    self.start_daemon(host);
                }
            }
            Fault::CutLink(one, other) => {
                self.cuts.insert(pair(one, other));
                self.on_links_changed();
            }
            Fault::RestoreLink(one, other) => {
                self.cuts.remove(&pair(one, other));
                self.on_links_changed();
            }
            Fault::BreakStream(guest) => {
                let streams = |job: &Job| {
                    job.guest == guest && matches!(job.stage, Stage::Copying | Stage::Postcopy(_))
                };
                for id in self.jobs_where(streams) {
                    self.change_engine(id, SourceMigration::fail);
                }
            }
            Fault::DropClients(host) => self.drop_clients(host),
            Fault::SetReplyBehavior(host, reply_behavior) => {
                self.host_mut(host).reply_behavior = reply_behavior;
            }
            Fault::TakeMemory(host, mib) => self.host_mut(host).taken_mib = mib,
            Fault::LeaveRoom(host, bytes) => {
                for pool in &mut self.host_mut(host).inventory.pools {
                    pool.free_bytes = bytes;
                }
            }
            Fault::Pause(guest, host) => {
                let _ = self.suspend(guest, host, Initiator::Fault);
            }
            Fault::Unpause(guest, host) => {
                let _ = self.resume(guest, host, Initiator::Fault);
            }
            Fault::PowerOff(guest) => {
                for host in self.running_on(guest).collect::<Vec<_>>() {
                    self.end_guest(guest, host, Initiator::Guest);
                }
            }
            Fault::Reboot(guest) => self.record_reboot(guest),
            Fault::WakeUp(guest) => self.wake_up(guest),
            Fault::IoError(guest, host) => self.fail_disk(guest, host),
            Fault::Abort(guest, host) => {
                let _ = self.abort(guest, host);
            }
            Fault::ColdStart(guest, host) => self.cold_start(guest, host),
            Fault::Migrate(guest, source, destination) => self.migrate_by_others(guest, source, destination),
        }
    }

    /// Lets something go wrong so long after a moment.
    pub fn inject_at(&mut self, moment: Moment, after_ns: u64, fault: Fault) {
        self.await_moment(Awaited { moment, after_ns, what: What::Fault(fault) });
    }

    /// An operator's request, this long after a moment.
    pub fn ask_at(&mut self, moment: Moment, after_ns: u64, port: PortId, request: Request) {
        self.await_moment(Awaited { moment, after_ns, what: What::Ask(port, request) });
    }

    /// Interrupts the driver of a port for `gone_ns`, this long after a moment.
    pub fn interrupt_at(&mut self, moment: Moment, after_ns: u64, port: PortId, gone_ns: u64) {
        self.await_moment(Awaited { moment, after_ns, what: What::Interrupt(port, gone_ns) });
    }

    fn await_moment(&mut self, awaited: Awaited) {
        match awaited.moment {
            Moment::AtNs(at_ns) => {
                self.plan(at_ns.saturating_add(awaited.after_ns).max(self.now_ns), awaited.what);
            }
            Moment::AtIteration(..) | Moment::At(..) => self.awaited.push(awaited),
        }
    }

    pub(super) fn on_iteration(&mut self, guest: GuestId, iteration: u64) {
        self.on_moment(
            |moment| matches!(moment, Moment::AtIteration(whose, at) if whose == guest && iteration >= at),
        );
    }

    pub(super) fn on_guest_stopped(&mut self, guest: GuestId) {
        self.on_milestone(guest, Milestone::Stopped);
    }

    pub(super) fn on_stage(&mut self, guest: GuestId, stage: Stage) {
        let milestone = match stage {
            Stage::Preparing(Leg::AtWork) => Milestone::Preparing,
            Stage::Mirroring => Milestone::Mirroring,
            Stage::Copying => Milestone::Copying,
            Stage::Finishing(Leg::Asked) => Milestone::Finishing,
            Stage::Finishing(Leg::AtWork) => Milestone::Starting,
            Stage::Finishing(Leg::Answered) => Milestone::Started,
            Stage::Confirming => Milestone::Confirming,
            Stage::Postcopy(Leg::Asked) => Milestone::Postcopy,
            Stage::Preparing(Leg::Asked | Leg::Answered) | Stage::Postcopy(Leg::AtWork | Leg::Answered) => {
                return;
            }
        };
        self.on_milestone(guest, milestone);
    }

    fn on_milestone(&mut self, guest: GuestId, milestone: Milestone) {
        self.on_moment(|moment| moment == Moment::At(guest, milestone));
    }

    /// Plans everything that waited for a moment like this one; each happens once.
    fn on_moment(&mut self, has_come: impl Fn(Moment) -> bool) {
        if self.awaited.is_empty() {
            return;
        }
        let due: Vec<Awaited> = self.awaited.extract_if(.., |awaited| has_come(awaited.moment)).collect();
        for awaited in due {
            self.plan(self.now_ns.saturating_add(awaited.after_ns), awaited.what);
        }
    }

    fn plan(&mut self, at_ns: u64, what: What) {
        let due = match what {
            What::Fault(fault) => Scheduled::Fault(fault),
            What::Ask(port, request) => Scheduled::Request(port, PortEvent::Requested(request)),
            What::Interrupt(port, gone_ns) => Scheduled::Request(port, PortEvent::Interrupted { gone_ns }),
        };
        self.event_queue.put(at_ns, due);
    }

    pub(super) fn kill_daemon(&mut self, host: HostId) {
        if !self.host(host).daemon_runs {
            return;
        }
        for id in self.jobs_from(host) {
            self.advance_to_now(id);
        }
        self.host_mut(host).daemon_runs = false;
        for id in self.jobs_from(host) {
            self.on_source_daemon_died(id);
        }
        for id in self.jobs_to(host) {
            self.advance_to_now(id);
            self.on_destination_daemon_died(id);
        }
        self.drop_clients(host);
    }

    fn start_daemon(&mut self, host: HostId) {
        if self.host(host).daemon_runs || !self.host(host).is_up {
            return;
        }
        self.host_mut(host).daemon_runs = true;
        for id in self.jobs_from(host) {
            self.advance_to_now(id);
            self.on_source_daemon_started(id);
        }
        for id in self.jobs_to(host) {
            self.advance_to_now(id);
            self.on_destination_daemon_started(id);
        }
        for guest in self.host(host).guests.clone() {
            let orphan = self.domain(guest).copy(host).is_some_and(|copy| copy.job.is_none());
            if orphan {
                self.end_incoming_of(guest, host);
            }
        }
    }

    /// QEMU needs no daemon to stop a guest whose disk fails, and libvirt's event of it is no hint of a migration.
    fn fail_disk(&mut self, guest: GuestId, host: HostId) {
        let Some(copy) =
            self.domain(guest).copy(host).filter(|copy| copy.process_state == ProcessState::Running)
        else {
            return;
        };
        let job = copy.job.filter(|id| self.expect_job(*id).source == host);
        self.set_process_state(guest, host, ProcessState::Paused, Initiator::Fault);
        if let Some(id) = job {
            self.change_engine(id, |engine| engine.set_guest_paused(true));
        }
    }

    /// The guest's process on a host ends, for whatever reason.
    fn end_guest(&mut self, guest: GuestId, host: HostId, initiator: Initiator) {
        let Some(job) = self.domain(guest).copy(host).map(|copy| copy.job) else { return };
        if let Some(id) = job {
            self.advance_to_now(id);
        }
        self.remove_copy(guest, host, initiator);
        if let Some(id) = job {
            self.on_copy_gone(id, host);
        }
    }

    /// What libvirt noted of a post-copy is overwritten: the guest is reported as running, and nothing more.
    fn wake_up(&mut self, guest: GuestId) {
        for copy in &mut self.domain_mut(guest).copies {
            copy.woke_up |= copy.process_state.runs();
        }
    }

    /// Nothing happens where libvirt would refuse it: without a definition, with a copy that is there, or while one is
    /// awaited.
    fn cold_start(&mut self, guest: GuestId, host: HostId) {
        let domain = self.domain(guest);
        let is_possible = self.reached(host).is_ok()
            && domain.defined_on.contains(&host)
            && domain.copy(host).is_none()
            && self.jobs_where(|job| job.guest == guest && job.destination == host).is_empty();
        if is_possible {
            self.add_copy(guest, host, ProcessState::Running, DEFAULT_SETTINGS, None);
        }
    }

    /// A guest with a definition takes it along and leaves none behind (`--persistent --undefinesource`).
    fn migrate_by_others(&mut self, guest: GuestId, source: HostId, destination: HostId) {
        let moves_definition = self.domain(guest).defined_on.contains(&source);
        let options = MigrateOptions {
            persist_destination: moves_definition,
            undefine_source: moves_definition,
            ..MigrateOptions::default()
        };
        // A refusal is an answer to that caller alone.
        let _ = self.begin(guest, source, destination, options, None);
    }

    fn lose_host(&mut self, host: HostId) {
        if !self.host(host).is_up {
            return;
        }
        let lost_at_ns = self.now_ns + self.constants.keep_alive_ns;
        for id in self.jobs_from(host) {
            self.advance_to_now(id);
            // The caller is not notified: its own keep-alive has to notice.
            let caller = self.live_job_mut(id).and_then(|job| job.caller.take());
            if let Some((port, to)) = caller {
                let failure =
                    Failure::new(FailureClass::ReplyLost, "the source's daemon does not answer any more");
                let answer = Answer::CallReturned(Err(failure));
                let event = PortEvent::Observed(Observation::Answer { to, answer });
                self.event_queue.put(lost_at_ns, Scheduled::Deliver(port, event));
            }
        }
        let host_state = self.host_mut(host);
        host_state.is_up = false;
        host_state.daemon_runs = false;
        self.on_links_changed();
        for id in self.jobs_from(host) {
            self.on_source_host_lost(id);
        }
        for id in self.jobs_to(host) {
            self.expect_job_mut(id).destination_takes_part = false;
        }
        for guest in self.host(host).guests.clone() {
            self.remove_copy(guest, host, Initiator::Fault);
        }
    }

    fn on_source_host_lost(&mut self, id: JobId) {
        let Some(job) = self.live_job_mut(id) else { return };
        job.source_end = SourceEnd::Died;
        job.engine = None;
        let (guest, destination, stage) = (job.guest, job.destination, job.stage);
        if matches!(stage, Stage::Postcopy(_))
            && matches!(
                self.domain(guest).process_state(destination),
                Some(ProcessState::PostcopyDestination { .. })
            )
        {
            let cut_off = ProcessState::PostcopyDestination { is_cut_off: true };
            self.set_process_state(guest, destination, cut_off, Initiator::Fault);
        }
        self.drop_incoming(id);
        if self.live_job(id).is_some() {
            self.leave(id);
        }
    }

    /// Clients lose their connections: what they wait for longest, the migrate call, is answered by that.
    fn drop_clients(&mut self, host: HostId) {
        for id in self.jobs_from(host) {
            let failure =
                Failure::new(FailureClass::ReplyLost, "the connection to the source's daemon broke");
            self.return_call(id, Err(failure));
        }
    }

    fn jobs_from(&self, host: HostId) -> Vec<JobId> {
        self.jobs_where(|job| job.source == host)
    }

    fn jobs_to(&self, host: HostId) -> Vec<JobId> {
        self.jobs_where(|job| job.destination == host)
    }
}

/// A pair of hosts, in either order.
pub(super) fn pair(one: HostId, other: HostId) -> (HostId, HostId) {
    (one.min(other), one.max(other))
}
