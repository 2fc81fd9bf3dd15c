//! The statistics of a job as libvirt's typed parameters tell them.
//!
//! Every field may be missing, of another type than documented, or unknown: that yields `None` or is skipped.
//! Nothing here may fail or panic, because the same code reads statistics inside a callback of C.

use super::numbered::numbered;

numbered! {
    /// What state the job is in (`virDomainJobType`).
    JobType {
        /// No job.
        None = 0,
        /// A job with a foreseeable end.
        Bounded = 1,
        /// A job without one, as every migration in pre-copy is.
        Unbounded = 2,
        /// It ended well.
        Completed = 3,
        /// It failed.
        Failed = 4,
    }
}

numbered! {
    /// What the job does (`virDomainJobOperation`, libvirt 3.3.0).
    JobOperation {
        /// Sending a guest.
        MigrationOut = 5,
        /// Making a backup.
        Backup = 9,
    }
}

/// A value of a typed parameter.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum ParameterValue {
    /// `int` or `long long`.
    Signed(i64),
    /// `unsigned int` or `unsigned long long`.
    Unsigned(u64),
    /// `double`.
    Real(f64),
    /// `boolean`.
    Boolean(bool),
    /// A string, with whatever is not UTF-8 replaced.
    Text(String),
}

impl ParameterValue {
    /// A number that is not negative.
    pub(crate) fn unsigned(&self) -> Option<u64> {
        match *self {
            Self::Signed(value) => u64::try_from(value).ok(),
            Self::Unsigned(value) => Some(value),
            Self::Real(_) | Self::Boolean(_) | Self::Text(_) => None,
        }
    }
}

/// What libvirt knows about a job: a snapshot in time. Sizes are in bytes, times in milliseconds.
///
/// Counters are QEMU's as of its last answer to libvirt; a field is `None` when libvirt did not tell it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct JobStatistics {
    /// The state of the job; `None` in the event of a completed job, which does not tell it.
    pub(crate) job: Option<JobType>,
    /// What the job does.
    pub(crate) operation: Option<JobOperation>,
    /// Since the job began.
    pub(crate) time_elapsed_ms: Option<u64>,
    /// While it runs: the downtime that QEMU expects now. When completed: the measured downtime.
    pub(crate) downtime_ms: Option<u64>,
    /// Guest memory: size.
    pub(crate) memory_total_bytes: Option<u64>,
    /// Guest memory: sent over the link, headers included.
    pub(crate) memory_processed_bytes: Option<u64>,
    /// Guest memory: left in this pass.
    pub(crate) memory_remaining_bytes: Option<u64>,
    /// Pages of one repeated byte, sent as a few bytes.
    pub(crate) memory_constant_pages: Option<u64>,
    /// Pages sent in full.
    pub(crate) memory_normal_pages: Option<u64>,
    /// Pages sent as what changed in them (XBZRLE).
    pub(crate) memory_compressed_pages: Option<u64>,
    /// Rate of sending memory, averaged by QEMU, in bytes a second.
    pub(crate) memory_bytes_per_second: Option<u64>,
    /// Pages dirtied a second, as counted over the last pass.
    pub(crate) memory_dirty_rate_pages_per_second: Option<u64>,
    /// The size of a page in bytes.
    pub(crate) memory_page_size_bytes: Option<u64>,
    /// Passes over the memory so far, counted from 1.
    pub(crate) memory_iteration: Option<u64>,
    /// Disks copied by the migration: size.
    pub(crate) disk_total_bytes: Option<u64>,
    /// Disks copied by the migration: sent.
    pub(crate) disk_processed_bytes: Option<u64>,
    /// Disks copied by the migration: left.
    pub(crate) disk_remaining_bytes: Option<u64>,
    /// How much auto-converge slows the guest's processors, in percent.
    pub(crate) auto_converge_throttle_percent: Option<u64>,
}

impl JobStatistics {
    /// Reads typed parameters, skipping what it does not know.
    pub(crate) fn from_parameters(
        job: Option<JobType>,
        parameters: impl IntoIterator<Item = (String, ParameterValue)>,
    ) -> Self {
        let mut statistics = Self { job, ..Self::default() };
        for (name, value) in parameters {
            match (name.as_str(), value) {
                ("operation", ParameterValue::Signed(value)) => {
                    statistics.operation = i32::try_from(value).ok().map(JobOperation::from);
                }
                (name, value) => {
                    if let Some(field) = statistics.number(name) {
                        *field = value.unsigned();
                    }
                }
            }
        }
        statistics
    }

