//! What libvirt's words about a domain mean for the guest's copy.

use whimbrel_core::{CopyState, Side};

use super::Hosts;
use crate::job::{is_active, job};
use crate::{
    Domain, ErrorCode, JobOperation, JobStatistics, JobType, LibvirtError, PausedReason, RunningReason, State,
};

impl Hosts {
    /// Looks at the copy on one host. What cannot be seen is not known: no failure is taken for an absence.
    pub(super) fn look(&self, side: Side) -> CopyState {
        self.look_at(side, self.domain(side))
    }

    /// The same over the connection that is there; unknown without one.
    pub(super) fn look_if_connected(&self, side: Side) -> CopyState {
        let Some(connection) = self.link(side).present() else { return CopyState::Unknown };
        let uuid = self.uuid.get().map_or("", String::as_str);
        self.look_at(side, connection.lookup_uuid(uuid))
    }

    fn look_at(&self, side: Side, domain: Result<Domain, LibvirtError>) -> CopyState {
        let domain = match domain {
            Ok(domain) => domain,
            Err(error) if error.code == ErrorCode::NoDomain => return CopyState::Absent,
            Err(_) => return CopyState::Unknown,
        };
        let job = match job(&domain) {
            Ok(job) => job,
            Err(error) if error.code == ErrorCode::NoDomain => return CopyState::Absent,
            // libvirt reports no job of a guest that arrives.
            Err(error) if side == Side::Destination || error.code == ErrorCode::OperationInvalid => None,
            Err(_) => return CopyState::Unknown,
        };
        // Where another client migrates the guest to, and with what result, is not this migration's to conclude.
        if side == Side::Source && job.as_ref().is_some_and(|job| is_outgoing(job) && self.is_foreign(job)) {
            return CopyState::Unknown;
        }
        match domain.state() {
            Ok(state) if side == Side::Source && is_half(state) => half_state(&domain, state, job.as_ref()),
            Ok(state) => copy_state(side, state, job.as_ref()),
            Err(error) if error.code == ErrorCode::NoDomain => CopyState::Absent,
            Err(_) => CopyState::Unknown,
        }
    }
}

/// Whether this is a job that sends the guest away.
pub(super) fn is_outgoing(job: &JobStatistics) -> bool {
    is_active(job) && job.operation.is_none_or(|operation| operation == JobOperation::MigrationOut)
}

const fn is_half(state: State) -> bool {
    matches!(state, State::Paused(PausedReason::Postcopy | PausedReason::PostcopyFailed))
}

/// The source's half of a guest in post-copy. Only statistics of the ended job prove that the destination misses nothing of
/// it; without them it is still needed.
fn half_state(domain: &Domain, state: State, job: Option<&JobStatistics>) -> CopyState {
    let is_empty = job.is_none_or(|job| !is_active(job))
        && domain
            .completed_job_statistics()
            .is_ok_and(|ended| ended.as_ref().is_some_and(has_sent_everything));
    if is_empty { CopyState::Stopped } else { copy_state(Side::Source, state, job) }
}

/// Whether these are the statistics of a migration from this host that has sent all of the guest's memory.
fn has_sent_everything(job: &JobStatistics) -> bool {
    job.operation == Some(JobOperation::MigrationOut)
        && job.job == Some(JobType::Completed)
        && job.memory_remaining_bytes == Some(0)
}

fn copy_state(side: Side, state: State, job: Option<&JobStatistics>) -> CopyState {
    let sends = side == Side::Source && job.is_some_and(is_outgoing);
    match state {
        State::Running(RunningReason::Postcopy) | State::Paused(PausedReason::Postcopy) => {
            CopyState::Postcopy
        }
        State::Running(RunningReason::PostcopyFailed) | State::Paused(PausedReason::PostcopyFailed) => {
            CopyState::PostcopyFailed
        }
        State::Running(_) | State::Blocked | State::ShuttingDown | State::Paused(_) if sends => {
            CopyState::Migrating
        }
        State::Running(_) | State::Blocked | State::ShuttingDown => CopyState::Running,
        // Without a job, the reason tells whether a migration stopped it. On the destination such a copy has not been
        // let run: it is left to libvirt, and never taken for a guest that may be resumed.
        State::Paused(PausedReason::Migration | PausedReason::StartingUp) => match side {
            Side::Source => CopyState::Stopped,
            Side::Destination => CopyState::Incoming,
        },
        State::Unknown { .. } => CopyState::Unknown,
        State::Paused(_) | State::Crashed | State::GuestSuspended => CopyState::Paused,
        State::Shutoff => CopyState::Defined,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RunningReason;

    fn job(job: JobType, operation: JobOperation) -> JobStatistics {
        JobStatistics { job: Some(job), operation: Some(operation), ..JobStatistics::default() }
    }

    #[test]
    fn a_migrating_guest_is_told_from_one_that_only_runs() {
        let out = job(JobType::Unbounded, JobOperation::MigrationOut);
        let runs = State::Running(RunningReason::Booted);
        assert_eq!(copy_state(Side::Source, runs, Some(&out)), CopyState::Migrating);
        assert_eq!(copy_state(Side::Source, runs, None), CopyState::Running);
        let saves = job(JobType::Unbounded, JobOperation::Backup);
        assert_eq!(copy_state(Side::Source, runs, Some(&saves)), CopyState::Running);
    }

    #[test]
    fn a_stopped_source_is_a_leftover_and_a_stopped_destination_is_not_started_yet() {
        let stopped = State::Paused(PausedReason::Migration);
        assert_eq!(copy_state(Side::Source, stopped, None), CopyState::Stopped);
        assert_eq!(copy_state(Side::Destination, stopped, None), CopyState::Incoming);
        let starting = State::Paused(PausedReason::StartingUp);
        assert_eq!(copy_state(Side::Destination, starting, None), CopyState::Incoming);
    }

    #[test]
    fn a_half_is_empty_only_when_statistics_say_so() {
        let ended = |remaining| JobStatistics {
            memory_remaining_bytes: remaining,
            ..job(JobType::Completed, JobOperation::MigrationOut)
        };
        assert!(has_sent_everything(&ended(Some(0))));
        assert!(!has_sent_everything(&ended(Some(4096))));
        assert!(!has_sent_everything(&ended(None)), "not reported is not zero");
        let other = JobStatistics {
            memory_remaining_bytes: Some(0),
            ..job(JobType::Completed, JobOperation::Backup)
        };
        assert!(!has_sent_everything(&other));
        let half = State::Paused(PausedReason::PostcopyFailed);
        assert!(is_half(half) && !is_half(State::Paused(PausedReason::Migration)));
        assert_eq!(copy_state(Side::Source, half, None), CopyState::PostcopyFailed);
    }

    #[test]
    fn a_pause_by_somebody_else_is_not_taken_for_ours() {
        for reason in [PausedReason::User, PausedReason::IoError] {
            assert_eq!(copy_state(Side::Source, State::Paused(reason), None), CopyState::Paused);
        }
        assert_eq!(copy_state(Side::Source, State::Shutoff, None), CopyState::Defined);
    }
}
