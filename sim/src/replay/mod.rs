//! A recorded migration driven through the loop's own rules: its counts in, the same bytes and pages out.
//!
//! What chance and the host decided is taken from the record: how long each window was, how often its sending was
//! interrupted, how many pages the guest dirtied. The loop's own decisions are computed again: the bytes of a window
//! whose budget was spent, the threshold, where a sync had to happen, and what remained then.
//!
//! What a record does not determine stays unsaid, never guessed:
//! * the pages of single windows of the first pass, where zero pages and setup bytes are mixed in;
//! * what remained at a sync inside a window, after an unknown part of the window's pages: only a sync that the loop
//!   had to make before sending anything is at a known place;
//! * whether the count of dirty pages was restarted at a sync within a millisecond of the period's end.
//!   [`Replay::unaccounted_pages`] shows when that went wrong.

use crate::guest::PAGE_BYTES;

const NORMAL_BYTES: u64 = 8 + PAGE_BYTES;
const ZERO_BYTES: u64 = 9;
/// Section header, end mark and footer of one burst.
const FRAME_BYTES: u64 = 18;
/// Names of all memory blocks, sent once each in the first pass; the main memory's again after it makes no difference.
const NAMES_BYTES: u64 = 84;
/// More bursts than this in one window would mean bytes that are not bursts.
const MAX_BURSTS: u64 = 40;
/// Setup sections and the bursts of windows with zero pages, which cannot be recognised by their bytes, stay below
/// this.
const MAX_SETUP_BYTES: u64 = 1024;
/// QEMU restarts its count of dirty pages at a sync more than this after the last restart.
const PERIOD_US: u64 = 1_000_000;

/// One recorded bitmap sync.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordedSync {
    /// Since the first sync.
    pub at_us: u64,
    /// How long it took.
    pub duration_us: u64,
    /// Newly dirty pages as QEMU traces them: a sum since the last restart of the period, not since the last sync.
    pub period_pages: u64,
}

/// One recorded rate window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordedWindow {
    /// Bytes on the wire.
    pub bytes: u64,
    /// Length as QEMU took it.
    pub length_ms: u64,
    /// Its end since the first sync.
    pub ended_us: u64,
}

/// A recorded pre-copy migration, without compression or several channels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recording {
    /// Limit in bytes a second; zero means none.
    pub max_bandwidth_bytes_per_second: u64,
    /// The downtime limit.
    pub downtime_limit_ms: u64,
    /// Pages of all memory blocks.
    pub total_pages: u64,
    /// Pages sent with content, over all.
    pub normal_pages: u64,
    /// Zero pages sent, over all.
    pub zero_pages: u64,
    /// Pages still dirty at the end: zero when completed.
    pub remaining_pages: u64,
    /// Every sync in order of time.
    pub syncs: Vec<RecordedSync>,
    /// Every whole window in order of time.
    pub windows: Vec<RecordedWindow>,
}

/// What the loop makes of a recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replay {
    /// As many as were recorded.
    pub syncs: Vec<ReplayedSync>,
    /// As many as were recorded.
    pub windows: Vec<ReplayedWindow>,
    /// Pages that were dirtied less pages that were sent or remain. Anything but zero means that a period's restart was
    /// missed or invented, and that what remained at syncs is off by as much.
    pub unaccounted_pages: i128,
}

/// One sync, replayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplayedSync {
    /// Pages that were clean at this sync and are dirty from here on.
    pub newly_dirty_pages: u64,
    /// Pages to be sent from here on, where the record determines them.
    pub remaining_pages: Option<u64>,
}

/// One window, replayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplayedWindow {
    /// Bytes on the wire.
    pub bytes: u64,
    /// Whether the loop's budget rule gave them; otherwise the host was too slow or the pages ran out, and they are the
    /// recorded bytes.
    pub budget_spent: bool,
    /// Pages sent until the end of this window since the start, where the record determines them.
    pub sent_pages: Option<u64>,
    /// The switchover starts once less remains, from this window's end on.
    pub threshold_bytes: u64,
}

impl Recording {
    /// Drives the recording through the loop.
    #[must_use]
    pub fn replay(&self) -> Replay {
        let newly_dirty = self.newly_dirty_pages();
        let windows = self.replay_windows();
        let dirtied =
            i128::from(self.total_pages) + newly_dirty.iter().copied().map(i128::from).sum::<i128>();
        let left = [self.normal_pages, self.zero_pages, self.remaining_pages].map(i128::from);
        Replay {
            syncs: self.replay_syncs(&newly_dirty, &windows),
            unaccounted_pages: dirtied - left.iter().sum::<i128>(),
            windows,
        }
    }

