//! A number for each class of pages: its cost does not grow with memory.
//!
//! Where the pages of a class lie within it is known on average only. For pages that cost the same this loses nothing,
//! since a page that is written while it still waits is counted once, like its one bit in a bitmap. Where a scan
//! passes, classes are divided into segments that are wholly dirty or wholly clean, so that the phase of the scan
//! against the walk is exact as well.

mod segment;

use segment::{Dirty, Hit, Segment, chance_of_part, passed_with};

use super::{Memory, Run};
use crate::guest::{Class, PageClasses, Written};
use crate::sampling::{Hits, chance_of_write};

/// Keyed chance is the same within this much of the writers' own time.
const KEYED_SLICE_NS: u64 = 100_000_000;
/// Above this many segments, similar ones are merged too.
const MANY_SEGMENTS: usize = 256;

/// The dirty pages of a guest on their circular walk, counted.
#[derive(Clone, Debug)]
pub(crate) struct Counts<H> {
    /// In the order of addresses, without a gap.
    segments: Vec<Segment>,
    /// The segment the walk is in.
    place: usize,
    /// How many of its pages the walk had passed at the last sync or, if that is later, when it came; and how many
    /// were dirty ahead then. Where it is now follows from how many of those were sent since.
    passed_then: u64,
    dirty_then: u64,
    /// Of the pages that it has passed there, those that became dirty since.
    behind: Dirty,
    remaining: u64,
    remaining_zero: u64,
    remaining_firmware: u64,
    /// As for the bitmap: the next pages sent were never sent before, this many.
    unsent: u64,
    /// The only segment that is written to, once nothing but its pages can be dirty any more. From then on all dirty
    /// pages are alike, and where the walk stands makes no difference to anything.
    only: Option<usize>,
    chance: std::marker::PhantomData<H>,
}

impl<H: Hits> Memory for Counts<H> {
    type Chance = H;

    fn new(page_classes: &PageClasses) -> Self {
        let segment = |(index, class): (usize, &Class)| {
            let pages = class.dirty_pages();
            let (normal, zero) = if class.is_zero() { (0, pages) } else { (pages, 0) };
            Segment { class: index, first: class.first, pages: class.pages, dirty: Dirty { normal, zero } }
        };
        let mut counts = Self {
            segments: page_classes.classes.iter().enumerate().map(segment).collect(),
            place: 0,
            passed_then: 0,
            dirty_then: 0,
            behind: Dirty::default(),
            remaining: 0,
            remaining_zero: 0,
            remaining_firmware: 0,
            unsent: 0,
            only: None,
            chance: std::marker::PhantomData,
        };
        for (segment, class) in counts.segments.iter().zip(&page_classes.classes) {
            counts.remaining += segment.dirty.pages();
            counts.remaining_zero += segment.dirty.zero;
            counts.remaining_firmware += if class.firmware { segment.dirty.pages() } else { 0 };
        }
        counts.unsent = counts.remaining;
        counts.dirty_then = counts.segments.first().map_or(0, |segment| segment.dirty.pages());
        counts
    }

    #[inline]
    fn remaining(&self) -> u64 {
        self.remaining
    }

    #[inline]
    fn remaining_zero(&self) -> u64 {
        self.remaining_zero
    }

    #[inline]
    fn next_run(&mut self, page_classes: &PageClasses) -> Option<Run> {
        let first = self.unsent > 0;
        if self.remaining_zero == 0 && self.remaining_firmware == 0 {
            let pages = if first { self.remaining.min(self.unsent) } else { self.remaining };
            return Some(Run { pages, zero: false, firmware: false, first }).filter(|run| run.pages > 0);
        }
        if self.remaining == 0 {
            return None;
        }
        self.enter_dirty_segment();
        let segment = self.segments.get(self.place)?;
        let firmware = page_classes.classes.get(segment.class).is_some_and(|class| class.firmware);
        // Where a segment has both kinds, which happens only while memory that was never filled is sent for the first
        // time, the zero pages come first.
        let zero = segment.dirty.zero > 0;
        let pages = if zero { segment.dirty.zero } else { segment.dirty.normal };
        Some(Run { pages: if first { pages.min(self.unsent) } else { pages }, zero, firmware, first })
    }

