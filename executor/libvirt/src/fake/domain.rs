//! A guest on one host, with libvirt's states, reasons, statistics and refusals.

use std::num::NonZeroU64;

use whimbrel_core::port::{JobState, Setting};
use whimbrel_core::{CopyState, Failure, Side};
use whimbrel_sim::world::{GuestId, HostId, ProcessState, World};

use super::Inner;
use super::connection::{FakeConnection, qemu};
use crate::calls::DomainCalls;
use crate::dirty_rate::{DirtyRateReport, DirtyRateStatus};
use crate::{
    Description, ErrorCode, JobOperation, JobStatistics, JobType, LibvirtError, MigrateParameters, State,
    XmlView,
};

#[derive(Clone, Debug)]
pub(super) struct FakeDomain {
    pub(super) connection: FakeConnection,
    pub(super) guest: GuestId,
}

/// libvirt's two numbers for a guest on a host, where it is there.
fn state(world: &World, guest: GuestId, host: HostId) -> State {
    let number = |state, reason| State::from_numbers(state, reason);
    let seen = world.look(guest, host);
    match world.process_state(guest, host) {
        None => number(5, 0),
        // `VIR_DOMAIN_RUNNING_WAKEUP` takes the place of every other reason.
        Some(ProcessState::PostcopyDestination { .. }) if seen == CopyState::Running => number(1, 8),
        // "Migrated", as long as the migration is there; else "booted".
        Some(ProcessState::Running) if world.takes_part(guest, host) == Some(Side::Destination) => {
            number(1, 2)
        }
        Some(ProcessState::Running) => number(1, 1),
        Some(ProcessState::Paused) => number(3, 1),
        Some(ProcessState::Stopped | ProcessState::Incoming) => number(3, 2),
        Some(ProcessState::PostcopySource { is_cut_off: false }) => number(3, 12),
        Some(ProcessState::PostcopySource { is_cut_off: true }) => number(3, 13),
        Some(ProcessState::PostcopyDestination { is_cut_off: false }) => number(1, 10),
        Some(ProcessState::PostcopyDestination { is_cut_off: true }) => number(1, 11),
    }
}

/// The statistics of the guest's last migration that ended well, as both ends keep them.
pub(super) fn completed(world: &mut World, guest: GuestId) -> Option<JobStatistics> {
    let hosts: Vec<HostId> = world.hosts().collect();
    let report = hosts
        .into_iter()
        .find_map(|host| world.job(guest, host).ok().filter(|report| report.state == JobState::Completed))?;
    Some(statistics(JobType::Completed, &report.statistics))
}

fn statistics(job: JobType, numbers: &whimbrel_core::convergence::Statistics) -> JobStatistics {
    JobStatistics {
        job: Some(job),
        operation: Some(JobOperation::MigrationOut),
        time_elapsed_ms: Some(numbers.elapsed_ms),
        downtime_ms: numbers.downtime_ms,
        memory_total_bytes: Some(numbers.memory_total_bytes),
        memory_processed_bytes: Some(numbers.memory_sent_bytes),
        memory_remaining_bytes: Some(numbers.memory_remaining_bytes),
        memory_normal_pages: Some(numbers.pages_sent),
        memory_page_size_bytes: Some(numbers.page_size_bytes),
        memory_iteration: Some(numbers.iteration),
        memory_dirty_rate_pages_per_second: numbers.dirty_rate_pages_per_second,
        memory_bytes_per_second: numbers.bandwidth_bytes_per_second,
        ..JobStatistics::default()
    }
}

fn invalid(call: &'static str, failure: &Failure) -> LibvirtError {
    qemu(call, ErrorCode::OperationInvalid, &failure.message)
}

impl FakeDomain {
    /// A call about the guest, which fails when it is not there.
    fn ask<T>(
        &self,
        call: &'static str,
        work: impl FnOnce(&mut Inner, GuestId, HostId) -> Result<T, LibvirtError>,
    ) -> Result<T, LibvirtError> {
        let host = self.connection.host;
        self.connection.rpc(call, |inner| {
            if inner.world.look(self.guest, host) == CopyState::Absent {
                return Err(qemu(call, ErrorCode::NoDomain, "Domain not found"));
            }
            work(inner, self.guest, host)
        })
    }

