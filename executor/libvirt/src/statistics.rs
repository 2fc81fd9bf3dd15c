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
        /// It was cancelled.
        Cancelled = 5,
    }
}

numbered! {
    /// What the job does (`virDomainJobOperation`, libvirt 3.3.0).
    JobOperation {
        /// Not told.
        Unknown = 0,
        /// Starting.
        Start = 1,
        /// Saving to a file.
        Save = 2,
        /// Restoring from a file.
        Restore = 3,
        /// Receiving a guest.
        MigrationIn = 4,
        /// Sending a guest.
        MigrationOut = 5,
        /// Making a snapshot.
        Snapshot = 6,
        /// Reverting to a snapshot.
        SnapshotRevert = 7,
        /// Dumping memory.
        Dump = 8,
        /// Making a backup.
        Backup = 9,
        /// Deleting a snapshot.
        SnapshotDelete = 10,
    }
}

/// A value of a typed parameter.
#[derive(Debug, Clone, PartialEq)]
pub enum ParameterValue {
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
    fn unsigned(&self) -> Option<u64> {
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
pub struct JobStatistics {
    /// The state of the job; `None` in the event of a completed job, which does not tell it.
    pub job: Option<JobType>,
    /// What the job does.
    pub operation: Option<JobOperation>,
    /// Since the job began.
    pub time_elapsed_ms: Option<u64>,
    /// The same without the clock difference between hosts.
    pub time_elapsed_net_ms: Option<u64>,
    /// Estimated by libvirt; seldom there.
    pub time_remaining_ms: Option<u64>,
    /// While it runs: the downtime that QEMU expects now. When completed: the measured downtime.
    pub downtime_ms: Option<u64>,
    /// The measured downtime without the clock difference between hosts.
    pub downtime_net_ms: Option<u64>,
    /// Preparing the migration in QEMU.
    pub setup_ms: Option<u64>,
    /// Memory and disks together: size.
    pub data_total_bytes: Option<u64>,
    /// Memory and disks together: sent.
    pub data_processed_bytes: Option<u64>,
    /// Memory and disks together: left.
    pub data_remaining_bytes: Option<u64>,
    /// Guest memory: size.
    pub memory_total_bytes: Option<u64>,
    /// Guest memory: sent over the link, headers included.
    pub memory_processed_bytes: Option<u64>,
    /// Guest memory: left in this pass.
    pub memory_remaining_bytes: Option<u64>,
    /// Pages of one repeated byte, sent as a few bytes.
    pub memory_constant_pages: Option<u64>,
    /// Pages sent in full.
    pub memory_normal_pages: Option<u64>,
    /// Bytes of the pages sent in full.
    pub memory_normal_bytes: Option<u64>,
    /// Rate of sending memory, averaged by QEMU, in bytes a second.
    pub memory_bytes_per_second: Option<u64>,
    /// Pages dirtied a second, as counted over the last pass.
    pub memory_dirty_rate_pages_per_second: Option<u64>,
    /// The size of a page in bytes.
    pub memory_page_size_bytes: Option<u64>,
    /// Passes over the memory so far, counted from 1.
    pub memory_iteration: Option<u64>,
    /// Pages that the destination had to ask for in post-copy.
    pub memory_postcopy_requests: Option<u64>,
    /// Disks copied by the migration: size.
    pub disk_total_bytes: Option<u64>,
    /// Disks copied by the migration: sent.
    pub disk_processed_bytes: Option<u64>,
    /// Disks copied by the migration: left.
    pub disk_remaining_bytes: Option<u64>,
    /// Rate of sending disks in bytes a second.
    pub disk_bytes_per_second: Option<u64>,
    /// How much auto-converge slows the guest's processors, in percent.
    pub auto_converge_throttle_percent: Option<u64>,
    /// Device state of passed-through devices, sent so far.
    pub vfio_transferred_bytes: Option<u64>,
    /// Whether the job ended well (only in completed statistics, libvirt 6.0.0).
    pub success: Option<bool>,
    /// Why it did not (libvirt 6.10.0).
    pub error_message: Option<String>,
}

impl JobStatistics {
    /// Reads typed parameters, skipping what it does not know.
    pub fn from_parameters(
        job: Option<JobType>,
        parameters: impl IntoIterator<Item = (String, ParameterValue)>,
    ) -> Self {
        let mut statistics = Self { job, ..Self::default() };
        for (name, value) in parameters {
            match (name.as_str(), value) {
                ("success", ParameterValue::Boolean(value)) => statistics.success = Some(value),
                ("errmsg", ParameterValue::Text(value)) => statistics.error_message = Some(value),
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
            "time_elapsed_net" => &mut self.time_elapsed_net_ms,
            "time_remaining" => &mut self.time_remaining_ms,
            "downtime" => &mut self.downtime_ms,
            "downtime_net" => &mut self.downtime_net_ms,
            "setup_time" => &mut self.setup_ms,
            "data_total" => &mut self.data_total_bytes,
            "data_processed" => &mut self.data_processed_bytes,
            "data_remaining" => &mut self.data_remaining_bytes,
            "memory_total" => &mut self.memory_total_bytes,
            "memory_processed" => &mut self.memory_processed_bytes,
            "memory_remaining" => &mut self.memory_remaining_bytes,
            "memory_constant" => &mut self.memory_constant_pages,
            "memory_normal" => &mut self.memory_normal_pages,
            "memory_normal_bytes" => &mut self.memory_normal_bytes,
            "memory_bps" => &mut self.memory_bytes_per_second,
            "memory_dirty_rate" => &mut self.memory_dirty_rate_pages_per_second,
            "memory_page_size" => &mut self.memory_page_size_bytes,
            "memory_iteration" => &mut self.memory_iteration,
            "memory_postcopy_requests" => &mut self.memory_postcopy_requests,
            "disk_total" => &mut self.disk_total_bytes,
            "disk_processed" => &mut self.disk_processed_bytes,
            "disk_remaining" => &mut self.disk_remaining_bytes,
            "disk_bps" => &mut self.disk_bytes_per_second,
            "auto_converge_throttle" => &mut self.auto_converge_throttle_percent,
            "vfio_data_transferred" => &mut self.vfio_transferred_bytes,
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
        let names: [&CStr; 26] = [
            virt_sys::VIR_DOMAIN_JOB_TIME_ELAPSED,
            virt_sys::VIR_DOMAIN_JOB_TIME_ELAPSED_NET,
            virt_sys::VIR_DOMAIN_JOB_TIME_REMAINING,
            virt_sys::VIR_DOMAIN_JOB_DOWNTIME,
            virt_sys::VIR_DOMAIN_JOB_DOWNTIME_NET,
            virt_sys::VIR_DOMAIN_JOB_SETUP_TIME,
            virt_sys::VIR_DOMAIN_JOB_DATA_TOTAL,
            virt_sys::VIR_DOMAIN_JOB_DATA_PROCESSED,
            virt_sys::VIR_DOMAIN_JOB_DATA_REMAINING,
            virt_sys::VIR_DOMAIN_JOB_MEMORY_TOTAL,
            virt_sys::VIR_DOMAIN_JOB_MEMORY_PROCESSED,
            virt_sys::VIR_DOMAIN_JOB_MEMORY_REMAINING,
            virt_sys::VIR_DOMAIN_JOB_MEMORY_CONSTANT,
            virt_sys::VIR_DOMAIN_JOB_MEMORY_NORMAL,
            virt_sys::VIR_DOMAIN_JOB_MEMORY_NORMAL_BYTES,
            virt_sys::VIR_DOMAIN_JOB_MEMORY_BPS,
            virt_sys::VIR_DOMAIN_JOB_MEMORY_DIRTY_RATE,
            virt_sys::VIR_DOMAIN_JOB_MEMORY_PAGE_SIZE,
            virt_sys::VIR_DOMAIN_JOB_MEMORY_ITERATION,
            virt_sys::VIR_DOMAIN_JOB_MEMORY_POSTCOPY_REQS,
            virt_sys::VIR_DOMAIN_JOB_DISK_TOTAL,
            virt_sys::VIR_DOMAIN_JOB_DISK_PROCESSED,
            virt_sys::VIR_DOMAIN_JOB_DISK_REMAINING,
            virt_sys::VIR_DOMAIN_JOB_DISK_BPS,
            virt_sys::VIR_DOMAIN_JOB_AUTO_CONVERGE_THROTTLE,
            virt_sys::VIR_DOMAIN_JOB_VFIO_DATA_TRANSFERRED,
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
    fn words_and_truths_are_read() {
        let statistics = JobStatistics::from_parameters(
            Some(JobType::Failed),
            [
                ("success".to_owned(), ParameterValue::Boolean(false)),
                ("errmsg".to_owned(), ParameterValue::Text("no route".to_owned())),
                ("operation".to_owned(), ParameterValue::Signed(5)),
            ],
        );
        assert_eq!(statistics.job, Some(JobType::Failed));
        assert_eq!(statistics.success, Some(false));
        assert_eq!(statistics.error_message.as_deref(), Some("no route"));
        assert_eq!(statistics.operation, Some(JobOperation::MigrationOut));
    }

    #[test]
    fn unknown_names_and_wrong_types_are_skipped() {
        let parameters = [
            ("invented".to_owned(), ParameterValue::Unsigned(1)),
            ("downtime".to_owned(), ParameterValue::Text("soon".to_owned())),
            ("setup_time".to_owned(), ParameterValue::Signed(-1)),
            ("memory_bps".to_owned(), ParameterValue::Real(1.5)),
            ("success".to_owned(), ParameterValue::Signed(1)),
            ("errmsg".to_owned(), ParameterValue::Boolean(true)),
            ("operation".to_owned(), ParameterValue::Signed(i64::MAX)),
        ];
        assert_eq!(JobStatistics::from_parameters(None, parameters), JobStatistics::default());
    }
}
