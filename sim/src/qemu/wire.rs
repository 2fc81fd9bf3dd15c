//! What pages cost on the link in bytes and time, and how far one burst gets over pages that all cost the same.
//!
//! Senders work with runs of equal pages, so everything here is division, never a step for each page.

use super::config::SourceConfig;
use super::step::Burst;
use super::xbzrle::encoded_bytes;
use crate::guest::{Content, PAGE_BYTES};
use crate::memory::Run;

/// A page's address and flags on the wire.
const PAGE_HEADER_BYTES: u64 = 8;
/// Bytes of a page with content on the wire.
const NORMAL_BYTES: u64 = PAGE_HEADER_BYTES + PAGE_BYTES;
/// Bytes of a zero page on the wire: what follows its header is the repeated byte.
const ZERO_BYTES: u64 = PAGE_HEADER_BYTES + 1;
/// Name of the main memory block, with its length byte; sent when the walk enters it.
const MEMORY_NAME_BYTES: u64 = 7;
/// The five firmware blocks' names. They are sent at the first page of each; here all at the first.
const FIRMWARE_NAME_BYTES: u64 = 77;
/// Section header, end mark and footer around the pages of a burst.
pub(super) const FRAME_BYTES: u64 = 18;
/// The end mark alone: the part of the frame that the statistics count.
pub(super) const END_MARK_BYTES: u64 = 8;
/// Pages of a packet on a channel, and the header before them: 320 bytes and an offset for each page.
const PACKET_PAGES: u64 = 128;
const PACKET_HEADER_BYTES: u64 = 320 + 8 * PACKET_PAGES;
/// A burst gives the loop a chance to look around once more than 50 whole milliseconds have passed.
pub(super) const BURST_NS: u64 = 51_000_000;
/// The clock is read after the first page and then after each interval of this many.
const PAGES_PER_CLOCK_CHECK: u64 = 64;
const NS_PER_S: u128 = 1_000_000_000;

/// Bytes and time of one page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Price {
    /// As they are counted towards a window's budget, not always as they are on the wire.
    pub(super) bytes: u64,
    pub(super) ns: u64,
}

/// What changes the prices during a migration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Mode {
    /// Whether the guest runs at the destination already.
    pub(super) postcopy: bool,
    /// The part of the pages sent again that travel as a difference, in units of 2^-64.
    pub(super) hit_share: u64,
    /// The part of those that turns out not to differ and is not sent, in units of 2^-64.
    pub(super) skip_share: u64,
}

