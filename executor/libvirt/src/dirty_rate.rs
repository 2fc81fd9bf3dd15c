//! Measures the dirty rate of a guest before its migration.
//!
//! QEMU hashes 512 pages of each GiB before and after the interval: no virtual CPU is stopped, and nothing is write-protected.
//! The other ways of QEMU (dirty bitmap, dirty ring) cost the guest faults, and are never used here. A rate that cannot
//! be measured is unknown.

use std::time::Duration;

use whimbrel_drive::dirty_rate::DirtyRate;
use whimbrel_drive::hosts::Inquiry;
use whimbrel_drive::uri::HostUri;

use crate::access::Access;
use crate::error::{ErrorCode, LibvirtError};
use crate::numbered::numbered;
use crate::statistics::ParameterValue;

/// How much longer than the interval a measurement may take: the hashes of a large guest take some time.
const PATIENCE: Duration = Duration::from_secs(10);
const INTERVAL: Duration = Duration::from_millis(100);

numbered! {
    /// How far a measurement is (`virDomainDirtyRateStatus`).
    DirtyRateStatus {
        /// None was begun.
        Unstarted = 0,
        /// It is under way.
        Measuring = 1,
        /// It has ended.
        Measured = 2,
    }
}

/// A measurement as libvirt reports it. Every field may be missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct DirtyRateReport {
    pub(crate) status: Option<DirtyRateStatus>,
    /// The interval.
    pub(crate) period_s: Option<u64>,
    /// The result, once there is one.
    pub(crate) mib_per_second: Option<u64>,
}

impl DirtyRateReport {
    /// Of the statistics group `VIR_DOMAIN_STATS_DIRTYRATE`.
    pub(crate) fn from_parameters(parameters: &[(String, ParameterValue)]) -> Self {
        let number = |wanted: &str| {
            parameters.iter().find(|(name, _)| name == wanted).and_then(|(_, value)| value.unsigned())
        };
        let status = number("dirtyrate.calc_status").and_then(|number| i32::try_from(number).ok());
        Self {
            status: status.map(DirtyRateStatus::from),
            period_s: number("dirtyrate.calc_period"),
            mib_per_second: number("dirtyrate.megabytes_per_second"),
        }
    }

    /// The rate of a measurement over this interval, once it has ended.
    fn rate(&self, seconds: u16) -> Option<u64> {
        let is_this = self.status == Some(DirtyRateStatus::Measured)
            && self.period_s.is_none_or(|period_s| period_s == u64::from(seconds));
        self.mib_per_second.filter(|_| is_this)
    }
}

/// The dirty rate of the guest on its source over this many seconds. Blocks that long and up to ten seconds more.
///
/// # Errors
/// Whatever libvirt reports: a daemon before 7.2.0 or a QEMU before 5.2 cannot measure it, and a guest that does not run has
/// none.
pub(crate) fn measure(
    access: &Access,
    inquiry: &Inquiry,
    source: &HostUri,
    seconds: u16,
) -> Result<DirtyRate, LibvirtError> {
    let domain = access.open(source)?.lookup(&inquiry.guest)?;
    domain.start_dirty_rate(seconds)?;
    let interval = Duration::from_secs(u64::from(seconds));
    let until = access.threads.now() + interval + PATIENCE;
    access.threads.pause(interval);
    loop {
        if let Some(mib_per_second) = domain.dirty_rate()?.rate(seconds) {
            let bytes_per_second = mib_per_second.saturating_mul(1 << 20);
            return Ok(DirtyRate { interval_ms: u64::from(seconds) * 1_000, bytes_per_second });
        }
        if access.threads.now() >= until {
            let message =
                format!("no dirty rate over {seconds} s was reported within {} s more", PATIENCE.as_secs());
            let code = ErrorCode::OperationTimeout;
            return Err(LibvirtError { call: "virDomainListGetStats", code, domain: 0, message });
        }
        access.threads.pause(INTERVAL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(parameters: &[(&str, i64)]) -> DirtyRateReport {
        let parameters = parameters
            .iter()
            .map(|(name, value)| (format!("dirtyrate.{name}"), ParameterValue::Signed(*value)));
        DirtyRateReport::from_parameters(&parameters.collect::<Vec<_>>())
    }

    #[test]
    fn only_the_result_of_this_measurement_counts() {
        let rate = |parameters: &[(&str, i64)]| report(parameters).rate(5);
        assert_eq!(rate(&[("calc_status", 2), ("calc_period", 5), ("megabytes_per_second", 117)]), Some(117));
        assert_eq!(rate(&[("calc_status", 2), ("megabytes_per_second", 0)]), Some(0));
        assert_eq!(rate(&[("calc_status", 2), ("calc_period", 1), ("megabytes_per_second", 117)]), None);
        assert_eq!(rate(&[("calc_status", 1), ("calc_period", 5)]), None);
        assert_eq!(rate(&[("calc_status", 2), ("calc_period", 5), ("megabytes_per_second", -1)]), None);
        assert_eq!(rate(&[]), None);
    }
}
