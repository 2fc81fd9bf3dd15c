//! What libvirt's words about a domain mean for the guest's copy.

use std::sync::atomic::Ordering;

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
            Ok(state) if side == Side::Source && is_half(state) => {
                let is_whole_there = self.destination_migrated.load(Ordering::SeqCst);
                half_state(&domain, state, job.as_ref(), is_whole_there)
            }
            Ok(state) => {
                if side == Side::Destination {
                    let migrated = state == State::Running(RunningReason::Migrated);
                    self.destination_migrated.store(migrated, Ordering::SeqCst);
                }
                copy_state(side, state, job.as_ref())
            }
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

/// The source's half of a guest in post-copy. Two things prove that the destination misses nothing of it: statistics of
/// the ended job, and [`is_left_over`]; without them it is still needed.
fn half_state(domain: &Domain, state: State, job: Option<&JobStatistics>, is_whole_there: bool) -> CopyState {
    let is_empty = match job.filter(|job| is_active(job)) {
        Some(job) => is_left_over(state, job, is_whole_there),
        None => domain
            .completed_job_statistics()
            .is_ok_and(|ended| ended.as_ref().is_some_and(has_sent_everything)),
    };
    if is_empty { CopyState::Stopped } else { copy_state(Side::Source, state, job) }
}

/// Whether a half that failed is a leftover although its job is still there. libvirt 9.0 misses QEMU's event of the end
/// while it refuses a call to resume the migration: from then on it reports a post-copy that failed, of which nothing is
/// left to send. The destination's libvirt sets the reason "migrated" of a guest in post-copy only when its QEMU reports
/// the end; a guest that wakes up, or is paused and resumed, in post-copy has another reason.
fn is_left_over(state: State, job: &JobStatistics, is_whole_there: bool) -> bool {
    state == State::Paused(PausedReason::PostcopyFailed)
        && job.memory_remaining_bytes == Some(0)
        && is_whole_there
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
    fn a_half_that_failed_is_a_leftover_only_when_both_hosts_say_so() {
        let failed = State::Paused(PausedReason::PostcopyFailed);
        let sends = |remaining| JobStatistics {
            memory_remaining_bytes: remaining,
            ..job(JobType::Unbounded, JobOperation::MigrationOut)
        };
        assert!(is_left_over(failed, &sends(Some(0)), true));
        assert!(!is_left_over(failed, &sends(Some(0)), false), "the last pages may have been lost");
        assert!(!is_left_over(failed, &sends(Some(4096)), true));
        assert!(!is_left_over(failed, &sends(None), true));
        // libvirt ends this one in a moment.
        assert!(!is_left_over(State::Paused(PausedReason::Postcopy), &sends(Some(0)), true));
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