/// The prices of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wire {
    link_bytes_per_second: u64,
    /// The throughput of the link and its senders.
    rate_bytes_per_second: u64,
    /// A page with content that was sent before.
    again: Price,
    /// One that the destination never touched before.
    first: Price,
    zero: Price,
    pub(super) frame_ns: u64,
    /// Bytes of a whole packet, where pages with content go by packets; zero elsewhere.
    packet_bytes: u64,
    /// Bytes by which the channels signal each other the end of a burst.
    burst_end_bytes: u64,
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
    /// A link of this many bytes a second (zero: cut).
    pub(super) fn new(
        link_bytes_per_second: u64,
        config: &SourceConfig,
        content: Content,
        mode: Mode,
    ) -> Self {
        let host = &config.host;
        let channels = config.channels;
        let channel = channels.map(|channels| {
            let one = if channels.zero_copy {
                host.zero_copy_bytes_per_second
            } else {
                host.channel_bytes_per_second
            };
            one.saturating_mul(channels.count)
        });
        let mut wire = Self {
            link_bytes_per_second,
            rate_bytes_per_second: link_bytes_per_second.min(channel.unwrap_or(u64::MAX)),
            again: Price::default(),
            first: Price::default(),
            zero: Price::default(),
            frame_ns: 0,
            packet_bytes: channels.map_or(0, |_| PACKET_HEADER_BYTES + PACKET_PAGES * PAGE_BYTES),
            burst_end_bytes: channels
                .filter(|channels| channels.flush_after_each_burst)
                .map_or(0, |channels| channels.count * PACKET_HEADER_BYTES),
        };
        // No page takes less than a nanosecond, or a burst would never end.
        let place_ns = if mode.postcopy { host.place_page_ns } else { 0 };
        let normal = match channels {
            None => Price { bytes: NORMAL_BYTES, ns: wire.ns(NORMAL_BYTES) },
            Some(channels) => {
                let compressed =
                    channels.compression_ns_per_page.map(|_| content.compressed_page_bytes.min(PAGE_BYTES));
                let bytes = compressed.unwrap_or(PAGE_BYTES) + PACKET_HEADER_BYTES.div_ceil(PACKET_PAGES);
                let cpu_ns = channels.compression_ns_per_page.unwrap_or(0) / channels.count.max(1);
                Price { bytes: PAGE_BYTES, ns: wire.ns(bytes).max(cpu_ns) }
            }
        };
        // The destination places one page while the next is on its way.
        let normal = Price { ns: normal.ns.max(place_ns).max(1), ..normal };
        wire.again = wire.with_differences(normal, config, content, mode);
        // A page that is placed brings its memory along.
        let touch_ns = if mode.postcopy { 0 } else { host.first_touch_ns };
        wire.first = Price { ns: normal.ns.saturating_add(touch_ns), ..normal };
        let zero_ns = wire.ns(ZERO_BYTES).saturating_add(host.zero_page_scan_ns).max(1);
        wire.zero = Price { bytes: ZERO_BYTES, ns: zero_ns };
        wire.frame_ns = wire.ns(FRAME_BYTES);
        wire
    }

    /// The average price of pages sent again, some of them as a difference.
    fn with_differences(&self, normal: Price, config: &SourceConfig, content: Content, mode: Mode) -> Price {
        if config.xbzrle.is_none() || mode.postcopy {
            return normal;
        }
        let whole = Price { ns: normal.ns.saturating_add(config.host.encode_page_ns), ..normal };
        let difference = encoded_bytes(content.changed_bytes).map_or(whole, |bytes| Price {
            bytes,
            ns: self.ns(bytes).saturating_add(config.host.encode_page_ns).max(1),
        });
        let difference = Price {
            bytes: mixed(difference.bytes, 0, u64::MAX - mode.skip_share).max(1),
            ns: mixed(difference.ns, config.host.encode_page_ns, u64::MAX - mode.skip_share).max(1),
        };
        Price {
            bytes: mixed(difference.bytes, whole.bytes, mode.hit_share),
            ns: mixed(difference.ns, whole.ns, mode.hit_share),
        }
    }

    /// Capacity; zero when cut.
    pub(super) fn link_bytes_per_second(&self) -> u64 {
        self.link_bytes_per_second
    }

    /// Whether nothing gets through.
    #[inline]
    pub(super) fn is_cut(&self) -> bool {
        self.link_bytes_per_second == 0
    }

    /// Price of each page of a run.
    #[inline]
    pub(super) fn price(&self, run: Run) -> Price {
        match (run.zero, run.first) {
            (true, _) => self.zero,
            (false, true) => self.first,
            (false, false) => self.again,
        }
    }

    /// The prices that there are: of a page sent again, of one sent for the first time, of a zero page.
    pub(super) fn prices(&self) -> [Price; 3] {
        [self.again, self.first, self.zero]
    }

    /// Time for some bytes, rounded up to a nanosecond.
    pub(super) fn ns(&self, bytes: u64) -> u64 {
        let ns = (u128::from(bytes) * NS_PER_S).div_ceil(u128::from(self.rate_bytes_per_second.max(1)));
        u64::try_from(ns).unwrap_or(u64::MAX)
    }

    /// The same, rounded down.
    pub(super) fn ns_at_least(&self, bytes: u64) -> u64 {
        let ns = u128::from(bytes) * NS_PER_S / u128::from(self.rate_bytes_per_second.max(1));
        u64::try_from(ns).unwrap_or(u64::MAX)
    }

    /// Bytes that some pages of a price add to the window, and the pages that are left in the packet that is being
    /// filled: what is in it is not counted before it goes out.
    #[inline]
    pub(super) fn counted(&self, price: Price, zero: bool, open_pages: u64, pages: u64) -> (u64, u64) {
        if self.packet_bytes == 0 || zero {
            return (pages.saturating_mul(price.bytes), open_pages);
        }
        let filled = open_pages + pages;
        ((filled / PACKET_PAGES).saturating_mul(self.packet_bytes), filled % PACKET_PAGES)
    }

    /// Bytes at the end of a burst: the packet that is not full, and the channels' end signals.
    #[inline]
    pub(super) fn burst_end_bytes(&self, open_pages: u64) -> u64 {
        let packet = if open_pages == 0 { 0 } else { PACKET_HEADER_BYTES + open_pages * PAGE_BYTES };
        packet + self.burst_end_bytes
    }

    /// Pages of one price after which a burst is over, by its budget or by its clock, were there enough of them. At
    /// least one: the caller has bytes left in the window.
    #[inline]
    pub(super) fn pages_to_limit(
        &self,
        price: Price,
        zero: bool,
        burst: &Burst,
        (clock_ns, in_window): (u64, u64),
        limits: Limits,
    ) -> u64 {
        if in_window > limits.budget_bytes {
            return 1;
        }
        let bytes = limits.budget_bytes - in_window;
        let by_budget = if self.packet_bytes > 0 && !zero {
            (bytes / self.packet_bytes + 1).saturating_mul(PACKET_PAGES) - burst.open_pages
        } else if price.bytes == NORMAL_BYTES {
            // Spelled out because division by a constant is a multiplication.
            1 + bytes / NORMAL_BYTES
        } else {
            1 + bytes / price.bytes
        };
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
}

