//! The limits in force while memory is copied: the one place that knows them. For display, forecasts and the kinds of syncs:
//! nothing about the guest's safety is decided by them.

use crate::port::{Setting, Settings};

/// Limits of the copy, as far as they are known: those of the last change that was made, else as the hypervisor had them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Limits {
    /// Longest downtime that the hypervisor may plan for, in ms.
    pub downtime_ms: Option<u64>,
    /// Most bytes a second on the link.
    pub bandwidth_bytes_per_second: Option<u64>,
}

impl Limits {
    fn note(&mut self, setting: Setting) {
        match setting {
            Setting::DowntimeLimitMs(ms) => self.downtime_ms = Some(ms),
            Setting::BandwidthLimitBytesPerSecond(rate) => self.bandwidth_bytes_per_second = Some(rate),
        }
    }

    fn forget(&mut self, setting: Setting) {
        match setting {
            Setting::DowntimeLimitMs(_) => self.downtime_ms = None,
            Setting::BandwidthLimitBytesPerSecond(_) => self.bandwidth_bytes_per_second = None,
        }
    }
}

impl From<Settings> for Limits {
    fn from(settings: Settings) -> Self {
        Self {
            downtime_ms: Some(settings.downtime_limit_ms),
            bandwidth_bytes_per_second: Some(settings.bandwidth_limit_bytes_per_second),
        }
    }
}

/// The limits, and an adjustment of one of them that is being made.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct LimitsInForce {
    known: Limits,
    /// A later request may be refused meanwhile.
    in_progress: Option<Setting>,
}

impl LimitsInForce {
    /// The limits as the last answer left them.
    pub(super) fn known(&self) -> Limits {
        self.known
    }

    /// The downtime limit at this instant; `None` while it is being changed as well.
    pub(super) fn downtime_ms_now(&self) -> Option<u64> {
        let changes = matches!(self.in_progress, Some(Setting::DowntimeLimitMs(_)));
        self.known.downtime_ms.filter(|_| !changes)
    }

    /// All of them, as they were read.
    pub(super) fn read(&mut self, limits: Limits) {
        *self = Self { known: limits, in_progress: None };
    }

    /// One is set while no memory is copied: before the copy, or after it.
    pub(super) fn set(&mut self, setting: Setting) {
        self.known.note(setting);
    }

    /// An adjustment is given to the hypervisor.
    pub(super) fn begin(&mut self, setting: Option<Setting>) {
        self.in_progress = setting;
    }

    /// It was made.
    pub(super) fn done(&mut self) {
        if let Some(setting) = self.in_progress.take() {
            self.known.note(setting);
        }
    }

    /// It was refused: the limit before it is in force.
    pub(super) fn refused(&mut self) {
        self.in_progress = None;
    }

    /// Its answer was lost: which of the two is in force is not known.
    pub(super) fn lost(&mut self) {
        if let Some(setting) = self.in_progress.take() {
            self.known.forget(setting);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORIGINALS: Settings =
        Settings { downtime_limit_ms: 300, bandwidth_limit_bytes_per_second: 1 << 30 };

    #[test]
    fn the_limit_that_is_being_changed_is_not_known_until_its_answer() {
        type End = fn(&mut LimitsInForce);
        let ends: [(End, Option<u64>); 3] = [
            (LimitsInForce::done, Some(900)),
            (LimitsInForce::refused, Some(300)),
            (LimitsInForce::lost, None),
        ];
        for (end, then) in ends {
            let mut limits = LimitsInForce::default();
            assert_eq!(limits.downtime_ms_now(), None);
            limits.read(ORIGINALS.into());
            limits.begin(Some(Setting::DowntimeLimitMs(900)));
            assert_eq!((limits.known().downtime_ms, limits.downtime_ms_now()), (Some(300), None));
            end(&mut limits);
            assert_eq!((limits.known().downtime_ms, limits.downtime_ms_now()), (then, then));
            assert_eq!(
                limits.known().bandwidth_bytes_per_second,
                Some(1 << 30),
                "the other one is untouched"
            );
        }
    }

    #[test]
    fn a_change_of_the_bandwidth_leaves_the_downtime_limit_known() {
        let mut limits = LimitsInForce::default();
        limits.read(ORIGINALS.into());
        limits.begin(Some(Setting::BandwidthLimitBytesPerSecond(1 << 20)));
        assert_eq!(limits.downtime_ms_now(), Some(300));
        limits.lost();
        assert_eq!(limits.known(), Limits { downtime_ms: Some(300), bandwidth_bytes_per_second: None });
    }
}
