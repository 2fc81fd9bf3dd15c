//! libvirt's short calls, as a client makes them at a daemon. Each is answered at once or refused; how long the way
//! there and back takes is the port's business.

use whimbrel_core::convergence::Statistics;
use whimbrel_core::port::{JobReport, JobState, Setting, Settings};
use whimbrel_core::{CopyState, Failure, Fault, Hint};

use super::domains::ProcessState;
use super::incidents::Initiator;
use super::job::{Job, Stage};
use super::{GuestId, HostId, JobId, World};
use crate::qemu::{SourceMigration, Status};

impl World {
    /// What can be seen of a guest at a host's daemon.
    #[must_use]
    pub fn look(&self, guest: GuestId, host: HostId) -> CopyState {
        if !self.daemon_runs(host) {
            return CopyState::Unknown;
        }
        let domain = self.domain(guest);
        let Some(copy) = domain.copy(host) else {
            let is_defined = domain.defined_on.contains(&host);
            return if is_defined { CopyState::Defined } else { CopyState::Absent };
        };
        let leaving = copy.job.is_some_and(|id| self.expect_job(id).source == host);
        match copy.process_state {
            ProcessState::Incoming => CopyState::Incoming,
            ProcessState::Running | ProcessState::Paused | ProcessState::Stopped if leaving => {
                CopyState::Migrating
            }
            ProcessState::Running => CopyState::Running,
            ProcessState::Paused => CopyState::Paused,
            ProcessState::Stopped => CopyState::Stopped,
            ProcessState::PostcopyDestination { is_cut_off: false } if copy.woke_up => CopyState::Running,
            // Both hosts report that everything has arrived; only the source's daemon missed the end.
            ProcessState::PostcopySource { is_cut_off: true } if self.half_is_empty(guest, copy.job) => {
                CopyState::Stopped
            }
            ProcessState::PostcopySource { is_cut_off }
            | ProcessState::PostcopyDestination { is_cut_off } => {
                if is_cut_off {
                    CopyState::PostcopyFailed
                } else {
                    CopyState::Postcopy
                }
            }
        }
    }

    /// The settings of the guest's copy on a host.
    ///
    /// # Errors
    /// When the daemon does not answer or has no such guest in memory.
    pub fn settings(&self, guest: GuestId, host: HostId) -> Result<Settings, Failure> {
        self.reached(host)?;
        self.domain(guest).copy(host).map(|copy| copy.settings).ok_or_else(not_running)
    }

    /// Changes a setting of the guest's copy on a host; a migration that is under way follows it.
    ///
    /// # Errors
    /// As for [`settings`](Self::settings).
    pub fn apply(&mut self, guest: GuestId, host: HostId, setting: Setting) -> Result<(), Failure> {
        self.reached(host)?;
        let copy = self.domain_mut(guest).copy_mut(host).ok_or_else(not_running)?;
        let job = copy.job;
        match setting {
            Setting::DowntimeLimitMs(ms) => copy.settings.downtime_limit_ms = ms,
            Setting::BandwidthLimitBytesPerSecond(rate) => {
                copy.settings.bandwidth_limit_bytes_per_second = rate;
            }
        }
        self.record_setting(guest, host, setting);
        let Some(id) = job.filter(|id| self.expect_job(*id).source == host) else {
            return Ok(());
        };
        match setting {
            Setting::DowntimeLimitMs(ms) => {
                self.change_engine(id, |engine| engine.set_downtime_limit_ms(ms));
            }
            Setting::BandwidthLimitBytesPerSecond(rate) => {
                let limit = super::memory_copy::engine_limit(rate);
                let is_sending = self.change_engine(id, |engine| engine.set_max_bandwidth(limit)).is_some();
                if is_sending {
                    self.set_demand(id);
                }
            }
        }
        Ok(())
    }

