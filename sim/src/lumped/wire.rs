//! What pages cost on the link, and how far one burst gets over pages that all cost the same.
//!
//! The constants and rules are those of the page-accurate engine, worked out by division instead of page by page.

use crate::qemu::PAGE_BYTES;

use super::memory::Run;

/// A page's header before its content; a zero page is the header and one byte.
const PAGE_HEADER_BYTES: u64 = 8;
const NORMAL_BYTES: u64 = PAGE_HEADER_BYTES + PAGE_BYTES;
const ZERO_BYTES: u64 = PAGE_HEADER_BYTES + 1;
/// Names of the main memory's block and of the firmware's five, sent when the walk enters them.
const MEMORY_NAME_BYTES: u64 = 7;
const FIRMWARE_NAME_BYTES: u64 = 77;
/// A burst gives the loop a chance to look around after this long; it asks at the first page and every 64.
const MAX_BURST_NS: u64 = 50_000_000;
const PAGES_PER_CLOCK_CHECK: u64 = 64;
const NS_PER_S: u128 = 1_000_000_000;

/// Bytes and time of one page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Price {
    pub(crate) bytes: u64,
    pub(crate) ns: u64,
}

/// Prices of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wire {
    bytes_per_second: u64,
    normal: Price,
    zero: Price,
}

impl Wire {
    /// A link of so many bytes a second (zero: cut) on a host that needs `zero_page_scan_ns` to see a zero page.
    pub(crate) fn new(bytes_per_second: u64, zero_page_scan_ns: u64) -> Self {
        let none = Price { bytes: 0, ns: 0 };
        let mut wire = Self { bytes_per_second, normal: none, zero: none };
        wire.normal = Price { bytes: NORMAL_BYTES, ns: wire.ns(NORMAL_BYTES) };
        let zero_ns = wire.ns(ZERO_BYTES).saturating_add(zero_page_scan_ns);
        wire.zero = Price { bytes: ZERO_BYTES, ns: zero_ns };
        wire
    }

    /// Whether nothing gets through.
    #[inline]
    pub(crate) fn is_cut(&self) -> bool {
        self.bytes_per_second == 0
    }

    /// Price of each page of a run.
    #[inline]
    pub(crate) fn price(&self, zero: bool) -> Price {
        if zero { self.zero } else { self.normal }
    }

    /// Time for some bytes, rounded up to a nanosecond.
    pub(crate) fn ns(&self, bytes: u64) -> u64 {
        let ns = (u128::from(bytes) * NS_PER_S).div_ceil(u128::from(self.bytes_per_second.max(1)));
        u64::try_from(ns).unwrap_or(u64::MAX)
    }
}

/// Bytes of the block's name before a run, given which block's page was sent last.
#[inline]
pub(crate) fn name_bytes(run: Run, last_in_firmware: Option<bool>) -> u64 {
    match run.firmware {
        firmware if last_in_firmware == Some(firmware) => 0,
        true => FIRMWARE_NAME_BYTES,
        false => MEMORY_NAME_BYTES,
    }
}

/// How far a burst has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    pub(crate) pages: u64,
    pub(crate) waited_ns: u64,
    /// Bytes in the window, before this burst too.
    pub(crate) in_window: u64,
}

/// Pages of one price after which the burst is over, by its budget or by its clock, were there enough of them. At least
/// one: whoever asks has bytes left in the window.
#[inline]
pub(crate) fn pages_to_limit(price: Price, progress: Progress, budget_bytes: u64) -> u64 {
    let bytes = budget_bytes - progress.in_window;
    // The common price is spelled out because division by a constant is a multiplication.
    let by_budget = 1 + if price.bytes == NORMAL_BYTES { bytes / NORMAL_BYTES } else { bytes / price.bytes };
    let time_left_ns = MAX_BURST_NS.saturating_sub(progress.waited_ns);
    if by_budget.saturating_mul(price.ns) < time_left_ns {
        return by_budget;
    }
    let by_time = time_left_ns / price.ns.max(1) + 1;
    // The clock is asked after page numbers 0, 64, 128... of the burst only.
    let asked_at = (progress.pages.saturating_add(by_time) - 1).next_multiple_of(PAGES_PER_CLOCK_CHECK);
    by_budget.min(asked_at + 1 - progress.pages)
}
