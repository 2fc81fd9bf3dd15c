//! Whether a sync ended a pass or happened within one. Only the end of a pass shows all that the guest dirtied.

use whimbrel_core::convergence::Statistics;

/// The kind of a sync of the dirty bitmap.
///
/// QEMU reads the bitmap when less than one downtime's worth remains, which ends a pass. With auto-converge it does so
/// every 5 s as well (from QEMU 9.2 on), while pages of the pass are still to be sent: those hide what was dirtied of
/// them again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SyncKind {
    /// The pass was over: what remained had come below the threshold.
    End,
    /// Pages of the pass were still to be sent.
    Within,
    /// The statistics do not show which.
    #[default]
    Unknown,
}

impl SyncKind {
    /// The kind of the one sync between two queries, under the downtime limit that was in force.
    ///
    /// Between the queries the sync found at least what remained before, less all that was sent; and at most what
    /// remained before. Above the threshold (bandwidth times limit) the pass was not over. Where the two queries do not
    /// show it, or several syncs lie between them, the kind is unknown.
    #[must_use]
    pub fn between(before: &Statistics, after: &Statistics, downtime_limit_ms: u64) -> Self {
        let Some(bandwidth) = after.bandwidth_bytes_per_second.or(before.bandwidth_bytes_per_second) else {
            return Self::Unknown;
        };
        if after.iteration != before.iteration.saturating_add(1) || before.iteration == 0 {
            return Self::Unknown;
        }
        let scaled = u128::from(bandwidth) * u128::from(downtime_limit_ms) / 1000;
        let threshold = u64::try_from(scaled).unwrap_or(u64::MAX);
        let pages = after.pages_sent.saturating_sub(before.pages_sent);
        let sent = pages.saturating_mul(after.page_size_bytes);
        let least_left = before.memory_remaining_bytes.saturating_sub(sent);
        // A window of bandwidth may pass between the check of the loop and the query.
        if least_left > threshold.saturating_add(bandwidth / 10) {
            return Self::Within;
        }
        // The poll before saw the pass's end close: within one poll's worth of sending.
        if least_left == 0 || least_left <= threshold { Self::End } else { Self::Unknown }
    }

    /// Whether all that the guest dirtied in the interval is in the count.
    #[must_use]
    pub const fn is_end(self) -> bool {
        matches!(self, Self::End)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn at(iteration: u64, remaining_mib: u64, sent_mib: u64) -> Statistics {
        Statistics {
            iteration,
            memory_remaining_bytes: remaining_mib * MIB,
            pages_sent: sent_mib * 256,
            page_size_bytes: 4096,
            bandwidth_bytes_per_second: Some(100 * MIB),
            ..Statistics::default()
        }
    }

    #[test]
    fn the_end_of_a_pass_leaves_less_than_the_threshold() {
        // 300 ms at 100 MiB/s allow 30 MiB.
        let kind = |before: Statistics, after| SyncKind::between(&before, &after, 300);
        assert_eq!(kind(at(2, 40, 0), at(3, 500, 15)), SyncKind::End);
        assert_eq!(kind(at(2, 800, 0), at(3, 900, 40)), SyncKind::Within);
        assert_eq!(kind(at(2, 75, 0), at(3, 900, 40)), SyncKind::Unknown, "just above the threshold");
        assert_eq!(kind(at(2, 40, 0), at(4, 500, 60)), SyncKind::Unknown, "two syncs between the queries");
        let unmeasured = Statistics { bandwidth_bytes_per_second: None, ..at(3, 5, 1) };
        let before = Statistics { bandwidth_bytes_per_second: None, ..at(2, 5, 0) };
        assert_eq!(kind(before, unmeasured), SyncKind::Unknown);
    }
}