    /// The guest's migration job as its source's daemon reports it. Before the copy begins, and when there is none, all
    /// numbers are zero, as libvirt has it; that does not mean "nothing remains".
    ///
    /// # Errors
    /// When the daemon does not answer, or the guest is off: libvirt answers such a query with an error.
    pub fn job(&mut self, guest: GuestId, host: HostId) -> Result<JobReport, Failure> {
        self.reached(host)?;
        if let Some(id) = self.outgoing(guest, host) {
            self.advance_to_now(id);
        }
        let job = self.outgoing(guest, host).map(|id| self.expect_job(id));
        Ok(match job {
            Some(job) => JobReport { state: JobState::Active, statistics: statistics(job) },
            None => match self.domain(guest).concluded {
                Some((whose, statistics)) if whose == host => {
                    JobReport { state: JobState::Completed, statistics }
                }
                _ if self.domain(guest).copy(host).is_none() => return Err(not_running()),
                _ => JobReport { state: JobState::None, statistics: Statistics::default() },
            },
        })
    }

    /// Requests the abort of a guest's migration. Accepted does not mean ended.
    ///
    /// # Errors
    /// When the daemon does not answer, there is none, or it is too late.
    pub fn abort(&mut self, guest: GuestId, host: HostId) -> Result<(), Failure> {
        self.reached(host)?;
        let Some(id) = self.outgoing(guest, host) else { return Err(no_job()) };
        self.advance_to_now(id);
        let Some(job) = self.live_job(id) else { return Err(no_job()) };
        match job.stage {
            Stage::Preparing(_) | Stage::Mirroring => {
                self.stop_mirror(id);
                self.give_up(id, aborted());
                Ok(())
            }
            Stage::Copying => {
                let in_time = self.change_engine(id, SourceMigration::cancel) == Some(true);
                if in_time { Ok(()) } else { Err(refused("the migration has ended")) }
            }
            Stage::Postcopy(_) => Err(refused("cannot abort migration in post-copy mode")),
            Stage::Finishing(_) | Stage::Confirming => Err(no_job()),
        }
    }

    /// Requests the switch to post-copy.
    ///
    /// # Errors
    /// When the daemon does not answer, there is no such migration, or it was not begun with post-copy allowed.
    pub fn start_postcopy(&mut self, guest: GuestId, host: HostId) -> Result<(), Failure> {
        self.reached(host)?;
        let Some(id) = self.outgoing(guest, host) else { return Err(no_job()) };
        if self.expect_job(id).options.postcopy.is_none() {
            return Err(refused(
                "switching to post-copy requires migration to be started with the post-copy flag",
            ));
        }
        let accepted = self.change_engine(id, SourceMigration::start_postcopy) == Some(true);
        if accepted { Ok(()) } else { Err(refused("the migration has ended or has not begun to copy")) }
    }

    /// Lets the guest's CPUs run on a host.
    ///
    /// # Errors
    /// When the daemon does not answer, has no such guest, or QEMU refuses.
    pub(super) fn resume(
        &mut self,
        guest: GuestId,
        host: HostId,
        initiator: Initiator,
    ) -> Result<(), Failure> {
        self.reached(host)?;
        let Some(copy) = self.domain(guest).copy(host) else { return Err(not_running()) };
        match (copy.process_state, copy.job) {
            (ProcessState::Running, _) => Ok(()),
            (ProcessState::Paused, Some(id)) => {
                self.set_process_state(guest, host, ProcessState::Running, initiator);
                self.change_engine(id, |engine| engine.set_guest_paused(false));
                self.hint(guest, host, Hint::SourceResumed);
                Ok(())
            }
            (ProcessState::Paused | ProcessState::Stopped, None) => {
                self.set_process_state(guest, host, ProcessState::Running, initiator);
                self.hint(guest, host, Hint::SourceResumed);
                Ok(())
            }
            (ProcessState::Stopped, Some(_)) => Err(refused("the domain is being handed over")),
            (ProcessState::Incoming, _) => Err(refused("the domain receives a migration")),
            (ProcessState::PostcopySource { .. } | ProcessState::PostcopyDestination { .. }, _) => {
                Err(refused("the domain is in post-copy"))
            }
        }
    }