    /// The field that a parameter fills (names from `VIR_DOMAIN_JOB_*` in libvirt-domain.h).
    fn number(&mut self, name: &str) -> Option<&mut Option<u64>> {
        Some(match name {
            "time_elapsed" => &mut self.time_elapsed_ms,
            "downtime" => &mut self.downtime_ms,
            "memory_total" => &mut self.memory_total_bytes,
            "memory_processed" => &mut self.memory_processed_bytes,
            "memory_remaining" => &mut self.memory_remaining_bytes,
            "memory_constant" => &mut self.memory_constant_pages,
            "memory_normal" => &mut self.memory_normal_pages,
            "compression_pages" => &mut self.memory_compressed_pages,
            "memory_bps" => &mut self.memory_bytes_per_second,
            "memory_dirty_rate" => &mut self.memory_dirty_rate_pages_per_second,
            "memory_page_size" => &mut self.memory_page_size_bytes,
            "memory_iteration" => &mut self.memory_iteration,
            "disk_total" => &mut self.disk_total_bytes,
            "disk_processed" => &mut self.disk_processed_bytes,
            "disk_remaining" => &mut self.disk_remaining_bytes,
            "auto_converge_throttle" => &mut self.auto_converge_throttle_percent,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{JobOperation, JobStatistics, JobType, ParameterValue};
    use std::ffi::CStr;

    #[test]
    fn each_name_of_the_header_fills_a_field_of_its_own() {
        let names: [&CStr; 15] = [
            virt_sys::VIR_DOMAIN_JOB_TIME_ELAPSED,
            virt_sys::VIR_DOMAIN_JOB_DOWNTIME,
            virt_sys::VIR_DOMAIN_JOB_MEMORY_TOTAL,
            virt_sys::VIR_DOMAIN_JOB_MEMORY_PROCESSED,
            virt_sys::VIR_DOMAIN_JOB_MEMORY_REMAINING,
            virt_sys::VIR_DOMAIN_JOB_MEMORY_CONSTANT,
            virt_sys::VIR_DOMAIN_JOB_MEMORY_NORMAL,
            virt_sys::VIR_DOMAIN_JOB_MEMORY_BPS,
            virt_sys::VIR_DOMAIN_JOB_MEMORY_DIRTY_RATE,
            virt_sys::VIR_DOMAIN_JOB_MEMORY_PAGE_SIZE,
            virt_sys::VIR_DOMAIN_JOB_MEMORY_ITERATION,
            virt_sys::VIR_DOMAIN_JOB_DISK_TOTAL,
            virt_sys::VIR_DOMAIN_JOB_DISK_PROCESSED,
            virt_sys::VIR_DOMAIN_JOB_DISK_REMAINING,
            virt_sys::VIR_DOMAIN_JOB_AUTO_CONVERGE_THROTTLE,
        ];
        let mut seen: Vec<JobStatistics> = Vec::new();
        for name in names {
            let name = name.to_str().unwrap().to_owned();
            let one = JobStatistics::from_parameters(None, [(name.clone(), ParameterValue::Unsigned(7))]);
            assert_ne!(one, JobStatistics::default(), "{name} fills nothing");
            assert!(!seen.contains(&one), "{name} fills the field of another");
            seen.push(one);
        }
    }

    #[test]
    fn the_operation_is_read() {
        let parameters = [("operation".to_owned(), ParameterValue::Signed(5))];
        let statistics = JobStatistics::from_parameters(Some(JobType::Failed), parameters);
        assert_eq!(statistics.job, Some(JobType::Failed));
        assert_eq!(statistics.operation, Some(JobOperation::MigrationOut));
    }

    #[test]
    fn unknown_names_and_wrong_types_are_skipped() {
        let parameters = [
            ("invented".to_owned(), ParameterValue::Unsigned(1)),
            ("downtime".to_owned(), ParameterValue::Text("soon".to_owned())),
            ("memory_total".to_owned(), ParameterValue::Signed(-1)),
            ("memory_bps".to_owned(), ParameterValue::Real(1.5)),
            ("iteration".to_owned(), ParameterValue::Boolean(true)),
            ("operation".to_owned(), ParameterValue::Signed(i64::MAX)),
        ];
        assert_eq!(JobStatistics::from_parameters(None, parameters), JobStatistics::default());
    }
}
