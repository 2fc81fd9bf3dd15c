//! The source's job: its numbers, its end, and whether it is this migration's.
//!
//! libvirt has one job for each guest and does not report where a migration goes. A job of another client must never be
//! ended, and its numbers must never be reported as this migration's.

use std::time::Duration;

use whimbrel_core::convergence::Statistics;
use whimbrel_core::port::{JobReport, JobState};
use whimbrel_core::{CopyState, Failure, Fault, Side};

use super::failure::failure;
use super::{Hosts, look, statistics};
use crate::job::{is_active, job};
use crate::{JobStatistics, LibvirtError};

impl Hosts {
    pub(super) fn poll(&self) -> Result<JobReport, Failure> {
        if self.call_succeeded.get().is_some() {
            return Ok(self.last_numbers());
        }
        let statistics = self
            .domain(Side::Source)
            .and_then(|domain| job(&domain))
            .map_err(|error| failure(Side::Source, &error))?;
        self.listen();
        Ok(match statistics {
            Some(statistics) if look::is_outgoing(&statistics) && !self.is_foreign(&statistics) => {
                self.in_flight.job_seen();
                JobReport { state: JobState::Active, statistics: statistics::from_libvirt(&statistics) }
            }
            Some(_) | None => JobReport { state: JobState::None, statistics: Statistics::default() },
        })
    }

    /// The numbers of the job that ended well. libvirt may report zeros, or nothing, in the first moment: queried again
    /// for a while.
    fn last_numbers(&self) -> JobReport {
        const TRIES: u32 = 20;
        const PAUSE: Duration = Duration::from_millis(10);
        if self.route.transfer.offline {
            // No memory was sent: there are no numbers to wait for.
            return JobReport { state: JobState::None, statistics: Statistics::default() };
        }
        for _ in 0..TRIES {
            let of_event = self.listener.ended();
            let reported = of_event.filter(statistics::has_numbers).or_else(|| {
                let statistics =
                    self.domain(Side::Destination).and_then(|domain| domain.completed_job_statistics());
                statistics.ok().flatten().filter(statistics::has_numbers)
            });
            if let Some(reported) = reported {
                return JobReport {
                    state: JobState::Completed,
                    statistics: statistics::from_libvirt(&reported),
                };
            }
            self.threads.pause(PAUSE);
        }
        JobReport { state: JobState::None, statistics: Statistics::default() }
    }

    /// Requests the end of this migration, and of no other job: libvirt would end a backup as readily, or the migration
    /// of another client.
    pub(super) fn abort(&self) -> Result<(), Failure> {
        let abort = || {
            let domain = self.domain(Side::Source)?;
            match job(&domain)? {
                Some(job) if look::is_outgoing(&job) && !self.is_foreign(&job) => {
                    domain.abort_job().map(|()| true)
                }
                Some(_) | None => Ok(false),
            }
        };
        let outgoing = abort().map_err(|error: LibvirtError| failure(Side::Source, &error))?;
        if outgoing {
            Ok(())
        } else {
            Err(Failure::new(Fault::Refused, "no migration of this driver works on the guest"))
        }
    }

    pub(super) fn refuse_if_busy(&self) -> Result<(), Failure> {
        let job = self.domain(Side::Source).and_then(|domain| job(&domain));
        let job = job.map_err(|error| failure(Side::Source, &error))?;
        match job {
            Some(job) if is_active(&job) => {
                Err(Failure::new(Fault::Refused, "another job has begun to work on the guest"))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Whether an outgoing migration is provably another client's. Either it was under way before this process made its
    /// call; or it has sent memory, and the destination, which answers, has received nothing: libvirt prepares the
    /// destination before it sends anything, so that memory went to another host. Where nothing is proved, it is taken
    /// for this migration's: its copies are left alone then. Nothing is connected to for this.
    pub(super) fn is_foreign(&self, job: &JobStatistics) -> bool {
        let age = job.time_elapsed_ms.map(Duration::from_millis);
        if age.is_some_and(|age| self.in_flight.is_older_than_call(age, self.threads.now())) {
            return true;
        }
        let has_sent = job.memory_processed_bytes.is_some_and(|bytes| bytes > 0);
        if !has_sent || self.in_flight.is_ours() {
            return false;
        }
        match self.look_if_connected(Side::Destination) {
            CopyState::Unknown => false,
            there if there.is_gone() => true,
            _ => {
                self.in_flight.found_ours();
                false
            }
        }
    }
}
