//! What pages cost on the link in bytes and time, and how far one burst gets over pages that all cost the same.
//!
//! Whoever sends works with runs of equal pages, so that everything here is division, never a step for each page.

use super::host::HostConstants;
use super::step::Burst;
use crate::guest::PAGE_BYTES;
use crate::memory::Run;

/// A page's address and flags on the wire.
const PAGE_HEADER_BYTES: u64 = 8;
/// Bytes of a page with content on the wire.
pub(super) const NORMAL_BYTES: u64 = PAGE_HEADER_BYTES + PAGE_BYTES;
/// Bytes of a zero page on the wire: what follows its header is the repeated byte.
pub(super) const ZERO_BYTES: u64 = PAGE_HEADER_BYTES + 1;
/// Name of the main memory block, with its length byte; sent when the walk enters it.
const MEMORY_NAME_BYTES: u64 = 7;
/// The five firmware blocks' names. They are sent at the first page of each; here all at the first.
const FIRMWARE_NAME_BYTES: u64 = 77;
/// Section header, end mark and footer around the pages of a burst.
pub(super) const FRAME_BYTES: u64 = 18;
/// The end mark alone: the part of the frame that the statistics count.
pub(super) const END_MARK_BYTES: u64 = 8;
/// A burst gives the loop a chance to look around once more than 50 whole milliseconds have passed.
pub(super) const BURST_NS: u64 = 51_000_000;
/// The clock is looked at after the first page and then after every so many.
const PAGES_PER_CLOCK_CHECK: u64 = 64;
const NS_PER_S: u128 = 1_000_000_000;

/// Bytes and time of one page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Price {
    pub(super) bytes: u64,
    pub(super) ns: u64,
}

/// The prices of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wire {
    bytes_per_second: u64,
    normal: Price,
    /// A page with content that the destination never touched before.
    first: Price,
    zero: Price,
    pub(super) frame_ns: u64,
}

/// The rules a burst obeys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limits {
    /// Bytes a window may carry before sending stops; the page that crosses it still goes.
    pub(super) budget_bytes: u64,
    /// Whether the burst ends after more than 50 ms.
    pub(super) gives_way: bool,
}

impl Limits {
    /// The last pass: nothing but the link limits it.
    pub(super) const NONE: Self = Self { budget_bytes: u64::MAX, gives_way: false };
}

impl Wire {
    /// A link of so many bytes a second (zero: cut) between hosts with these costs.
    pub(super) fn new(bytes_per_second: u64, host: &HostConstants) -> Self {
        let mut wire = Self {
            bytes_per_second,
            normal: Price::default(),
            first: Price::default(),
            zero: Price::default(),
            frame_ns: 0,
        };
        // No page takes less than a nanosecond, or a burst would never end.
        let normal_ns = wire.ns(NORMAL_BYTES).max(1);
        wire.normal = Price { bytes: NORMAL_BYTES, ns: normal_ns };
        wire.first = Price { bytes: NORMAL_BYTES, ns: normal_ns.saturating_add(host.first_touch_ns) };
        let zero_ns = wire.ns(ZERO_BYTES).saturating_add(host.zero_page_scan_ns).max(1);
        wire.zero = Price { bytes: ZERO_BYTES, ns: zero_ns };
        wire.frame_ns = wire.ns(FRAME_BYTES);
        wire
    }

    /// Capacity; zero when cut.
    pub(super) fn bytes_per_second(&self) -> u64 {
        self.bytes_per_second
    }

    /// Whether nothing gets through.
    #[inline]
    pub(super) fn is_cut(&self) -> bool {
        self.bytes_per_second == 0
    }

    /// Price of each page of a run.
    #[inline]
    pub(super) fn price(&self, run: Run) -> Price {
        match (run.zero, run.first) {
            (true, _) => self.zero,
            (false, true) => self.first,
            (false, false) => self.normal,
        }
    }

    /// The prices that there are: of a page sent again, of one sent for the first time, of a zero page.
    pub(super) fn prices(&self) -> [Price; 3] {
        [self.normal, self.first, self.zero]
    }

    /// Time for some bytes, rounded up to a nanosecond.
    pub(super) fn ns(&self, bytes: u64) -> u64 {
        let ns = (u128::from(bytes) * NS_PER_S).div_ceil(u128::from(self.bytes_per_second.max(1)));
        u64::try_from(ns).unwrap_or(u64::MAX)
    }

    /// The same, rounded down.
    pub(super) fn ns_at_least(&self, bytes: u64) -> u64 {
        let ns = u128::from(bytes) * NS_PER_S / u128::from(self.bytes_per_second.max(1));
        u64::try_from(ns).unwrap_or(u64::MAX)
    }
}

/// Bytes of the block's name before a run, given which block's page was sent last.
#[inline]
pub(super) fn name_bytes(run: Run, last_in_firmware: Option<bool>) -> u64 {
    match run.firmware {
        firmware if last_in_firmware == Some(firmware) => 0,
        true => FIRMWARE_NAME_BYTES,
        false => MEMORY_NAME_BYTES,
    }
}

/// Pages of one price after which a burst is over, by its budget or by its clock, were there enough of them. At least
/// one: whoever asks has bytes left in the window.
#[inline]
pub(super) fn pages_to_limit(
    price: Price,
    burst: &Burst,
    clock_ns: u64,
    in_window: u64,
    limits: Limits,
) -> u64 {
    let bytes = limits.budget_bytes.saturating_sub(in_window);
    // The common price is spelled out because division by a constant is a multiplication.
    let by_budget = 1 + if price.bytes == NORMAL_BYTES { bytes / NORMAL_BYTES } else { bytes / price.bytes };
    if !limits.gives_way {
        return by_budget;
    }
    let waited_ns = clock_ns.saturating_sub(burst.started_ns);
    let left_ns = BURST_NS.saturating_sub(waited_ns);
    if by_budget.saturating_mul(price.ns) < left_ns {
        return by_budget;
    }
    let by_time = left_ns.div_ceil(price.ns).max(1);
    // The clock is asked after page numbers 0, 64, 128... of the burst only.
    let asked_at = (burst.pages.saturating_add(by_time) - 1).next_multiple_of(PAGES_PER_CLOCK_CHECK);
    by_budget.min(asked_at + 1 - burst.pages)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_ends_at_its_budget_or_when_the_clock_is_asked() {
        let limits = |budget_bytes| Limits { budget_bytes, gives_way: true };
        let price = Price { bytes: NORMAL_BYTES, ns: 1_000_000 };
        let burst = |pages| Burst { pages, ..Burst::new(0, 0) };
        let pages =
            |pages, clock_ns, budget| pages_to_limit(price, &burst(pages), clock_ns, 0, limits(budget));
        // The page that crosses the budget still goes.
        assert_eq!(pages(0, 0, 10 * NORMAL_BYTES), 11);
        assert_eq!(pages(0, 0, 0), 1);
        // 51 ms have passed after page number 50; the clock is asked after number 64 next.
        assert_eq!(pages(0, 0, u64::MAX - 1), 65);
        assert_eq!(pages(60, 60_000_000, u64::MAX - 1), 5);
        assert_eq!(pages(0, 51_000_000, u64::MAX - 1), 1);
    }
}
