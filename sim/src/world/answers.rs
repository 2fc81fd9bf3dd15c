//! What the daemons answer to short calls, in libvirt's terms.

use whimbrel_core::convergence::Statistics;
use whimbrel_core::port::{JobReport, JobState, Setting};
use whimbrel_core::{
    Action, Answer, CopyState, Facts, Failure, Fault, GuestFacts, GuestRun, HostFacts, Side,
};

use super::protocol::Stage;
use super::{DestinationCopy, SourceCopy, World};
use crate::qemu::{SourceMigration, Status};

/// libvirt's "no limit": the most MiB/s that fit into QEMU's signed 64 bits (`QEMU_DOMAIN_MIG_BANDWIDTH_MAX`).
pub(super) const UNLIMITED_BYTES_PER_SECOND: u64 = ((i64::MAX as u64) >> 20) << 20;

const SOURCE_URI: &str = "sim://alpha";
const DESTINATION_URI: &str = "sim://beta";

impl World {
    /// The answer of the daemon that a command concerns; `None` for what no daemon answers.
    pub(super) fn answer_to(&mut self, action: &Action) -> Option<Answer> {
        Some(match *action {
            Action::CollectFacts => Answer::Facts(self.facts()),
            Action::ReadSettings => Answer::Settings(self.at_source().map(|()| self.settings)),
            Action::ApplySetting(setting) => Answer::Applied(self.at_source().map(|()| self.apply(setting))),
            Action::PollJob => Answer::Job(self.job()),
            Action::AbortMigration => Answer::Abort(self.abort()),
            Action::Observe(side) => Answer::Copy(self.copy(side)),
            Action::Resume(side) => Answer::Acted(self.resume(side)),
            Action::Destroy(side) => Answer::Acted(self.destroy(side)),
            Action::EvaluateRules(_) | Action::StartMigration => return None,
        })
    }

    /// What can be seen of the guest on one host.
    fn copy(&self, side: Side) -> CopyState {
        match side {
            Side::Source if !self.source.daemon_runs => CopyState::Unknown,
            Side::Source => match (self.source.copy, self.stage) {
                (SourceCopy::Gone, _) => CopyState::Absent,
                (SourceCopy::Running, Stage::Idle) => CopyState::Running,
                (SourceCopy::Stopped, Stage::Idle) => CopyState::Stopped,
                (SourceCopy::Paused, Stage::Idle) => CopyState::Paused,
                (
                    SourceCopy::Running | SourceCopy::Stopped | SourceCopy::Paused,
                    Stage::Preparing | Stage::Performing | Stage::Finishing | Stage::Confirming,
                ) => CopyState::Migrating,
            },
            Side::Destination if !self.destination.daemon_runs => CopyState::Unknown,
            Side::Destination => match self.destination.copy {
                DestinationCopy::None => CopyState::Absent,
                DestinationCopy::Incoming => CopyState::Incoming,
                DestinationCopy::Running => CopyState::Running,
                DestinationCopy::Paused => CopyState::Paused,
            },
        }
    }

    fn facts(&self) -> Result<Box<Facts>, Failure> {
        self.at_source()?;
        self.at_destination()?;
        let run = match self.source.copy {
            SourceCopy::Running => GuestRun::Running,
            SourceCopy::Stopped | SourceCopy::Paused => GuestRun::Paused,
            SourceCopy::Gone => GuestRun::NotRunning,
        };
        let guest = GuestFacts {
            name: self.scenario.guest.name.clone(),
            uuid: "00000000-0000-4000-8000-000000000001".to_owned(),
            run,
            persistent: true,
            memory_bytes: self.scenario.guest.memory_mib << 20,
            job_active: self.stage != Stage::Idle,
        };
        let source = host_facts(SOURCE_URI, "alpha", "00000000-0000-4000-8000-0000000000a1");
        let destination = host_facts(DESTINATION_URI, "beta", "00000000-0000-4000-8000-0000000000b2");
        Ok(Box::new(Facts { guest, source, destination }))
    }

    fn apply(&mut self, setting: Setting) {
        match setting {
            Setting::DowntimeLimitMs(ms) => {
                self.settings.downtime_limit_ms = ms;
                if let Some(engine) = &mut self.engine {
                    engine.set_downtime_limit_ms(ms);
                }
            }
            Setting::BandwidthLimitBytesPerSecond(rate) => {
                self.settings.bandwidth_limit_bytes_per_second = rate;
                let limit = self.engine_limit();
                if let Some(engine) = &mut self.engine {
                    engine.set_max_bandwidth(limit);
                }
            }
        }
    }

