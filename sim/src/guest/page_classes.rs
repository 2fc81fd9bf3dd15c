//! A guest's memory divided into classes of indistinguishable pages: one range of addresses, one content, one way of
//! being written.
//!
//! Within a class every page has the same chance to be dirty, so that a count says as much as a bitmap, and a bitmap
//! can be drawn by the range. Cut once before a migration; nothing here may depend on time.

use super::clock::Written;
use super::pattern::{Layer, Pattern, SHARE_BITS};
use super::writer::Writer;
use super::{Guest, pace};
use crate::sampling::EXPOSURE_BITS;

/// Read-only memory blocks beside the main memory (firmware, option ROMs, tables): what every recorded
/// guest had on top of its RAM, total less memory.
pub(crate) const FIRMWARE_PAGES: u64 = 130;
/// Pages of an idle guest outside its filled region that were not zero. Which of them lie in main memory
/// does not matter; they are put in the firmware's blocks.
const FIRMWARE_NORMAL_PAGES: u64 = 116;
/// Binary digits by which a weight is finer than an exposure, so that a page of very many still has one.
const WEIGHT_BITS: u32 = 16;

/// Pages that are alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Class {
    /// First page, by its address.
    pub(crate) first: u64,
    /// How many there are.
    pub(crate) pages: u64,
    /// What they hold when the migration starts.
    holds: Holds,
    /// Whether they belong to the firmware's blocks.
    pub(crate) firmware: bool,
    /// Whether a scan passes over them.
    pub(crate) scanned: bool,
    /// Streams that write here, and what 10^-9 of a write of theirs adds to a page's exposure, in units of 2^-96.
    weights: Vec<(Stream, u128)>,
}

/// What pages hold when a migration starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holds {
    Content,
    Zeros,
    /// Zeros that are never requested: the balloon has them, and the guest reported it.
    Balloon,
}

/// Writes that are spread in one way: a writer's, at home or where it moves to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stream {
    writer: usize,
    moved: bool,
}

/// The classes in order of their addresses, without a gap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PageClasses {
    pub(crate) classes: Vec<Class>,
    pub(crate) memory_pages: u64,
    /// Memory and firmware.
    pub(crate) total_pages: u64,
    /// First page of the region that writers count from.
    pub(crate) region_first: u64,
    /// The class that is written to, if there is just one and no scan passes over it.
    pub(crate) only_written: Option<usize>,
}

/// Part of a stream: pages of the region, and what one of its writes adds to the exposure of each.
#[derive(Clone, Copy, Debug)]
struct Spread {
    stream: Stream,
    first: u64,
    end: u64,
    weight: u128,
}

impl Class {
    /// Writes to be expected to each page, in units of 2^-80.
    #[inline]
    pub(crate) fn exposure(&self, written: &Written<'_>) -> u128 {
        let add = |sum: u128, (stream, weight): &(Stream, u128)| {
            sum.saturating_add(written.writes(stream.writer, stream.moved).saturating_mul(*weight))
        };
        self.weights.iter().fold(0, add) >> WEIGHT_BITS
    }

    /// Whether they hold nothing but zeros when the migration starts.
    pub(crate) fn is_zero(&self) -> bool {
        self.holds != Holds::Content
    }

    /// Pages that must be sent when the migration starts.
    pub(crate) fn dirty_pages(&self) -> u64 {
        if self.holds == Holds::Balloon { 0 } else { self.pages }
    }

    /// Whether any stream writes here.
    pub(crate) fn is_written(&self) -> bool {
        !self.weights.is_empty()
    }
}

impl PageClasses {
    /// Divides a guest's memory into classes.
    pub(crate) fn of(guest: &Guest) -> Self {
        let memory_pages = guest.memory_pages();
        let total_pages = memory_pages + FIRMWARE_PAGES;
        let region_first = guest.region_first_page.min(memory_pages);
        let within = |pages: u64| region_first.saturating_add(pages).min(memory_pages);
        let spreads = spreads(&guest.writers);
        let spread_ranges = spreads
            .iter()
            .map(|spread| (within(spread.first), within(spread.end), spread.stream, spread.weight));
        let spread_ranges: Vec<(u64, u64, Stream, u128)> = spread_ranges.collect();
        let scans = guest.writers.iter().filter(|writer| writer.pattern == Pattern::Sequential);
        let scans: Vec<(u64, u64)> =
            scans.map(|writer| (within(writer.offset_pages), within(writer.reach_pages()))).collect();
        let filled = within(guest.filled_pages);
        let balloon = memory_pages - guest.ballooned_pages.min(memory_pages - filled);

        let mut edges = vec![region_first, filled, balloon, memory_pages, total_pages];
        edges.push(memory_pages + FIRMWARE_NORMAL_PAGES);
        edges.extend(spread_ranges.iter().flat_map(|(first, end, ..)| [*first, *end]));
        edges.extend(scans.iter().flat_map(|(first, end)| [*first, *end]));
        edges.sort_unstable();
        edges.dedup();
        let starts = std::iter::once(0).chain(edges.iter().copied());
        let class = |(first, end): (u64, u64)| Class {
            first,
            pages: end - first,
            holds: if guest.balloon_is_hinted && first >= balloon && end <= memory_pages {
                Holds::Balloon
            } else if first >= region_first && end <= filled || first == memory_pages {
                Holds::Content
            } else {
                Holds::Zeros
            },
            firmware: first >= memory_pages,
            scanned: scans.iter().any(|(from, to)| first >= *from && end <= *to),
            weights: weights(&spread_ranges, first, end),
        };
        let ranges = starts.zip(edges.iter().copied()).filter(|(first, end)| first < end);
        let classes: Vec<Class> = ranges.map(class).collect();
        let mut written = (0..).zip(&classes).filter(|(_, class)| class.is_written() || class.scanned);
        let only_written = written
            .next()
            .filter(|(_, class)| !class.scanned && written.next().is_none())
            .map(|(index, _)| index);
        Self { classes, memory_pages, total_pages, region_first, only_written }
    }
}

