//! Copying memory: the engine's turns and events, and its share of the network.
//!
//! An engine runs ahead only to the next instant at which anything else can happen, so nothing that it does not
//! know of yet can have changed meanwhile.

use whimbrel_core::{Failure, Fault, Hint};
use whimbrel_oracle::Part;

use super::daemon_calls::aborted;
use super::domains::ProcessState;
use super::event_queue::Scheduled;
use super::incidents::Initiator;
use super::job::{Job, Leg, Message, Stage};
use super::{HostId, JobId, World};
use crate::network::{Flow, FlowId};
use crate::qemu::{AutoConverge, EventKind, HostConstants, SourceConfig, SourceMigration, Status};
use crate::versions::{libvirt, qemu};

impl World {
    /// The source's QEMU begins to send.
    pub(super) fn start_copying(&mut self, id: JobId) {
        let job = self.expect_job(id);
        let (guest, source, destination, options) = (job.guest, job.source, job.destination, job.options);
        let latency_ns = self.mean_delay_ns(source, destination);
        let version = self.host(source).inventory.qemu;
        let Some(copy) = self.domain(guest).copy(source) else { return };
        let config = SourceConfig {
            host: HostConstants { latency_ns, ..self.host_constants },
            behaviour: qemu::behaviour(version),
            max_bandwidth_bytes_per_second: engine_limit(copy.settings.bandwidth_limit_bytes_per_second),
            downtime_limit_ms: copy.settings.downtime_limit_ms,
            switchover_bandwidth_bytes_per_second: None,
            auto_converge: options.auto_converge.map(|rules| AutoConverge {
                periodic_sync_ns: rules.periodic_sync_ns.or(qemu::periodic_sync_ns(version)),
                ..rules
            }),
            dirty_limit: options.dirty_limit,
            xbzrle: options.xbzrle,
            channels: options.channels,
            postcopy: options.postcopy,
            pause_before_switchover: false,
        };
        let mut memory = self.domain(guest).machine.memory.clone();
        memory.paused = copy.process_state != ProcessState::Running;
        let random = self.random.fork();
        let engine = SourceMigration::start(self.engine, &config, memory, self.now_ns, random);
        let flow = self.open_flow(source, destination, u64::MAX);
        let job = self.expect_job_mut(id);
        job.engine = Some(engine);
        job.flow = flow;
        self.flow_jobs.extend(flow.map(|flow| (flow, id)));
        self.stage(id, Stage::Copying);
        self.set_demand(id);
        self.plan_turn(id);
    }

    /// Runs the engine to its next event, or as far as nothing else can happen.
    pub(super) fn on_turn(&mut self, id: JobId, horizon_ns: u64) {
        let now_ns = self.now_ns;
        let Some(job) = self.live_job_mut(id) else { return };
        if job.turn_at != Some(now_ns) {
            return;
        }
        job.turn_at = None;
        if job.stage == Stage::Mirroring {
            self.on_mirror_turn(id);
            return;
        }
        let Some(engine) = &mut job.engine else { return };
        match engine.run_to(horizon_ns.max(now_ns)) {
            Some(event) => {
                self.now_ns = self.now_ns.max(event.at_ns);
                self.on_engine_event(id, event.kind);
                self.plan_turn(id);
            }
            None => self.plan_turn(id),
        }
    }

    /// Brings an engine to the present, before it is queried or changed.
    pub(super) fn advance_to_now(&mut self, id: JobId) {
        loop {
            let now_ns = self.now_ns;
            let Some(engine) = self.live_job_mut(id).and_then(|job| job.engine.as_mut()) else { return };
            match engine.run_to(now_ns) {
                Some(event) => self.on_engine_event(id, event.kind),
                None => return,
            }
        }
    }

    /// Notes when the engine has to run next; what was planned before is void.
    pub(super) fn plan_turn(&mut self, id: JobId) {
        let now_ns = self.now_ns;
        let Some(job) = self.live_job_mut(id) else { return };
        let Some(engine) = &job.engine else { return };
        let next_ns = engine.next_event_at().map(|at_ns| at_ns.max(engine.now_ns() + 1).max(now_ns));
        if job.turn_at != next_ns {
            job.turn_at = next_ns;
            if let Some(at_ns) = next_ns {
                self.event_queue.put(at_ns, Scheduled::Turn(id));
            }
        }
    }

    /// Changes something about an engine at the present instant.
    pub(super) fn change_engine<T>(
        &mut self,
        id: JobId,
        change: impl FnOnce(&mut SourceMigration) -> T,
    ) -> Option<T> {
        self.advance_to_now(id);
        let result = self.live_job_mut(id)?.engine.as_mut().map(change);
        self.plan_turn(id);
        result
    }

