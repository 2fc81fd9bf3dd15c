//! Totals of all syncs, computed once. Displays show these and count nothing themselves.

use serde::{Deserialize, Serialize};

use super::DirtySync;

/// Totals of the syncs that were seen so far, since the migration began or was taken over from a driver whose journal
/// does not replay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncTotals {
    /// Syncs that were seen.
    pub syncs_seen: u64,
    /// Syncs that happened between two queries and were not seen.
    pub syncs_unseen: u64,
    /// Syncs that were seen and are known to have happened within a pass. They end no pass and enter no other number
    /// below.
    #[serde(default)]
    pub syncs_within_pass: u64,
    /// Syncs at which the remaining memory rose over what was left just before.
    pub regressions: u64,
    /// Syncs at which more remained than when the pass began: the copy did not converge.
    #[serde(rename = "gains")]
    pub non_converging_syncs: u64,
    /// Least remaining memory at any sync after the first pass: the best point of the copy.
    pub low_water_bytes: Option<u64>,
    /// Most remaining memory at any sync after the first pass: the worst regression.
    pub high_water_bytes: Option<u64>,
}

/// A sync with the totals of all syncs up to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncReport {
    /// The sync.
    #[serde(flatten)]
    pub sync: DirtySync,
    /// The totals after it; `None` in an event that an earlier release wrote.
    #[serde(default)]
    pub totals: Option<SyncTotals>,
}

impl SyncTotals {
    /// These totals after one more sync.
    #[must_use]
    pub fn with(self, sync: &DirtySync) -> Self {
        let remaining = sync.memory_remaining_bytes;
        // The first sync marks the whole memory dirty: it says nothing about the guest.
        let is_first = self.syncs_seen == 0;
        let is_within = sync.kind.is_within();
        let mark = |water: Option<u64>, of: fn(u64, u64) -> u64| {
            if is_first || is_within {
                water
            } else {
                Some(water.map_or(remaining, |water| of(water, remaining)))
            }
        };
        Self {
            syncs_seen: self.syncs_seen + 1,
            syncs_unseen: self.syncs_unseen.saturating_add(sync.unseen),
            syncs_within_pass: self.syncs_within_pass + u64::from(is_within),
            regressions: self.regressions + u64::from(sync.dirtied_bytes > 0 && !is_within),
            non_converging_syncs: self.non_converging_syncs + u64::from(sync.above_previous && !is_within),
            low_water_bytes: mark(self.low_water_bytes, u64::min),
            high_water_bytes: mark(self.high_water_bytes, u64::max),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::convergence::SyncKind;
    use crate::time::Instant;

    const SYNC: DirtySync = DirtySync {
        at: Instant::BEGIN,
        iteration: 2,
        kind: SyncKind::Within,
        unseen: 1,
        memory_remaining_bytes: 4096,
        disk_remaining_bytes: 0,
        dirtied_bytes: 4096,
        above_previous: true,
        dirty_rate_bytes_per_second: None,
        bandwidth_bytes_per_second: Some(1 << 20),
    };

    #[test]
    fn the_document_of_a_sync_only_gains_the_totals() {
        let totals = SyncTotals::default().with(&SYNC);
        let written = serde_json::to_value(SyncReport { sync: SYNC, totals: Some(totals) }).unwrap();
        let mut fields = written.as_object().unwrap().clone();
        assert_eq!(fields.remove("totals"), Some(serde_json::to_value(totals).unwrap()));
        assert_eq!(serde_json::Value::Object(fields), serde_json::to_value(SYNC).unwrap());
    }

    #[test]
    fn a_sync_of_an_earlier_release_has_no_totals_and_no_kind() {
        let mut earlier = serde_json::to_value(SYNC).unwrap();
        assert_eq!(earlier.as_object_mut().unwrap().remove("kind"), Some("within".into()));
        let read: SyncReport = serde_json::from_value(earlier).unwrap();
        let sync = DirtySync { kind: SyncKind::Unknown, ..SYNC };
        assert_eq!(read, SyncReport { sync, totals: None });
    }

    #[test]
    fn totals_of_an_earlier_release_knew_no_syncs_within_a_pass() {
        let mut earlier = serde_json::to_value(SyncTotals::default().with(&SYNC)).unwrap();
        assert_eq!(earlier.as_object_mut().unwrap().remove("syncs_within_pass"), Some(1.into()));
        let read: SyncTotals = serde_json::from_value(earlier).unwrap();
        assert_eq!((read.syncs_seen, read.syncs_within_pass), (1, 0));
    }
}
