//! QEMU's trace of a migration, as its log backend writes it: syncs of the dirty bitmap, rate windows, the stop.
//!
//! `stamp` has the forms of a line. Whatever else is in the log is passed over, but an event
//! that was requested and cannot be parsed must be an error: a recording with a hole is no recording.

use std::fmt;

use super::stamp::traced;

/// The events that are enabled in QEMU. One that a version does not have is only warned about.
pub(crate) const EVENTS: [&str; 9] = [
    "migration_bitmap_sync_start",
    "migration_bitmap_sync_end",
    "migrate_transferred",
    "migrate_pending",
    "migrate_pending_estimate",
    "migrate_pending_exact",
    "migration_throttle",
    "qemu_savevm_query_pending",
    "runstate_set",
];

/// QEMU restarts its count of newly dirty pages at a sync more than this after the one at which it did so before
/// (`migration_bitmap_sync` in its `ram.c`).
const COUNTS_ANEW_US: u64 = 1_000_000;
/// It measures that in whole ms, and an instant later than the trace: closer than this it may have gone either way.
const UNSURE_US: u64 = 2_000;

/// What happened, in microseconds since the epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Course {
    /// Every sync.
    pub(crate) syncs: Vec<Sync>,
    /// Every rate window that ended.
    pub(crate) windows: Vec<Window>,
    /// When the guest was stopped for the switchover.
    pub(crate) stops: Vec<u64>,
    /// When the throttle was raised.
    pub(crate) throttles: Vec<u64>,
}

/// A sync of the dirty bitmap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sync {
    pub(crate) start_us: u64,
    pub(crate) end_us: u64,
    /// Newly dirty pages since QEMU last restarted its count, as QEMU reports them.
    pub(crate) counted: u64,
    /// Bytes left to send after the sync, where QEMU says it.
    pub(crate) remaining: Option<u64>,
}

/// A rate window, some 100 ms long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) end_us: u64,
    pub(crate) sent_bytes: u64,
    pub(crate) length_ms: u64,
    /// Bytes that QEMU believes it could send within the downtime limit: the threshold for the switchover.
    pub(crate) threshold_bytes: u64,
}

/// A requested event that is not in the expected form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TraceError {
    line: String,
}

impl fmt::Display for TraceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a line of QEMU's trace has another form than those of QEMU 5.2 to 11.1: `{}`", self.line)
    }
}

impl Course {
    /// Reads a log.
    pub(crate) fn read(log: &str) -> Result<Self, TraceError> {
        let mut course = Self::default();
        let mut started = None;
        for line in log.lines() {
            if let Some((at_us, event, arguments)) = traced(line) {
                course
                    .take(at_us, event, arguments, &mut started)
                    .ok_or_else(|| TraceError { line: line.to_owned() })?;
            }
        }
        Ok(course)
    }

    /// What had happened by then.
    #[must_use]
    pub(crate) fn until(mut self, us: u64) -> Self {
        self.syncs.retain(|sync| sync.end_us <= us);
        self.windows.retain(|window| window.end_us <= us);
        self.stops.retain(|at| *at <= us);
        self.throttles.retain(|at| *at <= us);
        self
    }

    /// The start of the first sync, from which the others are counted.
    pub(crate) fn origin_us(&self) -> Option<u64> {
        self.syncs.first().map(|sync| sync.start_us)
    }

    /// When the throttle was raised to what was seen at some moment; that moment itself where the trace has nothing.
    pub(crate) fn throttled_at(&self, seen_us: u64) -> u64 {
        self.throttles.iter().copied().filter(|at| *at <= seen_us).max().unwrap_or(seen_us)
    }

    /// Newly dirty pages of each sync alone. None where it is unknown whether QEMU had restarted its count.
    pub(crate) fn sync_pages(&self) -> Vec<Option<u64>> {
        // What QEMU had counted when the last sync was over; none when that is not known.
        let mut before = Some(0);
        // When it last restarted its count; the first sync is its beginning.
        let mut restart_us = self.origin_us();
        let mut pages = Vec::with_capacity(self.syncs.len());
        for (sync, next) in self.syncs.iter().zip(self.syncs.iter().skip(1).map(Some).chain([None])) {
            pages.push(before.and_then(|before| sync.counted.checked_sub(before)));
            // A count that falls was restarted, whatever the clocks say.
            let fell = next.is_some_and(|next| next.counted < sync.counted);
            let since = restart_us.map(|restart_us| sync.end_us.saturating_sub(restart_us));
            match since {
                _ if fell => (before, restart_us) = (Some(0), Some(sync.end_us)),
                Some(since) if since > COUNTS_ANEW_US + UNSURE_US => {
                    (before, restart_us) = (Some(0), Some(sync.end_us));
                }
                Some(since) if since <= COUNTS_ANEW_US.saturating_sub(UNSURE_US) => {
                    before = Some(sync.counted);
                }
                _ => (before, restart_us) = (None, None),
            }
        }
        pages
    }

