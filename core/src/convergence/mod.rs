//! The measuring half: the progress of the copy, and its regressions.
//!
//! What remains to be copied only rises when the hypervisor reads the guest's dirty bitmap (a *sync*, the start of
//! an iteration) and falls between two of them: a saw-tooth. Progress is therefore measured at syncs, and every rise
//! is kept and shown. A sync that happened within a pass shows only a part of what was dirtied: no regression, no water
//! mark and no comparison with the sync before is made of it. This module never decides about the guest's safety:
//! control does, without using it.

mod sync_kind;
mod totals;

use alloc::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::time::Instant;

pub use sync_kind::SyncKind;
pub use totals::{SyncReport, SyncTotals};

/// QEMU measures no dirty rate over less than this.
const FIRST_RATE_MS: u64 = 1_000;

/// Syncs within a pass that are 5 s apart (QEMU from 9.2 on, with auto-converge) are farther apart than this, and those
/// before every burst (QEMU 11.1, with post-copy allowed) closer.
const OFTEN_MS: u64 = 2_000;

/// Syncs that are kept for drawing; older ones are dropped (a journal has them all).
pub const SYNCS_KEPT: usize = 2_048;

/// A migration job's numbers at one moment, as the hypervisor counts them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statistics {
    /// Since the job began.
    pub elapsed_ms: u64,
    /// Guest memory.
    pub memory_total_bytes: u64,
    /// Memory still to be sent, as of now: pages found dirty later are not in it yet.
    pub memory_remaining_bytes: u64,
    /// Bytes that went over the link for memory so far; with re-sent pages this exceeds the total.
    pub memory_sent_bytes: u64,
    /// Pages sent so far, those of zeros included; a page that is sent twice counts twice.
    pub pages_sent: u64,
    /// Disks that are copied along.
    pub disk_total_bytes: u64,
    /// Disk data still to be sent.
    pub disk_remaining_bytes: u64,
    /// Disk data sent so far.
    pub disk_sent_bytes: u64,
    /// Bytes of a page.
    pub page_size_bytes: u64,
    /// Dirty-bitmap syncs so far.
    pub iteration: u64,
    /// The kind of the last of these syncs, where the hypervisor reports it. libvirt does not: there
    /// [`Convergence::observe`] derives it from two queries.
    #[serde(default)]
    pub sync_kind: SyncKind,
    /// Pages that the guest dirties a second, as of the hypervisor's last evaluation; `None` before its first.
    #[serde(default)]
    pub dirty_rate_pages_per_second: Option<u64>,
    /// Bytes a second on the link, as of the hypervisor's last evaluation; `None` before its first.
    #[serde(default)]
    pub bandwidth_bytes_per_second: Option<u64>,
    /// The expected downtime while the job runs, the measured one when it has ended; `None` where the hypervisor has
    /// neither.
    pub downtime_ms: Option<u64>,
    /// How much the guest's CPUs are slowed to let the copy catch up, 0 to 99.
    pub throttle_percent: u64,
}

/// One dirty-bitmap sync as it was observed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DirtySync {
    /// When it was observed, which is soon after it happened: a hint of the hypervisor causes a query.
    pub at: Instant,
    /// The hypervisor's count.
    pub iteration: u64,
    /// Whether it ended a pass; unknown in what an earlier release wrote.
    #[serde(default)]
    pub kind: SyncKind,
    /// Syncs between the one seen before and this one that went unseen.
    pub unseen: u64,
    /// Memory to be sent in this iteration.
    pub memory_remaining_bytes: u64,
    /// Disk data to be sent.
    pub disk_remaining_bytes: u64,
    /// By how much the remaining memory rose over what was left just before: the newly dirtied pages. A regression,
    /// unless the sync happened within a pass.
    #[serde(rename = "rise_bytes")]
    pub dirtied_bytes: u64,
    /// Whether more remains than at the sync before that was not within a pass: over a whole pass the copy did not
    /// converge. False for a sync within a pass.
    pub above_previous: bool,
    /// Bytes that the guest dirties a second; `None` before the hypervisor has measured it.
    #[serde(default)]
    pub dirty_rate_bytes_per_second: Option<u64>,
    /// Bytes a second on the link; `None` before the hypervisor has measured it.
    #[serde(default)]
    pub bandwidth_bytes_per_second: Option<u64>,
}

/// The dirty curve of one migration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Convergence {
    latest: Option<(Instant, Statistics)>,
    concluded: bool,
    /// Whether syncs within a pass followed another closely, as in QEMU 11.1 with post-copy allowed: one of those close
    /// to the end of a pass looks as the end does.
    is_read_often: bool,
    syncs: VecDeque<DirtySync>,
    /// The memory that remained at the last sync that was not within a pass.
    pass_began_with_bytes: Option<u64>,
    totals: SyncTotals,
}