    fn act(
        &self,
        call: &'static str,
        act: impl FnOnce(&mut World, GuestId, HostId) -> Result<(), Failure>,
    ) -> Result<(), LibvirtError> {
        self.ask(call, |inner, guest, host| {
            act(&mut inner.world, guest, host).map_err(|failure| invalid(call, &failure))
        })
    }
}

impl DomainCalls for FakeDomain {
    fn name(&self) -> Result<String, LibvirtError> {
        Ok(self.connection.fake().inner().world.machine(self.guest).name.clone())
    }

    fn uuid(&self) -> Result<String, LibvirtError> {
        Ok(self.connection.fake().inner().world.machine(self.guest).uuid.clone())
    }

    fn state(&self) -> Result<State, LibvirtError> {
        self.ask("virDomainGetState", |inner, guest, host| Ok(state(&inner.world, guest, host)))
    }

    fn is_persistent(&self) -> Result<bool, LibvirtError> {
        self.ask("virDomainIsPersistent", |inner, guest, host| Ok(inner.world.is_defined(guest, host)))
    }

    fn xml(&self, _: XmlView) -> Result<String, LibvirtError> {
        self.ask("virDomainGetXMLDesc", |inner, guest, _| {
            let machine = inner.world.machine(guest);
            Ok(format!(
                "<domain type='kvm'><name>{}</name><uuid>{}</uuid><memory unit='MiB'>{}</memory>\
                 <vcpu>{}</vcpu><os><type arch='x86_64' machine='{}'>hvm</type></os>\
                 <devices><emulator>/usr/bin/qemu-system-x86_64</emulator></devices></domain>",
                machine.name, machine.uuid, machine.memory.memory_mib, machine.vcpus, machine.machine,
            ))
        })
    }

    fn migrate_p2p(&self, uri: &str, parameters: &MigrateParameters) -> Result<(), LibvirtError> {
        self.connection.migrate(self.guest, uri, parameters)
    }

    fn start_dirty_rate(&self, seconds: u16) -> Result<(), LibvirtError> {
        let call = "virDomainStartDirtyRateCalc";
        self.ask(call, |inner, guest, host| {
            if !inner.world.measures_dirty_rates(host) {
                return Err(qemu(call, ErrorCode::NoSupport, "this function is not supported"));
            }
            if !inner.world.process_state(guest, host).is_some_and(ProcessState::runs) {
                return Err(qemu(call, ErrorCode::OperationInvalid, "domain is not running"));
            }
            inner.dirty_rates.insert((guest, host), (inner.world.now_ns(), seconds));
            Ok(())
        })
    }

    fn dirty_rate(&self) -> Result<DirtyRateReport, LibvirtError> {
        self.ask("virDomainListGetStats", |inner, guest, host| {
            let Some(&(from_ns, seconds)) = inner.dirty_rates.get(&(guest, host)) else {
                let status = Some(DirtyRateStatus::Unstarted);
                return Ok(DirtyRateReport { status, ..DirtyRateReport::default() });
            };
            let interval_ms = NonZeroU64::new(u64::from(seconds) * 1_000);
            let is_over = inner.world.now_ns() >= from_ns + u64::from(seconds) * 1_000_000_000;
            let measured = interval_ms.filter(|_| is_over).and_then(|interval_ms| {
                inner.world.dirty_rate_mib_per_second(guest, host, from_ns, interval_ms)
            });
            let status = if is_over { DirtyRateStatus::Measured } else { DirtyRateStatus::Measuring };
            Ok(DirtyRateReport {
                status: Some(status),
                period_s: Some(u64::from(seconds)),
                mib_per_second: measured,
            })
        })
    }

    fn start_postcopy(&self) -> Result<(), LibvirtError> {
        self.act("virDomainMigrateStartPostCopy", World::start_postcopy)
    }