    fn take(&mut self, at_us: u64, event: &str, arguments: &str, started: &mut Option<u64>) -> Option<()> {
        match event {
            "migration_bitmap_sync_start" => *started = Some(at_us),
            "migration_bitmap_sync_end" => {
                let counted = number_after(arguments, "dirty_pages ")?;
                self.syncs.push(Sync { start_us: started.take()?, end_us: at_us, counted, remaining: None });
            }
            "migrate_transferred" => self.windows.push(Window {
                end_us: at_us,
                sent_bytes: number_after(arguments, "transferred ")?,
                length_ms: number_after(arguments, "time_spent ")?,
                threshold_bytes: number_after(arguments, "max_size ")?,
            }),
            // Since QEMU 8.0 a sync is followed by the exact size if it was made for that, else by an estimate: the first
            // of them is the size after the sync. QEMU 11.1 has one event for both.
            "migrate_pending"
            | "migrate_pending_estimate"
            | "migrate_pending_exact"
            | "qemu_savevm_query_pending" => {
                let words = if event == "qemu_savevm_query_pending" { "total=" } else { "pending size " };
                let left = number_after(arguments, words)?;
                if let Some(sync) = self.syncs.last_mut() {
                    sync.remaining.get_or_insert(left);
                }
            }
            "migration_throttle" => self.throttles.push(at_us),
            "runstate_set" => {
                let (_, new) = arguments.split_once("new_state ")?;
                if new.contains("(finish-migrate)") {
                    self.stops.push(at_us);
                }
            }
            _ => {}
        }
        Some(())
    }
}