    #[inline]
    fn sent(&mut self, _cuts: &PageClasses, run: Run, pages: u64) {
        self.remaining -= pages;
        self.unsent = self.unsent.saturating_sub(pages);
        if run.zero {
            self.remaining_zero -= pages;
        }
        if run.firmware {
            self.remaining_firmware -= pages;
        }
        match self.only.and_then(|only| self.segments.get_mut(only)) {
            Some(segment) => segment.dirty.normal -= pages,
            None => self.sent_in_order(run.zero, pages),
        }
    }

    #[inline]
    fn sync(&mut self, page_classes: &PageClasses, written: &Written<'_>, hits: &mut H) -> u64 {
        self.forget_order(page_classes);
        let newly_dirty = match self.only {
            Some(only) => self.write(page_classes, only, written, hits),
            None => self.sync_all(page_classes, written, hits),
        };
        self.remaining += newly_dirty;
        newly_dirty
    }
}

impl<H: Hits> Counts<H> {
    #[inline]
    fn sent_in_order(&mut self, zero: bool, pages: u64) {
        let mut left = pages;
        while left > 0 {
            self.enter_dirty_segment();
            let Some(segment) = self.segments.get_mut(self.place) else { return };
            let kind = if zero { &mut segment.dirty.zero } else { &mut segment.dirty.normal };
            let taken = left.min(*kind);
            if taken == 0 {
                return;
            }
            *kind -= taken;
            left -= taken;
        }
    }

    fn sync_all(&mut self, page_classes: &PageClasses, written: &Written<'_>, hits: &mut H) -> u64 {
        self.passed_then = self.passed();
        self.divide_at_walk(page_classes);
        let mut newly_dirty = 0;
        for index in 0..self.segments.len() {
            newly_dirty += self.write(page_classes, index, written, hits);
        }
        written.for_each_run(|run| {
            let first = page_classes.region_first.saturating_add(run.first).min(page_classes.memory_pages);
            let end = first.saturating_add(run.pages).min(page_classes.memory_pages);
            newly_dirty += self.write_run(first, end, hits);
        });
        self.dirty_then = self.segments.get(self.place).map_or(0, |segment| segment.dirty.pages());
        newly_dirty
    }

    /// How many pages of its segment the walk has passed: the place of the last page sent, on average, when dirty pages
    /// lie spread at random over what was ahead.
    fn passed(&self) -> u64 {
        let Some(segment) = self.segments.get(self.place) else { return 0 };
        let sent = self.dirty_then - segment.dirty.pages();
        self.passed_then + passed_with(sent, self.dirty_then, segment.pages - self.passed_then)
    }

    /// Draws how many pages of one segment were written.
    #[inline]
    fn write(
        &mut self,
        page_classes: &PageClasses,
        index: usize,
        written: &Written<'_>,
        hits: &mut H,
    ) -> u64 {
        let Some(segment) = self.segments.get_mut(index) else { return 0 };
        let exposure = page_classes.classes.get(segment.class).map_or(0, |class| class.exposure(written));
        let chance = chance_of_write(exposure);
        if chance == 0 {
            return 0;
        }
        let passed = if index == self.place { self.passed_then } else { 0 };
        let class = u64::try_from(segment.class).unwrap_or(u64::MAX);
        hits.begin(|| written.key(KEYED_SLICE_NS).wrapping_add(class.wrapping_mul(0xa076_1d64_78bd_642f)));
        let ahead = segment.dirty.write(segment.pages - passed, chance, hits);
        let behind = if passed > 0 { self.behind.write(passed, chance, hits) } else { Hit::default() };
        self.remaining_zero -= ahead.rewritten + behind.rewritten;
        ahead.newly_dirty + behind.newly_dirty
    }

    /// Writes to every page of a range, which a scan may pass over: segments there are divided at the walk.
    fn write_run(&mut self, first: u64, end: u64, hits: &mut H) -> u64 {
        self.divide(first, hits);
        self.divide(end, hits);
        let mut newly_dirty = 0;
        let from = self.segments.partition_point(|segment| segment.first < first);
        for segment in self.segments.iter_mut().skip(from).take_while(|segment| segment.first < end) {
            newly_dirty += segment.pages - segment.dirty.pages();
            self.remaining_zero -= segment.dirty.zero;
            segment.dirty = Dirty { normal: segment.pages, zero: 0 };
        }
        newly_dirty
    }