impl Convergence {
    /// Takes the numbers of one query; returns the sync that they show, if there was one since the last query. By the
    /// downtime limit in force its kind is derived; `None` where it is not known, or the hypervisor's count of sent pages is
    /// incomplete: kinds that it does not report are unknown then.
    ///
    /// Bounded: constant time and at most [`SYNCS_KEPT`] syncs of memory.
    pub fn observe(
        &mut self,
        now: Instant,
        statistics: &Statistics,
        limit_ms: Option<u64>,
    ) -> Option<DirtySync> {
        let before = self.latest.replace((now, *statistics)).map(|(_, before)| before);
        let iteration_before = before.map_or(0, |before| before.iteration);
        if statistics.iteration <= iteration_before {
            return None;
        }
        let remaining = statistics.memory_remaining_bytes;
        let kind = self.kind(before.as_ref(), statistics, limit_ms);
        let follows_closely = self.syncs.back().is_some_and(|previous| now < previous.at.plus_ms(OFTEN_MS));
        self.is_read_often |= kind.is_within() && follows_closely;
        // The first sync marks the whole memory: that is no regression.
        let is_first = self.syncs.is_empty();
        let dirtied_bytes =
            before.filter(|_| !is_first).map_or(0, |before| statistics.dirtied_bytes_since(&before));
        let above_previous =
            !kind.is_within() && self.pass_began_with_bytes.is_some_and(|began_with| remaining > began_with);
        if !kind.is_within() {
            self.pass_began_with_bytes = Some(remaining);
        }
        let sync = DirtySync {
            at: now,
            iteration: statistics.iteration,
            kind,
            unseen: statistics.iteration - iteration_before - 1,
            memory_remaining_bytes: remaining,
            disk_remaining_bytes: statistics.disk_remaining_bytes,
            dirtied_bytes,
            above_previous,
            dirty_rate_bytes_per_second: statistics.dirty_rate_bytes_per_second(),
            bandwidth_bytes_per_second: statistics.bandwidth_bytes_per_second,
        };
        self.keep(sync);
        Some(sync)
    }

    /// Takes the numbers of a job that has ended. Nothing remains then, which says nothing about the guest: no sync is
    /// made of it.
    pub fn conclude(&mut self, now: Instant, statistics: &Statistics) {
        self.latest = Some((now, *statistics));
        self.concluded = true;
    }

    /// The numbers of the job that ended, if they were reported: measured values, not expected ones.
    #[must_use]
    pub fn concluded(&self) -> Option<Statistics> {
        self.latest.filter(|_| self.concluded).map(|(_, statistics)| statistics)
    }

    /// The last queried numbers, with their instant.
    #[must_use]
    pub fn latest(&self) -> Option<(Instant, Statistics)> {
        self.latest
    }

    /// The syncs that were seen, oldest first, at most [`SYNCS_KEPT`].
    #[must_use]
    pub fn syncs(&self) -> impl DoubleEndedIterator<Item = &DirtySync> + ExactSizeIterator {
        self.syncs.iter()
    }

    /// The totals of all syncs that were seen, those that are no longer kept included.
    #[must_use]
    pub fn totals(&self) -> SyncTotals {
        self.totals
    }

    /// The kind of a sync: the hypervisor's own word, or what two queries prove.
    fn kind(&self, before: Option<&Statistics>, after: &Statistics, limit_ms: Option<u64>) -> SyncKind {
        match (after.sync_kind, before, limit_ms) {
            (SyncKind::Unknown, Some(before), Some(limit_ms)) => {
                let derived = SyncKind::between(before, after, limit_ms);
                if derived.is_end() && self.is_read_often { SyncKind::Unknown } else { derived }
            }
            (reported, ..) => reported,
        }
    }

    fn keep(&mut self, sync: DirtySync) {
        if self.syncs.len() == SYNCS_KEPT {
            self.syncs.pop_front();
        }
        self.syncs.push_back(sync);
        self.totals = self.totals.with(&sync);
    }
}

impl Statistics {
    /// Memory that was found dirty between an earlier query and this one: what remains now and what was sent meanwhile,
    /// less what remained then. Exact however far apart the two queries are.
    #[must_use]
    pub fn dirtied_bytes_since(&self, earlier: &Self) -> u64 {
        let sent = self.pages_sent.saturating_sub(earlier.pages_sent).saturating_mul(self.page_size_bytes);
        self.memory_remaining_bytes.saturating_add(sent).saturating_sub(earlier.memory_remaining_bytes)
    }