fn number_after(text: &str, words: &str) -> Option<u64> {
    // At the beginning of a word, so that `time_spent` is not found in another name that ends with it.
    let at = if let Some(rest) = text.strip_prefix(words) {
        rest
    } else {
        text.split_once(&format!(" {words}"))?.1
    };
    at.split([' ', ',']).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "\
2026-11-24 16:00:00.000+0000: starting up libvirt version: 9.0.0
18437@1795538402.136046:runstate_set current_run_state 6 (prelaunch) new_state 9 (running)
18448@1795538404.212649:migration_bitmap_sync_start\x20
18448@1795538404.212793:migration_bitmap_sync_end dirty_pages 0
18448@1795538404.212866:migrate_pending pending size 537403392 max 0 (pre = 537403392 compat=0 post=0)
18448@1795538404.312695:migrate_transferred transferred 10489640 time_spent 100 bandwidth 104896 max_size 10489640
18448@1795538404.312726:migrate_pending pending size 510345216 max 10489640 (pre = 510345216 compat=0 post=0)
18448@1795538407.814427:migration_bitmap_sync_start\x20
18448@1795538407.814521:migration_bitmap_sync_end dirty_pages 9767
18448@1795538407.814547:runstate_set current_run_state 9 (running) new_state 7 (finish-migrate)
18448@1795538407.914256:migration_bitmap_sync_start\x20
18448@1795538407.914360:migration_bitmap_sync_end dirty_pages 960
18448@1795538408.019876:runstate_set current_run_state 7 (finish-migrate) new_state 5 (postmigrate)
";

    #[test]
    fn a_trace_is_read() {
        let course = Course::read(LOG).unwrap();
        let rows: Vec<_> =
            course.syncs.iter().map(|sync| (sync.end_us - sync.start_us, sync.counted)).collect();
        assert_eq!(rows, [(144, 0), (94, 9767), (104, 960)]);
        let left: Vec<_> = course.syncs.iter().map(|sync| sync.remaining).collect();
        assert_eq!(left, [Some(537_403_392), None, None]);
        assert_eq!(course.origin_us(), Some(1_795_538_404_212_649));
        let window = Window {
            end_us: 1_795_538_404_312_695,
            sent_bytes: 10_489_640,
            length_ms: 100,
            threshold_bytes: 10_489_640,
        };
        assert_eq!((course.windows, course.stops), (vec![window], vec![1_795_538_407_814_547]));
    }

    /// Of QEMU 11.1, and some of its events as QEMU 10.0 writes them.
    const NEWER: &str = "\
2026-11-30T13:41:24.592445Z qemu-system-x86_64: warning: trace event 'migrate_pending' does not exist
2026-11-30T13:41:54.116611Z migration_bitmap_sync_start\x20
2026-11-30T13:41:54.126540Z migration_bitmap_sync_end dirty_pages 0
2026-11-30T13:41:54.126610Z qemu_savevm_query_pending exact=0, final=0, precopy=67641344, stopcopy=0, postcopy=0, total=67641344, collected switchover ack pending=0, total switchover ack pending=0
2026-11-30T13:41:54.184376Z qemu_savevm_query_pending exact=0, final=0, precopy=28839936, stopcopy=0, postcopy=0, total=28839936, collected switchover ack pending=0, total switchover ack pending=0
2026-11-30T13:41:54.216611Z migrate_transferred transferred 9402067 time_spent 120 bandwidth 78350 switchover_bw 78350 max_size 7835055
2026-11-30T13:41:54.244068Z migration_bitmap_sync_start\x20
2026-11-30T13:41:54.244162Z migration_bitmap_sync_end dirty_pages 4
2026-11-30T13:41:54.244169Z migrate_pending_exact exact pending size 16384 (pre = 16384 post=0)
2026-11-30T13:41:54.244199Z migrate_pending_estimate estimate pending size 0 (pre = 0 post=0)
2026-11-30T13:41:54.244250Z runstate_set current_run_state 9 (running) new_state 7 (finish-migrate)
";

    #[test]
    fn a_trace_of_a_newer_qemu_is_read() {
        let course = Course::read(NEWER).unwrap();
        let rows: Vec<_> = course
            .syncs
            .iter()
            .map(|sync| (sync.end_us - sync.start_us, sync.counted, sync.remaining))
            .collect();
        assert_eq!(rows, [(9929, 0, Some(67_641_344)), (94, 4, Some(16_384))]);
        let origin_us = course.origin_us().unwrap();
        let since: Vec<u64> = course.stops.iter().map(|at| at - origin_us).collect();
        assert_eq!(
            (course.windows.len(), course.windows[0].threshold_bytes, since),
            (1, 7_835_055, vec![127_639])
        );
        let error = Course::read(&NEWER.replace("total=67641344,", "sum=67641344,")).unwrap_err().to_string();
        assert!(error.contains("another form"), "{error}");
    }

    #[test]
    fn what_came_later_can_be_left_out() {
        let course = Course::read(LOG).unwrap().until(1_795_538_407_900_000);
        assert_eq!((course.syncs.len(), course.windows.len(), course.stops.len()), (2, 1, 1));
        let course = course.until(1_795_538_404_212_793);
        assert_eq!((course.syncs.len(), course.windows.len(), course.stops.len()), (1, 0, 0));
    }

    #[test]
    fn an_event_in_another_form_is_an_error() {
        for (from, to) in [
            ("dirty_pages 9767", "pages 9767"),
            ("time_spent 100", "time_spent x"),
            ("pending size 510345216", "pending 510345216"),
            ("new_state 7 (finish-migrate)", "finish-migrate"),
            ("18448@1795538404.212649:migration_bitmap_sync_start \n", ""),
        ] {
            let error = Course::read(&LOG.replace(from, to)).unwrap_err().to_string();
            assert!(error.contains("another form"), "{from}: {error}");
        }
    }

    fn pages(syncs: &[(u64, u64)]) -> Vec<Option<u64>> {
        let sync = |&(ms, counted): &(u64, u64)| Sync {
            start_us: 5_000_000 + ms * 1000,
            end_us: 5_000_000 + ms * 1000,
            counted,
            remaining: None,
        };
        Course { syncs: syncs.iter().map(sync).collect(), ..Course::default() }.sync_pages()
    }

    #[test]
    fn the_pages_of_one_sync_are_the_growth_of_the_count() {
        assert_eq!(pages(&[(0, 0), (400, 10), (900, 25), (901, 25)]), [Some(0), Some(10), Some(15), Some(0)]);
    }

    #[test]
    fn a_count_restarts_a_second_later() {
        let syncs = [(0, 0), (2600, 50), (3000, 60), (3700, 70), (3900, 15)];
        assert_eq!(pages(&syncs), [Some(0), Some(50), Some(60), Some(10), Some(15)]);
    }

    #[test]
    fn what_cannot_be_told_is_not_guessed_until_a_count_falls() {
        let syncs = [(0, 0), (1000, 50), (1100, 60), (1200, 70), (2100, 90), (2200, 5), (2300, 8)];
        assert_eq!(pages(&syncs), [Some(0), Some(50), None, None, None, Some(5), Some(3)]);
    }
}
