//! Pages onto the link: what they cost in time and bytes, and when a burst has to stop.
//!
//! A page is sent at the instant its last byte leaves, whole or not at all; that makes the result
//! independent of how finely the caller steps time.

use super::ram::{Batch, NORMAL_BYTES, Ram, ZERO_BYTES};
use super::step::Burst;

/// A burst gives the loop a chance to look around after this long.
const MAX_BURST_NS: u64 = 50_000_000;
/// The clock is looked at before the first page and then every so many pages.
const PAGES_PER_CLOCK_CHECK: u64 = 64;
const NS_PER_S: u64 = 1_000_000_000;

/// The speed of the link and what follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    bytes_per_second: u64,
    normal_page_ns: u64,
    zero_page_ns: u64,
}

impl Link {
    /// A link of so many bytes a second (zero: cut) on a host that needs `zero_page_scan_ns` to see that a
    /// page is zero.
    pub(crate) fn new(bytes_per_second: u64, zero_page_scan_ns: u64) -> Self {
        let mut link = Self { bytes_per_second, normal_page_ns: 0, zero_page_ns: 0 };
        link.normal_page_ns = link.wire_ns(NORMAL_BYTES);
        link.zero_page_ns = link.wire_ns(ZERO_BYTES).saturating_add(zero_page_scan_ns);
        link
    }

    /// Capacity; zero when cut.
    pub(crate) fn bytes_per_second(&self) -> u64 {
        self.bytes_per_second
    }

    /// Whether nothing gets through.
    pub(crate) fn is_cut(&self) -> bool {
        self.bytes_per_second == 0
    }

    /// Time for some bytes, rounded up to a nanosecond.
    fn wire_ns(&self, bytes: u64) -> u64 {
        let byte_ns = u128::from(bytes) * u128::from(NS_PER_S);
        let ns = byte_ns.div_ceil(u128::from(self.bytes_per_second.max(1)));
        u64::try_from(ns).unwrap_or(u64::MAX)
    }

    /// Time for a batch and the frame before it. The price is additive page by page, so it does not matter
    /// whether pages go one by one or by the word.
    fn batch_ns(&self, batch: &Batch, frame_bytes: u64) -> u64 {
        let extra_bytes = batch.name_bytes + frame_bytes;
        let extra_ns = if extra_bytes == 0 { 0 } else { self.wire_ns(extra_bytes) };
        self.pages_ns(batch.normal_pages, batch.zero_pages).saturating_add(extra_ns)
    }

    fn pages_ns(&self, normal_pages: u64, zero_pages: u64) -> u64 {
        let normal_ns = normal_pages.saturating_mul(self.normal_page_ns);
        normal_ns.saturating_add(zero_pages.saturating_mul(self.zero_page_ns))
    }
}

/// Bytes sent, counted the two ways in which QEMU counts them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ByteCounts {
    /// Everything on the wire since the first page; budget and bandwidth are measured in these.
    pub(crate) wire: u64,
    /// The wire bytes of the current window.
    pub(crate) in_window: u64,
    /// The statistics' count: pages, headers, block names and end marks.
    pub(crate) transferred: u64,
}

impl ByteCounts {
    /// Counts bytes that go out; `transferred` of them show in the statistics.
    pub(crate) fn add(&mut self, wire: u64, transferred: u64) {
        self.wire += wire;
        self.in_window += wire;
        self.transferred += transferred;
    }
}

/// The rules a burst obeys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Bytes a window may carry before sending stops; the page that crosses it still goes.
    pub(crate) window_budget_bytes: u64,
    /// Whether the burst ends after 50 ms.
    pub(crate) gives_way: bool,
}

impl Limits {
    /// The last pass: nothing but the link limits it.
    pub(crate) const NONE: Self = Self { window_budget_bytes: u64::MAX, gives_way: false };
}

