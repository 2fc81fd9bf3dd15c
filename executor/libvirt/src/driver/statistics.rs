//! libvirt's statistics in the core's terms.

use whimbrel_core::convergence::{Statistics, SyncKind};

use crate::JobStatistics;

/// A count that libvirt does not report is zero; a rate or a downtime that it does not report is absent.
pub(super) fn from_libvirt(job: &JobStatistics) -> Statistics {
    let or_zero = |value: Option<u64>| value.unwrap_or(0);
    Statistics {
        elapsed_ms: or_zero(job.time_elapsed_ms),
        memory_total_bytes: or_zero(job.memory_total_bytes),
        memory_remaining_bytes: or_zero(job.memory_remaining_bytes),
        memory_sent_bytes: or_zero(job.memory_processed_bytes),
        pages_sent: [job.memory_normal_pages, job.memory_constant_pages, job.memory_compressed_pages]
            .into_iter()
            .fold(0, |pages, more| pages.saturating_add(or_zero(more))),
        disk_total_bytes: or_zero(job.disk_total_bytes),
        disk_remaining_bytes: or_zero(job.disk_remaining_bytes),
        disk_sent_bytes: or_zero(job.disk_processed_bytes),
        page_size_bytes: or_zero(job.memory_page_size_bytes),
        iteration: or_zero(job.memory_iteration),
        // libvirt does not report it: the core derives it from two queries.
        sync_kind: SyncKind::Unknown,
        dirty_rate_pages_per_second: job.memory_dirty_rate_pages_per_second,
        bandwidth_bytes_per_second: job.memory_bytes_per_second,
        downtime_ms: job.downtime_ms,
        throttle_percent: or_zero(job.auto_converge_throttle_percent),
    }
}

/// Whether a job that ended has its numbers. The first answer after the end may still carry zeros.
pub(super) fn has_numbers(job: &JobStatistics) -> bool {
    job.time_elapsed_ms.is_some_and(|ms| ms > 0) && job.memory_processed_bytes.is_some_and(|bytes| bytes > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_of_a_job_that_just_ended_are_no_numbers() {
        let zeros = JobStatistics {
            time_elapsed_ms: Some(0),
            memory_processed_bytes: Some(0),
            downtime_ms: Some(0),
            ..JobStatistics::default()
        };
        assert!(!has_numbers(&zeros));
        assert!(!has_numbers(&JobStatistics::default()));
        let reported = JobStatistics { time_elapsed_ms: Some(1), memory_processed_bytes: Some(1), ..zeros };
        assert!(has_numbers(&reported));
    }

    #[test]
    fn a_rate_that_libvirt_does_not_report_is_no_zero() {
        let numbers = from_libvirt(&JobStatistics::default());
        let rates =
            (numbers.dirty_rate_pages_per_second, numbers.bandwidth_bytes_per_second, numbers.downtime_ms);
        assert_eq!(rates, (None, None, None));
    }

    #[test]
    fn pages_of_every_kind_count_as_sent() {
        let job = JobStatistics {
            memory_normal_pages: Some(7),
            memory_constant_pages: Some(5),
            memory_compressed_pages: Some(3),
            ..JobStatistics::default()
        };
        assert_eq!(from_libvirt(&job).pages_sent, 15);
    }
}