    /// The limit as the engine takes it, where zero means none.
    pub(super) fn engine_limit(&self) -> u64 {
        match self.settings.bandwidth_limit_bytes_per_second {
            UNLIMITED_BYTES_PER_SECOND.. => 0,
            limit => limit,
        }
    }

    fn job(&self) -> Result<JobReport, Failure> {
        self.at_source()?;
        let statistics = self.engine.as_ref().map(statistics).unwrap_or_default();
        let completed = self.engine.as_ref().is_some_and(|engine| engine.status() == Status::Completed);
        let state = match self.stage {
            Stage::Idle if completed => JobState::Completed,
            Stage::Idle => JobState::None,
            Stage::Preparing | Stage::Performing | Stage::Finishing | Stage::Confirming => JobState::Active,
        };
        Ok(JobReport { state, statistics })
    }

    fn abort(&mut self) -> Result<(), Failure> {
        self.at_source()?;
        match self.stage {
            Stage::Performing => {
                let in_time = self.engine.as_mut().is_some_and(SourceMigration::cancel);
                if in_time { Ok(()) } else { Err(refused("the migration has ended")) }
            }
            Stage::Preparing => {
                self.give_up(Failure::new(
                    Fault::Aborted,
                    "operation aborted: migration out job: canceled by client",
                ));
                Ok(())
            }
            Stage::Idle | Stage::Finishing | Stage::Confirming => {
                Err(refused("no job is active on the domain"))
            }
        }
    }

    fn resume(&mut self, side: Side) -> Result<(), Failure> {
        match side {
            Side::Source => {
                self.at_source()?;
                match self.source.copy {
                    SourceCopy::Running | SourceCopy::Stopped | SourceCopy::Paused => {
                        self.source.copy = SourceCopy::Running;
                        Ok(())
                    }
                    SourceCopy::Gone => Err(refused("domain is not running")),
                }
            }
            Side::Destination => {
                self.at_destination()?;
                match self.destination.copy {
                    DestinationCopy::Running | DestinationCopy::Paused => {
                        self.destination.copy = DestinationCopy::Running;
                        Ok(())
                    }
                    DestinationCopy::Incoming | DestinationCopy::None => {
                        Err(refused("domain is not running"))
                    }
                }
            }
        }
    }

    fn destroy(&mut self, side: Side) -> Result<(), Failure> {
        match side {
            Side::Source => {
                self.at_source()?;
                self.source.copy = SourceCopy::Gone;
            }
            Side::Destination => {
                self.at_destination()?;
                self.destination.copy = DestinationCopy::None;
            }
        }
        Ok(())
    }

    fn at_source(&self) -> Result<(), Failure> {
        reached(self.source.daemon_runs, Fault::SourceUnreachable)
    }

    fn at_destination(&self) -> Result<(), Failure> {
        reached(self.destination.daemon_runs, Fault::DestinationUnreachable)
    }
}

fn statistics(engine: &SourceMigration) -> Statistics {
    let told = engine.statistics();
    Statistics {
        elapsed_ms: told.elapsed_ms,
        memory_total_bytes: told.memory.total_bytes,
        memory_remaining_bytes: told.memory.remaining_bytes,
        memory_sent_bytes: told.memory.transferred_bytes,
        pages_sent: told.memory.normal_pages + told.memory.zero_pages,
        page_size_bytes: told.memory.page_size_bytes,
        iteration: told.memory.dirty_sync_count,
        dirty_rate_pages_per_second: told.memory.dirty_rate_pages_per_second,
        bandwidth_bytes_per_second: told.memory.bandwidth_bytes_per_second,
        downtime_ms: told.downtime_ms.or(told.expected_downtime_ms),
        ..Statistics::default()
    }
}

fn host_facts(uri: &str, hostname: &str, host_uuid: &str) -> HostFacts {
    HostFacts {
        uri: uri.to_owned(),
        hostname: hostname.to_owned(),
        host_uuid: host_uuid.to_owned(),
        hypervisor: "QEMU".to_owned(),
        architecture: "x86_64".to_owned(),
        library_version: 9_000_000,
        hypervisor_version: 7_002_022,
        free_memory_bytes: None,
        has_guest: None,
    }
}

fn reached(daemon_runs: bool, fault: Fault) -> Result<(), Failure> {
    if daemon_runs { Ok(()) } else { Err(Failure::new(fault, "the daemon does not answer")) }
}

fn refused(words: &str) -> Failure {
    Failure::new(Fault::Refused, words)
}