    /// The dirty rate in bytes a second; `None` before the hypervisor has measured it.
    #[must_use]
    pub fn dirty_rate_bytes_per_second(&self) -> Option<u64> {
        self.dirty_rate_pages_per_second.map(|pages| pages.saturating_mul(self.page_size_bytes))
    }

    /// Whether the hypervisor has reported the guest's memory: before the copy begins every count is 0, which does not
    /// mean that nothing remains.
    #[must_use]
    pub const fn knows_memory(&self) -> bool {
        self.memory_total_bytes > 0
    }

    /// These numbers without those that the hypervisor cannot have measured yet.
    ///
    /// QEMU measures the dirty rate from one dirty-bitmap sync to the next that is at least a second later, and the
    /// bandwidth over windows of 100 ms. Until then it reports 0, and its downtime limit as the expected downtime; once
    /// a job has ended it reports a dirty rate of 0.
    #[must_use]
    pub fn measured(self, has_ended: bool) -> Self {
        let is_early = self.elapsed_ms < FIRST_RATE_MS;
        let no_rate = has_ended || is_early || self.iteration < 2;
        let no_bandwidth = has_ended || is_early || self.memory_sent_bytes == 0;
        let dirty_rate_pages_per_second =
            self.dirty_rate_pages_per_second.filter(|rate| *rate > 0 || !no_rate);
        let has_rate = dirty_rate_pages_per_second.is_some_and(|rate| rate > 0);
        Self {
            dirty_rate_pages_per_second,
            bandwidth_bytes_per_second: self
                .bandwidth_bytes_per_second
                .filter(|rate| *rate > 0 || !no_bandwidth),
            downtime_ms: self.downtime_ms.filter(|_| has_ended || has_rate),
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(iteration: u64, remaining: u64) -> Statistics {
        Statistics {
            iteration,
            memory_remaining_bytes: remaining,
            page_size_bytes: 4096,
            ..Statistics::default()
        }
    }

    #[test]
    fn rises_are_kept_and_marks_leave_out_the_first_pass() {
        let mut curve = Convergence::default();
        let looks = [(1, 1000), (1, 100), (2, 400), (2, 50), (3, 600), (3, 20), (4, 30)];
        let syncs: std::vec::Vec<_> = looks
            .iter()
            .filter_map(|&(iteration, remaining)| {
                curve.observe(Instant::BEGIN, &look(iteration, remaining), None)
            })
            .collect();
        assert_eq!(syncs.len(), 4);
        assert_eq!(
            syncs.iter().map(|sync| sync.dirtied_bytes).collect::<std::vec::Vec<_>>(),
            [0, 300, 550, 10]
        );
        let totals = curve.totals();
        assert_eq!((totals.syncs_seen, totals.syncs_unseen, totals.regressions), (4, 0, 3));
        assert_eq!(totals.non_converging_syncs, 1, "only the third sync lies above the one before");
        assert_eq!((totals.low_water_bytes, totals.high_water_bytes), (Some(30), Some(600)));
    }

    fn of_kind(iteration: u64, remaining: u64, sync_kind: SyncKind) -> Statistics {
        Statistics { sync_kind, ..look(iteration, remaining) }
    }

    #[test]
    fn a_sync_within_a_pass_is_no_regression_and_no_mark() {
        let mut curve = Convergence::default();
        let mut take = |statistics: Statistics| curve.observe(Instant::BEGIN, &statistics, None);
        take(of_kind(1, 1000, SyncKind::Unknown));
        let within = take(of_kind(2, 1200, SyncKind::Within)).unwrap();
        assert_eq!((within.dirtied_bytes, within.above_previous), (200, false));
        let end = take(of_kind(3, 500, SyncKind::End)).unwrap();
        assert!(!end.above_previous, "the setup's sync had 1000");
        take(of_kind(4, 20, SyncKind::Within));
        let above = take(of_kind(5, 600, SyncKind::End)).unwrap();
        assert!(above.above_previous, "the end of the pass before had 500, whatever was seen in between");
        let totals = curve.totals();
        assert_eq!((totals.low_water_bytes, totals.high_water_bytes), (Some(500), Some(600)));
        assert_eq!((totals.regressions, totals.non_converging_syncs), (1, 1), "{totals:?}");
        assert_eq!((totals.syncs_seen, totals.syncs_within_pass), (5, 2));
    }

    #[test]
    fn the_kind_is_derived_where_the_limit_is_known() {
        let at = |iteration, remaining_mib: u64, pages_sent| Statistics {
            bandwidth_bytes_per_second: Some(100 << 20),
            pages_sent,
            ..look(iteration, remaining_mib << 20)
        };
        let kind = |limit_ms, then: Statistics, now: Statistics| {
            let mut curve = Convergence::default();
            curve.observe(Instant::BEGIN, &then, limit_ms);
            curve.observe(Instant::BEGIN, &now, limit_ms).unwrap().kind
        };
        assert_eq!(kind(Some(300), at(1, 800, 0), at(2, 810, 256)), SyncKind::Within);
        assert_eq!(kind(Some(300), at(1, 20, 0), at(2, 400, 256)), SyncKind::End);
        assert_eq!(kind(None, at(1, 800, 0), at(2, 810, 256)), SyncKind::Unknown);
        // Where the bitmap is read often, what looks like the end of a pass may be a sync just before it.
        let mut curve = Convergence::default();
        let often = [at(1, 800, 0), at(2, 810, 256), at(3, 20, 256 * 780), at(4, 400, 256 * 781)];
        let kinds = often.map(|numbers| curve.observe(Instant::BEGIN, &numbers, Some(300)).unwrap().kind);
        let [unknown, within] = [SyncKind::Unknown, SyncKind::Within];
        assert_eq!(kinds, [unknown, within, unknown, unknown]);
        // The hypervisor's own word counts.
        let reported = Statistics { sync_kind: SyncKind::End, ..at(2, 810, 256) };
        assert_eq!(kind(Some(300), at(1, 800, 0), reported), SyncKind::End);
    }

    #[test]
    fn a_rise_is_exact_although_the_looks_are_far_apart() {
        let mut curve = Convergence::default();
        curve.observe(Instant::BEGIN, &look(1, 40_960), None);
        // Between the queries all ten pages were sent, three were found dirty, and one of those was sent.
        let later = Statistics { pages_sent: 11, ..look(2, 2 * 4096) };
        assert_eq!(curve.observe(Instant::BEGIN, &later, None).unwrap().dirtied_bytes, 3 * 4096);
    }

    #[test]
    fn syncs_between_two_looks_are_counted_as_unseen() {
        let mut curve = Convergence::default();
        curve.observe(Instant::BEGIN, &look(1, 10), None);
        let sync = curve.observe(Instant::BEGIN, &look(5, 8), None).unwrap();
        assert_eq!(sync.unseen, 3);
        assert_eq!(curve.totals().syncs_unseen, 3);
    }

    #[test]
    fn what_was_not_measured_yet_is_absent_and_a_measured_zero_is_kept() {
        let reported = Statistics {
            elapsed_ms: 5_000,
            memory_sent_bytes: 1 << 30,
            dirty_rate_pages_per_second: Some(0),
            bandwidth_bytes_per_second: Some(0),
            downtime_ms: Some(300),
            ..look(1, 1 << 20)
        };
        let first_pass = reported.measured(false);
        assert_eq!((first_pass.dirty_rate_pages_per_second, first_pass.downtime_ms), (None, None));
        assert_eq!(first_pass.bandwidth_bytes_per_second, Some(0), "a link that stalls has no bandwidth");
        let stopped = Statistics { iteration: 3, ..reported }.measured(false);
        assert_eq!((stopped.dirty_rate_pages_per_second, stopped.downtime_ms), (Some(0), None));
        let busy = Statistics { dirty_rate_pages_per_second: Some(7), iteration: 3, ..reported };
        assert_eq!(busy.measured(false), busy);
        let ended = reported.measured(true);
        assert_eq!((ended.dirty_rate_pages_per_second, ended.downtime_ms), (None, Some(300)));
        let early = Statistics { elapsed_ms: 99, iteration: 3, ..reported }.measured(false);
        assert_eq!((early.dirty_rate_pages_per_second, early.bandwidth_bytes_per_second), (None, None));
    }

    #[test]
    fn numbers_of_an_older_journal_are_read() {
        let written = serde_json::to_value(look(2, 7)).unwrap();
        let mut older = written.clone();
        older["dirty_rate_pages_per_second"] = 11.into();
        older["bandwidth_bytes_per_second"] = 0.into();
        older.as_object_mut().unwrap().remove("sync_kind").unwrap();
        let read: Statistics = serde_json::from_value(older).unwrap();
        assert_eq!((read.dirty_rate_pages_per_second, read.sync_kind), (Some(11), SyncKind::Unknown));
        let read: Statistics = serde_json::from_value(written).unwrap();
        assert_eq!(read, look(2, 7));
    }

    #[test]
    fn memory_of_syncs_is_bounded_and_totals_are_of_all() {
        let mut curve = Convergence::default();
        for iteration in 1..=2 * SYNCS_KEPT as u64 {
            curve.observe(Instant::BEGIN, &look(iteration, iteration), None);
        }
        assert_eq!(curve.syncs().len(), SYNCS_KEPT);
        assert_eq!(curve.totals().syncs_seen, 2 * SYNCS_KEPT as u64);
        assert_eq!(curve.totals().low_water_bytes, Some(2));
    }
}