    /// Stops the guest's CPUs on a host, which is reported as an event before the call returns. A migration continues
    /// with a guest that writes nothing.
    ///
    /// # Errors
    /// As for [`resume`](Self::resume).
    pub(super) fn suspend(
        &mut self,
        guest: GuestId,
        host: HostId,
        initiator: Initiator,
    ) -> Result<(), Failure> {
        self.reached(host)?;
        let Some(copy) = self.domain(guest).copy(host) else { return Err(not_running()) };
        match (copy.process_state, copy.job) {
            (ProcessState::Running, job) => {
                self.set_process_state(guest, host, ProcessState::Paused, initiator);
                if let Some(id) = job {
                    self.change_engine(id, |engine| engine.set_guest_paused(true));
                }
                self.hint(guest, host, Hint::SourceSuspended);
                Ok(())
            }
            (ProcessState::Paused | ProcessState::Stopped, _) => Ok(()),
            (
                ProcessState::Incoming
                | ProcessState::PostcopySource { .. }
                | ProcessState::PostcopyDestination { .. },
                _,
            ) => Err(refused("the domain is being migrated")),
        }
    }

    /// Ends the guest's copy on a host.
    ///
    /// # Errors
    /// When the daemon does not answer, or has no such guest.
    pub(super) fn destroy(&mut self, guest: GuestId, host: HostId) -> Result<(), Failure> {
        self.reached(host)?;
        let Some(copy) = self.domain(guest).copy(host) else { return Err(not_running()) };
        let job = copy.job;
        if let Some(id) = job {
            self.advance_to_now(id);
        }
        self.remove_copy(guest, host, Initiator::Caller);
        if let Some(id) = job {
            self.on_copy_gone(id, host);
        }
        Ok(())
    }

    /// Drops the guest's definition on a host. One that is in memory there, or whose last definition this is, keeps it.
    ///
    /// # Errors
    /// When the daemon does not answer, or refuses.
    pub(super) fn undefine(&mut self, guest: GuestId, host: HostId) -> Result<(), Failure> {
        self.reached(host)?;
        let domain = self.domain(guest);
        let is_last = domain.defined_on.iter().all(|other| *other == host);
        if domain.copy(host).is_some() || is_last {
            return Err(refused("the definition is in use, or the only one"));
        }
        self.undefine_on(guest, host);
        Ok(())
    }

    /// Keeps a migration's last numbers for later queries of the source's daemon.
    pub(super) fn conclude(&mut self, id: JobId) {
        let job = self.expect_job(id);
        let completed = job.engine.as_ref().is_some_and(|engine| engine.status() == Status::Completed);
        if completed {
            let (guest, concluded) = (job.guest, (job.source, statistics(job)));
            self.domain_mut(guest).concluded = Some(concluded);
        }
    }

    pub(super) fn reached(&self, host: HostId) -> Result<(), Failure> {
        if self.daemon_runs(host) {
            return Ok(());
        }
        let fault = Fault::SourceUnreachable;
        Err(Failure::new(fault, format!("the daemon of {} does not answer", self.host(host).inventory.name)))
    }

    /// The migration that takes a guest away from a host.
    pub(super) fn outgoing(&self, guest: GuestId, host: HostId) -> Option<JobId> {
        let id = self.domain(guest).copy(host)?.job?;
        (self.expect_job(id).source == host).then_some(id)
    }
}

fn statistics(job: &Job) -> Statistics {
    let disks = job.mirror.as_ref();
    let of_memory = job.engine.as_ref().map(|engine| engine.statistics().reported());
    Statistics {
        disk_total_bytes: disks.map_or(0, super::mirror::Mirror::total_bytes),
        disk_remaining_bytes: disks.map_or(0, super::mirror::Mirror::remaining_bytes),
        disk_sent_bytes: disks.map_or(0, super::mirror::Mirror::sent_bytes),
        ..of_memory.unwrap_or_default()
    }
}

pub(super) fn refused(words: &str) -> Failure {
    Failure::new(Fault::Refused, words)
}

/// The failure of a migration that was aborted.
pub(super) fn aborted() -> Failure {
    Failure::new(Fault::Aborted, "operation aborted: migration out job: canceled by client")
}

pub(super) fn unreachable() -> Failure {
    Failure::new(Fault::DestinationUnreachable, "unable to connect to the destination's daemon")
}

pub(super) fn no_job() -> Failure {
    refused("no job is active on the domain")
}

fn not_running() -> Failure {
    Failure::new(Fault::Refused, "requested operation is not valid: domain is not running")
}