    /// Divides the segment that a page lies within, so that one begins there.
    fn divide(&mut self, page: u64, hits: &mut H) {
        let after = self.segments.partition_point(|segment| segment.first < page);
        let Some(index) = after.checked_sub(1) else { return };
        let Some(segment) = self.segments.get_mut(index) else { return };
        let head_pages = page - segment.first;
        if head_pages >= segment.pages {
            return;
        }
        // Dirty pages lie anywhere in the segment: as many in the head as its part of the segment, within what fits.
        let tail_pages = segment.pages - head_pages;
        let part = chance_of_part(head_pages, segment.pages);
        let mut share = |dirty: u64, room: u64, tail_room: u64| match dirty {
            0 => 0,
            _ if dirty == segment.pages => head_pages,
            _ => hits.hits(dirty, part).clamp(dirty.saturating_sub(tail_room), dirty.min(room)),
        };
        let all = segment.dirty;
        let normal = share(all.normal, head_pages, tail_pages);
        let zero = share(all.zero, head_pages - normal, tail_pages - (all.normal - normal));
        let rest = Dirty { normal: all.normal - normal, zero: all.zero - zero };
        let tail = Segment { first: page, pages: tail_pages, dirty: rest, ..*segment };
        (segment.pages, segment.dirty) = (head_pages, Dirty { normal, zero });
        self.segments.insert(after, tail);
        if self.place > index {
            self.place += 1;
        }
    }

    /// Puts the walk between two segments where a scan may pass over its own: what it has passed of it becomes a
    /// segment by itself.
    fn divide_at_walk(&mut self, page_classes: &PageClasses) {
        let Some(segment) = self.segments.get_mut(self.place).filter(|_| self.passed_then > 0) else {
            return;
        };
        if page_classes.classes.get(segment.class).is_none_or(|class| !class.scanned) {
            return;
        }
        let (first, pages) = (segment.first + self.passed_then, segment.pages - self.passed_then);
        let tail = Segment { first, pages, ..*segment };
        (segment.pages, segment.dirty) = (self.passed_then, std::mem::take(&mut self.behind));
        self.place += 1;
        self.segments.insert(self.place, tail);
        self.passed_then = 0;
        self.unite(page_classes);
    }

    /// Merges neighbours that are indistinguishable now, unless the walk stands between them.
    fn unite(&mut self, page_classes: &PageClasses) {
        let (mut kept, mut place) = (0_usize, self.place);
        let crowded = self.segments.len() > MANY_SEGMENTS;
        for index in 0..self.segments.len() {
            let Some(segment) = self.segments.get(index).copied() else { break };
            let last = kept.checked_sub(1).and_then(|last| self.segments.get_mut(last));
            match last {
                Some(last) if index != self.place && last.is_like(&segment, page_classes, crowded) => {
                    last.pages += segment.pages;
                    last.dirty.normal += segment.dirty.normal;
                    last.dirty.zero += segment.dirty.zero;
                    continue;
                }
                _ => {}
            }
            if index == self.place {
                place = kept;
            }
            if let Some(next) = self.segments.get_mut(kept) {
                *next = segment;
            }
            kept += 1;
        }
        self.segments.truncate(kept);
        self.place = place;
    }

    /// Once all dirty pages are of the one class that is written to, a single count stands for them.
    #[inline]
    fn forget_order(&mut self, page_classes: &PageClasses) {
        // A class that no scan passes over is one segment, the one of its own number.
        let Some(only) = page_classes.only_written.filter(|_| self.only.is_none()) else { return };
        let Some(segment) = self.segments.get_mut(only) else { return };
        let behind = if only == self.place { self.behind.normal } else { 0 };
        if segment.dirty.normal + behind == self.remaining {
            segment.dirty.normal += behind;
            (self.passed_then, self.behind) = (0, Dirty::default());
            self.only = Some(only);
        }
    }