    fn on_engine_event(&mut self, id: JobId, event: EventKind) {
        let job = self.expect_job(id);
        let (guest, source, destination) = (job.guest, job.source, job.destination);
        match event {
            EventKind::SyncDone { iteration, announced, .. } => {
                if announced {
                    self.hint(guest, source, Hint::IterationBegan);
                }
                self.on_iteration(guest, iteration);
            }
            EventKind::GuestStopped => {
                if self.domain(guest).process_state(source) == Some(ProcessState::Running) {
                    self.set_process_state(guest, source, ProcessState::Stopped, Initiator::Hypervisor);
                    self.hint(guest, source, Hint::SourceSuspended);
                }
                self.on_handing_over(id);
                self.on_guest_stopped(guest);
                self.set_demand(id);
            }
            EventKind::Completed => {
                self.record_memory(id, Part::Whole);
                if self.on_monitor_unblocked(id) {
                    self.on_all_sent(id);
                }
            }
            EventKind::Cancelled { .. } => self.stop_following(id, aborted()),
            EventKind::Failed { .. } => {
                let words = "operation failed: migration out job: the connection to the destination was lost";
                self.stop_following(id, Failure::new(Fault::Other, words));
            }
            EventKind::PostcopyBegan => {
                self.set_process_state(
                    guest,
                    source,
                    ProcessState::PostcopySource { is_cut_off: false },
                    Initiator::Hypervisor,
                );
                self.record_memory(id, Part::Half);
                let process_state = ProcessState::PostcopyDestination { is_cut_off: false };
                self.set_process_state(guest, destination, process_state, Initiator::Hypervisor);
                self.check_disks(id);
                self.hint(guest, source, Hint::PostcopyBegan);
                self.stage(id, Stage::Postcopy(Leg::Asked));
                self.set_demand(id);
                // The network was shared again, and the engine may have reported its end.
                if self.live_job(id).is_some_and(Job::is_driven) {
                    self.send(id, Message::Finish);
                }
            }
            // Before 8.5 libvirt does not notice, and reports a post-copy that goes on.
            EventKind::PostcopyPaused if !self.resumes_postcopy(source) => {}
            EventKind::PostcopyPaused => {
                self.cut_off(id, true);
                self.hint(guest, source, Hint::PostcopyFailed);
                let words = "operation failed: migration out job: post-copy phase failed";
                self.return_call(id, Err(Failure::new(Fault::Other, words)));
            }
            EventKind::PostcopyResumed => self.cut_off(id, false),
            EventKind::PreSwitchover | EventKind::WindowClosed { .. } => {}
        }
    }

    /// Whether a host's libvirt notices that a post-copy failed, and can resume it.
    pub(super) fn resumes_postcopy(&self, host: HostId) -> bool {
        libvirt::offers(self.host(host).inventory.libvirt, libvirt::Feature::PostcopyResume).is_offered()
    }

    /// The copy ended without success. QEMU itself resumes the guest, whether a daemon follows it or not.
    fn stop_following(&mut self, id: JobId, failure: Failure) {
        self.conclude(id);
        self.give_up(id, failure);
    }

    fn cut_off(&mut self, id: JobId, is_cut_off: bool) {
        let job = self.expect_job(id);
        let (guest, source, destination) = (job.guest, job.source, job.destination);
        let domain = self.domain_mut(guest);
        for (host, process_state) in [
            (source, ProcessState::PostcopySource { is_cut_off }),
            (destination, ProcessState::PostcopyDestination { is_cut_off }),
        ] {
            if let Some(copy) = domain.copy_mut(host).filter(|copy| !copy.process_state.is_whole()) {
                copy.process_state = process_state;
            }
        }
    }

    /// Whether a post-copy has nothing more to send.
    pub(super) fn all_has_arrived(&self, id: JobId) -> bool {
        let engine = self.expect_job(id).engine.as_ref();
        engine.is_some_and(|engine| engine.status() == Status::Completed)
    }

    /// Sets in the network how much the migration would send if it could.
    pub(super) fn set_demand(&mut self, id: JobId) {
        let job = self.expect_job(id);
        let (Some(engine), Some(flow)) = (&job.engine, job.flow) else { return };
        let guest_stands = !engine.guest_runs();
        let copy = self.domain(job.guest).copy(job.source);
        let limit = match (job.stage, job.options.postcopy) {
            (Stage::Postcopy(_), Some(postcopy)) => postcopy.max_bandwidth_bytes_per_second,
            _ if guest_stands => 0,
            _ => copy.map_or(0, |copy| engine_limit(copy.settings.bandwidth_limit_bytes_per_second)),
        };
        let limit = if limit == 0 { u64::MAX } else { limit };
        let demand = limit.min(self.host_constants.link_bytes_per_second);
        self.expect_job_mut(id).demand_bytes_per_second = demand;
        // The flow is open as long as its migration is there.
        let _ = self.network.set_demand(flow, demand);
        self.settle();
        self.set_engine_link(id);
    }

    pub(super) fn open_flow(&mut self, from: HostId, to: HostId, demand: u64) -> Option<FlowId> {
        let flow = Flow {
            from: self.host(from).card,
            to: self.host(to).card,
            demand_bytes_per_second: demand,
            tcp: self.tcp,
        };
        self.network.open(flow).ok()
    }

    pub(super) fn close_flow(&mut self, flow: FlowId) {
        self.flow_jobs.remove(&flow);
        let _ = self.network.close(flow);
    }

    /// Shares the network again, and gives every engine its new rate.
    pub(super) fn settle(&mut self) {
        for change in self.network.settle() {
            if let Some(id) = self.flow_jobs.get(&change.flow).copied() {
                self.set_engine_link(id);
            }
        }
    }

    /// What an engine's link carries: its share; and where it has all that it wants, everything that the way could
    /// carry, since it sends in bursts.
    pub(super) fn set_engine_link(&mut self, id: JobId) {
        let Some(job) = self.live_job(id) else { return };
        let Some(flow) = job.flow.filter(|_| job.engine.is_some()) else { return };
        let (source, destination, demand) = (job.source, job.destination, job.demand_bytes_per_second);
        let rate = self.network.rate(flow).unwrap_or(0);
        let link = if self.link_is_cut(source, destination) {
            0
        } else if rate < demand {
            rate
        } else {
            self.way_bytes_per_second(source, destination).min(self.host_constants.link_bytes_per_second)
        };
        self.change_engine(id, |engine| engine.set_link_bytes_per_second(link));
    }
}

/// A limit as the engine takes it, where zero means none.
pub(super) fn engine_limit(bytes_per_second: u64) -> u64 {
    if bytes_per_second >= super::UNLIMITED_BYTES_PER_SECOND { 0 } else { bytes_per_second }
}
