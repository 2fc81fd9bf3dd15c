//! The limits in force while memory is copied. For display and forecasts: nothing is decided by them.

use crate::port::{Setting, Settings};
use crate::spec::Spec;

/// Limits of the copy, as far as they are known: of the last adjustment that was done, else of the request, else as the
/// hypervisor had them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Limits {
    /// Longest downtime that the hypervisor may plan for, in ms.
    pub downtime_ms: Option<u64>,
    /// Most bytes a second on the link.
    pub bandwidth_bytes_per_second: Option<u64>,
}

impl Limits {
    /// These, which adjustments have set, completed by those of the request and by the original ones.
    pub(super) fn or(self, spec: &Spec, originals: Option<&Settings>) -> Self {
        Self {
            downtime_ms: self
                .downtime_ms
                .or(spec.downtime_limit_ms)
                .or(originals.map(|settings| settings.downtime_limit_ms)),
            bandwidth_bytes_per_second: self
                .bandwidth_bytes_per_second
                .or(spec.bandwidth_limit_bytes_per_second)
                .or(originals.map(|settings| settings.bandwidth_limit_bytes_per_second)),
        }
    }

    /// Keeps the value of an adjustment that was done.
    pub(super) fn note(&mut self, setting: Option<Setting>) {
        match setting {
            Some(Setting::DowntimeLimitMs(ms)) => self.downtime_ms = Some(ms),
            Some(Setting::BandwidthLimitBytesPerSecond(rate)) => {
                self.bandwidth_bytes_per_second = Some(rate);
            }
            None => {}
        }
    }
}