/// Everything that sending touches.
#[derive(Debug)]
pub(crate) struct Transfer<'a> {
    pub(crate) ram: &'a mut Ram,
    pub(crate) bytes: &'a mut ByteCounts,
    pub(crate) clock_ns: &'a mut u64,
    pub(crate) link: Link,
}

impl Transfer<'_> {
    /// Sends until `target_ns`, a limit, or the last dirty page. Returns whether the burst is over; if not,
    /// time has run out or the link is cut.
    pub(crate) fn run(&mut self, burst: &mut Burst, limits: Limits, target_ns: u64) -> bool {
        while let Some(batch) = self.ram.next_batch() {
            if self.bytes.in_window > limits.window_budget_bytes {
                return true;
            }
            if self.link.is_cut() {
                return false;
            }
            if self.fits(&batch, burst, limits, target_ns) {
                self.commit(batch, burst);
                continue;
            }
            // A limit strikes within this word: go page by page and ask after each.
            let page = self.ram.first_of(batch);
            let done_ns = self.clock_ns.saturating_add(self.link.batch_ns(&page, burst.frame_bytes));
            if done_ns > target_ns {
                return false;
            }
            let looks_at_clock = burst.pages.is_multiple_of(PAGES_PER_CLOCK_CHECK);
            self.commit(page, burst);
            let waited_ns = self.clock_ns.saturating_sub(burst.started_ns);
            if limits.gives_way && looks_at_clock && waited_ns > MAX_BURST_NS {
                return true;
            }
        }
        true
    }

    /// Whether no limit can strike before the whole batch is sent.
    fn fits(&self, batch: &Batch, burst: &Burst, limits: Limits, target_ns: u64) -> bool {
        let done_ns = self.clock_ns.saturating_add(self.link.batch_ns(batch, burst.frame_bytes));
        let in_window = self.bytes.in_window + batch.bytes() + burst.frame_bytes;
        let waited_ns = done_ns.saturating_sub(burst.started_ns);
        done_ns <= target_ns
            && in_window <= limits.window_budget_bytes
            && (!limits.gives_way || waited_ns <= MAX_BURST_NS)
    }

    fn commit(&mut self, batch: Batch, burst: &mut Burst) {
        *self.clock_ns = self.clock_ns.saturating_add(self.link.batch_ns(&batch, burst.frame_bytes));
        self.bytes.add(batch.bytes() + burst.frame_bytes, batch.bytes());
        burst.pages += batch.pages();
        burst.frame_bytes = 0;
        self.ram.sent(batch);
    }
}

/// An instant before which a burst cannot end, later than the caller's present; none while the link is cut.
/// With nothing but pages of one kind ahead it is the end itself.
pub(crate) fn burst_end_not_before(
    ram: &Ram,
    bytes: &ByteCounts,
    link: &Link,
    (clock_ns, burst, limits): (u64, &Burst, Limits),
) -> Option<u64> {
    if link.is_cut() {
        return None;
    }
    let zero_pages = ram.dirty_zero_pages();
    let drained_ns = link.pages_ns(ram.dirty_pages() - zero_pages, zero_pages);
    let budget_bytes = limits.window_budget_bytes.saturating_sub(bytes.in_window);
    let spent_ns = u128::from(budget_bytes) * u128::from(NS_PER_S) / u128::from(link.bytes_per_second);
    let mut earliest_ns = drained_ns.min(u64::try_from(spent_ns).unwrap_or(u64::MAX));
    if limits.gives_way {
        let waited_ns = clock_ns.saturating_sub(burst.started_ns);
        earliest_ns = earliest_ns.min(MAX_BURST_NS.saturating_sub(waited_ns));
    }
    // Nothing can happen before the page in flight is through, and that is always later than the present.
    let page = ram.next_batch().map(|batch| ram.first_of(batch));
    let page_ns = page.map_or(0, |page| link.batch_ns(&page, burst.frame_bytes));
    Some(clock_ns.saturating_add(earliest_ns.max(page_ns)))
}