    /// Walks on to the next segment with dirty pages ahead; the caller knows that there is one.
    #[inline]
    fn enter_dirty_segment(&mut self) {
        for _ in 0..=self.segments.len() {
            let Some(segment) = self.segments.get_mut(self.place) else { return };
            if segment.dirty != Dirty::default() {
                return;
            }
            // All of this segment now lies behind the walk, and ahead of its next round.
            segment.dirty = std::mem::take(&mut self.behind);
            self.place = if self.place + 1 < self.segments.len() { self.place + 1 } else { 0 };
            self.passed_then = 0;
            self.dirty_then = self.segments.get(self.place).map_or(0, |segment| segment.dirty.pages());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guest::{Clocks, Guest, Pattern, Writer};
    use crate::sampling::Expected;

    fn guest(pattern: Pattern) -> Guest {
        Guest {
            memory_mib: 1,
            region_first_page: 64,
            filled_pages: 64,
            writers: vec![Writer::steady(pattern, 1_000_000_000, 128)],
            ..Guest::default()
        }
    }

    fn drain(memory: &mut Counts<Expected>, page_classes: &PageClasses) -> Vec<(u64, bool)> {
        std::iter::from_fn(|| {
            let run = memory.next_run(page_classes)?;
            memory.sent(page_classes, run, run.pages);
            Some((run.pages, run.zero))
        })
        .collect()
    }

    /// Everything certainly written before anything was sent: nothing is new, and zeros became content.
    #[test]
    fn pages_that_wait_are_counted_once() {
        let guest = guest(Pattern::Uniform);
        let page_classes = PageClasses::of(&guest);
        let mut memory: Counts<Expected> = Counts::new(&page_classes);
        let mut clocks = Clocks::new(&guest, 0);
        clocks.run_freely(1 << 30);
        assert_eq!(memory.sync(&page_classes, &clocks.collect(&guest), &mut Expected::new()), 0);
        assert_eq!(memory.remaining(), 256 + 130);
        let expected = [(64, true), (64, false), (64, false), (64, true), (116, false), (14, true)];
        assert_eq!(drain(&mut memory, &page_classes), expected);
        clocks.run_freely(1 << 31);
        assert_eq!(memory.sync(&page_classes, &clocks.collect(&guest), &mut Expected::new()), 128);
    }

    /// The same walk as the bitmap's: what is written behind it waits, what is written ahead is met in this round.
    #[test]
    fn a_scan_divides_classes_exactly() {
        let guest = guest(Pattern::Sequential);
        let page_classes = PageClasses::of(&guest);
        let mut memory: Counts<Expected> = Counts::new(&page_classes);
        let mut clocks = Clocks::new(&guest, 0);
        for pages in [64, 40] {
            let run = memory.next_run(&page_classes).unwrap();
            memory.sent(&page_classes, run, pages);
        }
        clocks.run_freely(30);
        assert_eq!(memory.sync(&page_classes, &clocks.collect(&guest), &mut Expected::new()), 30);
        clocks.run_freely(80);
        clocks.collect(&guest);
        clocks.run_freely(128);
        assert_eq!(memory.sync(&page_classes, &clocks.collect(&guest), &mut Expected::new()), 0);
        let expected =
            [(24, false), (16, true), (48, false), (64, true), (116, false), (14, true), (30, false)];
        assert_eq!(drain(&mut memory, &page_classes), expected);
        assert_eq!((memory.remaining(), memory.remaining_zero), (0, 0));
    }

    /// Segments do not pile up, however often the scan passes.
    #[test]
    fn segments_stay_few() {
        let guest = guest(Pattern::Sequential);
        let page_classes = PageClasses::of(&guest);
        let mut memory: Counts<Expected> = Counts::new(&page_classes);
        let mut clocks = Clocks::new(&guest, 0);
        for step in 1..500 {
            clocks.run_freely(step * 37);
            memory.sync(&page_classes, &clocks.collect(&guest), &mut Expected::new());
            if let Some(run) = memory.next_run(&page_classes) {
                memory.sent(&page_classes, run, run.pages.min(29));
            }
            assert!(memory.segments.len() <= 24, "{:?}", memory.segments);
            assert_eq!(memory.segments.iter().map(|segment| segment.pages).sum::<u64>(), 386);
        }
    }
}
