//! The job that works on a guest, as libvirt reports it. Nothing is concluded from it here.

use crate::{Domain, ErrorCode, JobStatistics, JobType, LibvirtError};

/// The job that works on a guest. One that is off has none: libvirt answers such a query with an error, which must not be
/// taken for a failure. Source: libvirt, `qemuDomainGetJobStats`, "domain is not running".
///
/// # Errors
/// Whatever libvirt reports about a guest that is not off.
pub(crate) fn job(domain: &Domain) -> Result<Option<JobStatistics>, LibvirtError> {
    match domain.job_statistics() {
        Err(error) if error.code == ErrorCode::OperationInvalid => {
            if domain.state()?.is_active() {
                Err(error)
            } else {
                Ok(None)
            }
        }
        job => job,
    }
}

/// Whether a job is under way.
pub(crate) fn is_active(job: &JobStatistics) -> bool {
    matches!(job.job, Some(JobType::Bounded | JobType::Unbounded))
}