/// The average of two values, so large a part of them the first, the part in units of 2^-64; rounded up.
fn mixed(first: u64, second: u64, first_part: u64) -> u64 {
    let part = u128::from(first_part);
    let sum = u128::from(first) * part + u128::from(second) * (u128::from(u64::MAX) - part);
    u64::try_from(sum.div_ceil(u128::from(u64::MAX))).unwrap_or(u64::MAX)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::qemu::{Channels, Xbzrle};

    fn wire(config: &SourceConfig, mode: Mode) -> Wire {
        Wire::new(1_000_000_000, config, Content::default(), mode)
    }

    #[test]
    fn a_burst_ends_at_its_budget_or_when_the_clock_is_asked() {
        let wire = wire(&SourceConfig::default(), Mode::default());
        let price = Price { bytes: NORMAL_BYTES, ns: 1_000_000 };
        let pages = |pages, clock_ns, budget_bytes| {
            let burst = Burst { pages, ..Burst::new(0, 0) };
            let limits = Limits { budget_bytes, gives_way: true };
            wire.pages_to_limit(price, false, &burst, (clock_ns, 0), limits)
        };
        // The page that crosses the budget still goes.
        assert_eq!(pages(0, 0, 10 * NORMAL_BYTES), 11);
        assert_eq!(pages(0, 0, 0), 1);
        // 51 ms have passed after page number 50; the clock is asked after number 64 next.
        assert_eq!(pages(0, 0, u64::MAX - 1), 65);
        assert_eq!(pages(60, 60_000_000, u64::MAX - 1), 5);
        assert_eq!(pages(0, 51_000_000, u64::MAX - 1), 1);
    }

    /// A recorded window of 100 MiB/s over two channels: twenty packets, the channels' end signals, a frame.
    #[test]
    fn channels_send_whole_packets() {
        let config = SourceConfig { channels: Some(Channels::default()), ..SourceConfig::default() };
        let wire = wire(&config, Mode::default());
        let limits = Limits { budget_bytes: 10_485_760, gives_way: true };
        let burst = Burst::new(0, 0);
        let price = Price { ns: 1, ..wire.again };
        let pages = wire.pages_to_limit(price, false, &burst, (0, FRAME_BYTES), limits);
        assert_eq!(pages, 20 * 128);
        let (bytes, open_pages) = wire.counted(price, false, 0, pages);
        assert_eq!((FRAME_BYTES + bytes + wire.burst_end_bytes(open_pages), open_pages), (10_515_346, 0));
        assert_eq!(wire.counted(price, false, 120, 10), (525_632, 2));
        assert_eq!(wire.burst_end_bytes(2), 1344 + 2 * 4096 + 2 * 1344);
    }

    #[test]
    fn differences_are_cheaper_and_cost_their_encoding() {
        let config = SourceConfig { xbzrle: Some(Xbzrle::default()), ..SourceConfig::default() };
        let again = |hit_share| wire(&config, Mode { hit_share, ..Mode::default() }).again;
        assert_eq!(again(0), Price { bytes: 4104, ns: 4104 + 2000 });
        assert_eq!(again(u64::MAX), Price { bytes: 23, ns: 23 + 2000 });
        let half = again(1 << 63);
        let skipped = Mode { hit_share: u64::MAX, skip_share: u64::MAX, ..Mode::default() };
        assert_eq!(wire(&config, skipped).again, Price { bytes: 1, ns: 2000 });
        assert!((2063..=2065).contains(&half.bytes) && (4063..=4065).contains(&half.ns), "{half:?}");
        assert_eq!(
            wire(&config, Mode { hit_share: u64::MAX, postcopy: true, ..Mode::default() }).again.bytes,
            4104
        );
    }
}