    fn job_statistics(&self) -> Result<Option<JobStatistics>, LibvirtError> {
        let call = "virDomainGetJobStats";
        self.ask(call, |inner, guest, host| {
            if let Some(job) = inner.jobs.get(&(guest, host)) {
                return Ok(Some(job.clone()));
            }
            if inner.world.takes_part(guest, host) == Some(Side::Destination) {
                let text = "migration statistics are available only on the source host";
                return Err(qemu(call, ErrorCode::OperationUnsupported, text));
            }
            if inner.world.process_state(guest, host).is_none() {
                return Err(qemu(call, ErrorCode::OperationInvalid, "domain is not running"));
            }
            let report = inner.world.job(guest, host).map_err(|failure| invalid(call, &failure))?;
            let is_active = report.state == JobState::Active;
            Ok(is_active.then(|| statistics(JobType::Unbounded, &report.statistics)))
        })
    }

    fn completed_job_statistics(&self) -> Result<Option<JobStatistics>, LibvirtError> {
        let answer = |inner: &mut Inner, guest, _| Ok(completed(&mut inner.world, guest));
        self.ask("virDomainGetJobStats", answer)
    }

    fn abort_job(&self) -> Result<(), LibvirtError> {
        let call = "virDomainAbortJob";
        self.ask(call, |inner, guest, host| {
            inner.log.aborts += 1;
            if inner.jobs.remove(&(guest, host)).is_some() {
                return Ok(());
            }
            inner.world.abort(guest, host).map_err(|failure| invalid(call, &failure))
        })
    }

    fn set_max_downtime_ms(&self, downtime_ms: u64) -> Result<(), LibvirtError> {
        self.act("virDomainMigrateSetMaxDowntime", |world, guest, host| {
            world.apply(guest, host, Setting::DowntimeLimitMs(downtime_ms))
        })
    }

    fn max_downtime_ms(&self) -> Result<u64, LibvirtError> {
        let call = "virDomainMigrateGetMaxDowntime";
        self.ask(call, |inner, guest, host| {
            let settings = inner.world.settings(guest, host).map_err(|failure| invalid(call, &failure))?;
            Ok(settings.downtime_limit_ms)
        })
    }

    fn set_max_speed_mib_per_s(&self, mib_per_s: u64) -> Result<(), LibvirtError> {
        self.act("virDomainMigrateSetMaxSpeed", |world, guest, host| {
            world.apply(guest, host, Setting::BandwidthLimitBytesPerSecond(mib_per_s << 20))
        })
    }

    fn max_speed_mib_per_s(&self) -> Result<u64, LibvirtError> {
        let call = "virDomainMigrateGetMaxSpeed";
        self.ask(call, |inner, guest, host| {
            let settings = inner.world.settings(guest, host).map_err(|failure| invalid(call, &failure))?;
            Ok(settings.bandwidth_limit_bytes_per_second >> 20)
        })
    }

    fn suspend(&self) -> Result<(), LibvirtError> {
        self.act("virDomainSuspend", World::suspend_by_client)
    }

    fn resume(&self) -> Result<(), LibvirtError> {
        self.act("virDomainResume", World::resume_by_client)
    }

    fn destroy(&self) -> Result<(), LibvirtError> {
        self.act("virDomainDestroy", World::destroy_by_client)
    }

    fn undefine(&self) -> Result<(), LibvirtError> {
        let call = "virDomainUndefineFlags";
        self.ask(call, |inner, guest, host| {
            if !inner.world.is_defined(guest, host) {
                let text = "cannot undefine transient domain";
                return Err(qemu(call, ErrorCode::OperationInvalid, text));
            }
            inner.world.undefine_by_client(guest, host);
            Ok(())
        })
    }

    fn metadata(&self, namespace: &str, _: Description) -> Result<Option<String>, LibvirtError> {
        self.ask("virDomainGetMetadata", |inner, guest, _| {
            Ok(inner.metadata.get(&(guest, namespace.to_owned())).cloned())
        })
    }

    fn set_metadata(
        &self,
        namespace: &str,
        _: &str,
        element: Option<&str>,
        _: Description,
    ) -> Result<(), LibvirtError> {
        self.ask("virDomainSetMetadata", |inner, guest, _| {
            let key = (guest, namespace.to_owned());
            match element {
                Some(element) => drop(inner.metadata.insert(key, element.to_owned())),
                None => drop(inner.metadata.remove(&key)),
            }
            Ok(())
        })
    }
}