    /// Undoes the summing over periods.
    fn newly_dirty_pages(&self) -> Vec<u64> {
        let (mut counted, mut restarted_us) = (0, 0);
        let newly_dirty = |sync: &RecordedSync| {
            // A count that fell was restarted, whatever the clocks of the record say.
            let pages = sync.period_pages.checked_sub(counted).unwrap_or(sync.period_pages);
            let ended_us = sync.at_us.saturating_add(sync.duration_us);
            counted = sync.period_pages;
            if ended_us.saturating_sub(restarted_us) > PERIOD_US {
                (counted, restarted_us) = (0, ended_us);
            }
            pages
        };
        self.syncs.iter().map(newly_dirty).collect()
    }

    fn replay_windows(&self) -> Vec<ReplayedWindow> {
        let first_pass_ended_us = self.syncs.get(1).map_or(u64::MAX, |sync| sync.at_us);
        let fixed_bytes = NAMES_BYTES + self.zero_pages.saturating_mul(ZERO_BYTES);
        let (mut page_bytes, mut first_pass_over) = (0_u64, false);
        let replayed = |window: &RecordedWindow| {
            let started_us = window.ended_us.saturating_sub(window.length_ms.saturating_mul(1000));
            let bursts = bursts(window.bytes);
            page_bytes = page_bytes.saturating_add(window.bytes - bursts.unwrap_or(0) * FRAME_BYTES);
            // The zero pages that the first pass left over are sent right after its sync; a window of nothing but whole
            // pages comes after them.
            first_pass_over |= started_us >= first_pass_ended_us && bursts.is_some();
            let bytes =
                bursts.and_then(|bursts| self.budget_bytes(bursts)).filter(|bytes| *bytes == window.bytes);
            let threshold = u128::from(window.bytes) * u128::from(self.downtime_limit_ms);
            let threshold = threshold / u128::from(window.length_ms.max(1));
            let sent = page_bytes
                .checked_sub(fixed_bytes)
                .filter(|bytes| first_pass_over && bytes % NORMAL_BYTES < MAX_SETUP_BYTES);
            ReplayedWindow {
                bytes: bytes.unwrap_or(window.bytes),
                budget_spent: bytes.is_some(),
                sent_pages: sent.map(|bytes| (bytes / NORMAL_BYTES).saturating_add(self.zero_pages)),
                threshold_bytes: u64::try_from(threshold).unwrap_or(u64::MAX),
            }
        };
        self.windows.iter().map(replayed).collect()
    }

    /// Bytes of a window of whole pages whose budget was spent in this many bursts: pages go until it is exceeded.
    fn budget_bytes(&self, bursts: u64) -> Option<u64> {
        let budget_bytes = self.max_bandwidth_bytes_per_second.checked_div(10).filter(|bytes| *bytes > 0)?;
        let pages = budget_bytes.checked_sub(bursts * FRAME_BYTES)? / NORMAL_BYTES + 1;
        Some(pages * NORMAL_BYTES + bursts * FRAME_BYTES)
    }

    fn replay_syncs(&self, newly_dirty: &[u64], windows: &[ReplayedWindow]) -> Vec<ReplayedSync> {
        let mut dirtied = self.total_pages;
        let mut replayed: Vec<ReplayedSync> = Vec::new();
        let mut last_window = None;
        for (sync, newly_dirty_pages) in self.syncs.iter().zip(newly_dirty) {
            // A window ends, in the record, up to a millisecond after the sync that follows it.
            let after = |window: &&RecordedWindow| window.ended_us <= sync.at_us.saturating_add(1000);
            let ended = self.windows.iter().take_while(after).count();
            let window = ended.checked_sub(1).and_then(|index| windows.get(index));
            let threshold_pages = window.map_or(0, |window| window.threshold_bytes.div_ceil(PAGE_BYTES));
            let before = match (replayed.last(), window) {
                (None, _) => Some(self.total_pages),
                // The second sync since the window opened, and the first left too little to send.
                (Some(last), _) if last_window == Some(ended) => {
                    last.remaining_pages.filter(|pages| *pages < threshold_pages)
                }
                (Some(_), window) => window.and_then(|window| dirtied.checked_sub(window.sent_pages?)),
            };
            let at_known_place = before.filter(|pages| replayed.is_empty() || *pages < threshold_pages);
            dirtied = dirtied.saturating_add(*newly_dirty_pages);
            last_window = Some(ended);
            let remaining_pages = at_known_place.map(|pages| pages.saturating_add(*newly_dirty_pages));
            replayed.push(ReplayedSync { newly_dirty_pages: *newly_dirty_pages, remaining_pages });
        }
        replayed
    }
}

/// Number of bursts of a window that carried nothing but pages with content.
fn bursts(bytes: u64) -> Option<u64> {
    let frames = bytes % NORMAL_BYTES;
    let bursts = frames / FRAME_BYTES;
    (frames.is_multiple_of(FRAME_BYTES) && (1..=MAX_BURSTS).contains(&bursts)).then_some(bursts)
}