/// How the streams of all scattered writers spread.
fn spreads(writers: &[Writer]) -> Vec<Spread> {
    let mut spreads = Vec::new();
    for (index, writer) in writers.iter().enumerate() {
        let layers = writer.pattern.layers(writer.working_set_pages);
        let places: &[bool] = if writer.moves_after_writes.is_some() { &[false, true] } else { &[false] };
        for &moved in places {
            let start = writer.offset_pages.saturating_add(if moved { writer.working_set_pages } else { 0 });
            let spread = |layer: &Layer| Spread {
                stream: Stream { writer: index, moved },
                first: start.saturating_add(layer.first),
                end: start.saturating_add(layer.first).saturating_add(layer.pages),
                weight: weight(layer.share, layer.pages),
            };
            spreads.extend(layers.iter().filter(|layer| layer.pages > 0).map(spread));
        }
    }
    spreads
}

/// What 10^-9 of a write adds to the exposure of each of `pages` pages that get `share` of the writes.
fn weight(share: u64, pages: u64) -> u128 {
    let one = u128::from(share) << (EXPOSURE_BITS + WEIGHT_BITS - SHARE_BITS);
    one / (u128::from(pages.max(1)) * pace::WRITE)
}

/// The weights of all spreads that cover a range, one for each stream.
fn weights(spreads: &[(u64, u64, Stream, u128)], first: u64, end: u64) -> Vec<(Stream, u128)> {
    let mut weights: Vec<(Stream, u128)> = Vec::new();
    for &(from, to, stream, weight) in spreads {
        if first < from || end > to || weight == 0 {
            continue;
        }
        match weights.last_mut() {
            Some((last, sum)) if *last == stream => *sum = sum.saturating_add(weight),
            _ => weights.push((stream, weight)),
        }
    }
    weights
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guest::Clocks;

    /// The exposure of each class after a guest ran so long, in 1/1024.
    fn exposures(guest: &Guest, page_classes: &PageClasses, ns: u64) -> Vec<u128> {
        let mut clocks = Clocks::new(guest, 0);
        clocks.run_freely(ns);
        let written = clocks.collect(guest);
        page_classes.classes.iter().map(|class| class.exposure(&written) >> (EXPOSURE_BITS - 10)).collect()
    }

    fn guest(writers: Vec<Writer>) -> Guest {
        Guest { memory_mib: 1, region_first_page: 16, filled_pages: 64, writers, ..Guest::default() }
    }

    #[test]
    fn an_idle_guest_has_five_classes() {
        let described = |class: &Class| (class.first, class.pages, class.is_zero(), class.firmware);
        let page_classes = PageClasses::of(&guest(Vec::new()));
        let expected = [
            (0, 16, true, false),
            (16, 64, false, false),
            (80, 176, true, false),
            (256, 116, false, true),
            (372, 14, true, true),
        ];
        assert_eq!(page_classes.classes.iter().map(described).collect::<Vec<_>>(), expected);
        assert_eq!(
            (page_classes.memory_pages, page_classes.total_pages, page_classes.only_written),
            (256, 386, None)
        );
    }

    #[test]
    fn a_balloon_is_zero_and_may_be_skipped() {
        let mut guest = guest(Vec::new());
        guest.ballooned_pages = 1000;
        guest.balloon_is_hinted = true;
        let described = |class: &Class| (class.first, class.dirty_pages(), class.is_zero());
        let page_classes = PageClasses::of(&guest);
        assert_eq!(
            described(&page_classes.classes[2]),
            (80, 0, true),
            "the balloon cannot hold filled pages"
        );
    }

    #[test]
    fn working_sets_cut_and_reach_no_further_than_the_memory() {
        let first = Writer::steady(Pattern::Uniform, 1000, 32);
        let second = Writer::steady(Pattern::Uniform, 1_000_000, 64_000);
        let guest = guest(vec![first, second]);
        let page_classes = PageClasses::of(&guest);
        let described: Vec<(u64, bool)> =
            page_classes.classes.iter().map(|class| (class.pages, class.is_written())).collect();
        assert_eq!(described, [(16, false), (32, true), (32, true), (176, true), (116, false), (14, false)]);
        // After 64 ms the first has done 64 writes; the second, a thousand times as fast, 64,000.
        let exposures = exposures(&guest, &page_classes, 64_000_000);
        // Two writes a page by the first, one by the second, less what the rounding took.
        assert_eq!(exposures, [0, 3071, 1023, 1023, 0, 0]);
        assert_eq!(page_classes.only_written, None);
    }

    #[test]
    fn a_writer_that_moves_writes_there_too() {
        let mut writer = Writer::steady(Pattern::Uniform, 1_000_000_000, 32);
        writer.moves_after_writes = std::num::NonZeroU64::new(64);
        let guest = guest(vec![writer]);
        let page_classes = PageClasses::of(&guest);
        assert_eq!(exposures(&guest, &page_classes, 64), [0, 2047, 0, 0, 0, 0]);
        assert_eq!(exposures(&guest, &page_classes, 96), [0, 2047, 1023, 0, 0, 0]);
    }

    #[test]
    fn a_scan_is_no_stream() {
        let page_classes = PageClasses::of(&guest(vec![Writer::steady(Pattern::Sequential, 10, 32)]));
        let scanned: Vec<bool> = page_classes.classes.iter().map(|class| class.scanned).collect();
        assert_eq!(scanned, [false, true, false, false, false, false]);
    }
}
