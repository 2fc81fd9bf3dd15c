//! Whether a sync ended a pass or happened within one. Only the end of a pass shows all that the guest dirtied.
//!
//! Nothing here may guess: a kind that the numbers do not prove is unknown, and an unknown sync is never counted as one
//! within a pass.

use serde::{Deserialize, Serialize};

use super::Statistics;

/// The kind of a sync of the dirty bitmap.
///
/// QEMU reads the bitmap when less than one downtime's worth remains, which ends a pass. Some versions read it at other
/// times as well, while pages of the pass are still to be sent: those hide what was dirtied of them again. With
/// auto-converge QEMU does so every 5 s from 9.2 on; with post-copy allowed QEMU 11.1 does so some ten times a second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SyncKind {
    /// The pass was over: the remaining memory had come below the threshold.
    End,
    /// Pages of the pass were still to be sent.
    Within,
    /// The numbers do not show which. The sync of the setup, which marks all memory and belongs to no pass, is of this
    /// kind too.
    #[default]
    Unknown,
}

impl SyncKind {
    /// The kind of the last sync between two queries of one job, under the downtime limit that was in force.
    ///
    /// At any instant between the queries, at least the memory that remained at the first one less all that was sent
    /// remained to be sent. If that is above the threshold (bandwidth times limit), no pass ended in between, however
    /// many syncs there were. If it is below, and there was one sync, that sync is taken to have ended the pass, which
    /// holds if the second query soon follows it, and QEMU does not read the bitmap before every burst. Otherwise the kind is
    /// unknown; so it is without a measured bandwidth or a page size, and for the sync of the setup.
    ///
    /// The count of sent pages must be complete: XBZRLE leaves out pages that turned out not to differ.
    #[must_use]
    pub fn between(before: &Statistics, after: &Statistics, downtime_limit_ms: u64) -> Self {
        let Some(bandwidth) = after.bandwidth_bytes_per_second.or(before.bandwidth_bytes_per_second) else {
            return Self::Unknown;
        };
        let syncs = after.iteration.saturating_sub(before.iteration);
        if syncs == 0 || before.iteration == 0 || after.page_size_bytes == 0 {
            return Self::Unknown;
        }
        let scaled = u128::from(bandwidth) * u128::from(downtime_limit_ms) / 1000;
        let threshold = u64::try_from(scaled).unwrap_or(u64::MAX);
        let pages = after.pages_sent.saturating_sub(before.pages_sent);
        let sent = pages.saturating_mul(after.page_size_bytes);
        let least_left = before.memory_remaining_bytes.saturating_sub(sent);
        // The hypervisor's threshold is of its last window of 100 ms, which the query need not show.
        if least_left > threshold.saturating_add(bandwidth / WINDOWS_PER_SECOND) {
            return Self::Within;
        }
        if syncs == 1 && least_left <= threshold { Self::End } else { Self::Unknown }
    }

    /// Whether all that the guest dirtied in the interval is in the count.
    #[must_use]
    pub const fn is_end(self) -> bool {
        matches!(self, Self::End)
    }

    /// Whether it is known that pages of the pass were still to be sent.
    #[must_use]
    pub const fn is_within(self) -> bool {
        matches!(self, Self::Within)
    }
}

/// QEMU measures bandwidth over windows of 100 ms.
const WINDOWS_PER_SECOND: u64 = 10;

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

    /// 300 ms at 100 MiB/s allow 30 MiB.
    fn kind(before: Statistics, after: Statistics) -> SyncKind {
        SyncKind::between(&before, &after, 300)
    }

    #[test]
    fn the_end_of_a_pass_leaves_less_than_the_threshold() {
        assert_eq!(kind(at(2, 40, 0), at(3, 500, 15)), SyncKind::End);
        assert_eq!(kind(at(2, 800, 0), at(3, 900, 40)), SyncKind::Within);
        assert_eq!(kind(at(2, 75, 0), at(3, 900, 40)), SyncKind::Unknown, "just above the threshold");
    }

    #[test]
    fn of_several_syncs_all_are_within_the_pass_or_the_last_is_unknown() {
        assert_eq!(kind(at(2, 40, 0), at(4, 500, 60)), SyncKind::Unknown);
        assert_eq!(kind(at(1, 800, 0), at(5, 790, 40)), SyncKind::Within);
    }

    #[test]
    fn the_kind_is_unknown_where_a_number_is_missing() {
        let unmeasured = Statistics { bandwidth_bytes_per_second: None, ..at(3, 5, 1) };
        let before = Statistics { bandwidth_bytes_per_second: None, ..at(2, 5, 0) };
        assert_eq!(kind(before, unmeasured), SyncKind::Unknown);
        let no_page_size = Statistics { page_size_bytes: 0, ..at(3, 900, 790) };
        assert_eq!(kind(at(2, 800, 0), no_page_size), SyncKind::Unknown, "all of it may have been sent");
        assert_eq!(kind(at(0, 800, 0), at(1, 800, 0)), SyncKind::Unknown, "the sync of the setup");
        assert_eq!(kind(at(3, 800, 0), at(3, 790, 10)), SyncKind::Unknown, "no sync at all");
    }

    #[test]
    fn a_kind_is_written_as_a_word() {
        let words = [SyncKind::End, SyncKind::Within, SyncKind::Unknown]
            .map(|kind| serde_json::to_string(&kind).unwrap());
        assert_eq!(words, ["\"end\"", "\"within\"", "\"unknown\""]);
    }
}
