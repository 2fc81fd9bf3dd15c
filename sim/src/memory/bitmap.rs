//! A bit for each page: exact to the page, at two bits a page.
//!
//! Between two syncs only how many pages were sent matters, not which, since pages that cost the same are sent in the
//! walk's order whatever happens. So sent pages are owed to the map and taken off it all at once when it is read.

use super::draw::{Effect, Maps};
use super::page_map::{Found, PageMap, index, ones};
use super::{Memory, Run};
use crate::guest::{Class, PageClasses, Written};
use crate::sampling::{Drawn, chance_of_write};

/// The dirty bitmap and what goes with it.
#[derive(Clone, Debug)]
pub(crate) struct Bitmap {
    dirty: PageMap,
    /// Pages that hold nothing but zeros.
    zero: PageMap,
    /// Next page of the circular walk, before the owed ones.
    cursor: u64,
    /// Pages sent since the map was last brought up to date: the first dirty ones from the cursor on.
    owed: u64,
    /// What is left of the run that was found last.
    ahead: Option<Run>,
    remaining: u64,
    remaining_zero: u64,
    remaining_firmware: u64,
    /// Pages never sent yet. In the first round they are all that lies ahead, so the next pages sent are these.
    unsent: u64,
}

impl Memory for Bitmap {
    type Chance = Drawn;

    fn new(page_classes: &PageClasses) -> Self {
        let (mut dirty, mut zero) =
            (PageMap::empty(page_classes.total_pages), PageMap::empty(page_classes.total_pages));
        let mut memory_left = (0, 0, 0);
        for class in &page_classes.classes {
            dirty.set_range(class.first, class.dirty_pages());
            if class.is_zero() {
                zero.set_range(class.first, class.pages);
            }
            memory_left.0 += class.dirty_pages();
            memory_left.1 += if class.is_zero() { class.dirty_pages() } else { 0 };
            memory_left.2 += if class.firmware { class.pages } else { 0 };
        }
        let (remaining, remaining_zero, remaining_firmware) = memory_left;
        Self {
            dirty,
            zero,
            cursor: 0,
            owed: 0,
            ahead: None,
            remaining,
            remaining_zero,
            remaining_firmware,
            unsent: remaining,
        }
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
        if self.remaining_zero == 0 && self.remaining_firmware == 0 && self.unsent == 0 {
            let run = Run { pages: self.remaining, zero: false, firmware: false, first: false };
            return Some(run).filter(|run| run.pages > 0);
        }
        if self.ahead.is_none() && self.remaining > 0 {
            self.settle();
            self.ahead = Some(self.find_run(page_classes));
        }
        self.ahead
    }

    #[inline]
    fn sent(&mut self, _cuts: &PageClasses, run: Run, pages: u64) {
        self.remaining -= pages;
        self.owed += pages;
        self.unsent = self.unsent.saturating_sub(pages);
        if run.zero {
            self.remaining_zero -= pages;
        }
        if run.firmware {
            self.remaining_firmware -= pages;
        }
        self.ahead = self
            .ahead
            .map(|ahead| Run { pages: ahead.pages - pages, ..ahead })
            .filter(|ahead| ahead.pages > 0);
    }

    fn sync(&mut self, page_classes: &PageClasses, written: &Written<'_>, drawn: &mut Drawn) -> u64 {
        self.settle();
        self.ahead = None;
        let mut effect = Effect::default();
        for class in &page_classes.classes {
            effect = effect + self.draw(class, class.exposure(written), drawn);
        }
        written.for_each_run(|run| {
            let first = page_classes.region_first.saturating_add(run.first).min(page_classes.memory_pages);
            let pages = run.pages.min(page_classes.memory_pages - first);
            let mut maps = Maps { dirty: &mut self.dirty, zero: Some(&mut self.zero) };
            effect = effect + maps.write_run(first, pages);
        });
        self.remaining += effect.newly_dirty;
        self.remaining_zero -= effect.rewritten;
        effect.newly_dirty
    }
}

impl Bitmap {
    fn draw(&mut self, class: &Class, exposure: u128, drawn: &mut Drawn) -> Effect {
        let chance = chance_of_write(exposure);
        if chance == 0 {
            return Effect::default();
        }
        let mut maps = Maps { dirty: &mut self.dirty, zero: class.is_zero().then_some(&mut self.zero) };
        maps.draw(class.first, class.pages, chance, drawn)
    }

    /// Takes the owed pages off the map and moves the cursor behind them.
    fn settle(&mut self) {
        if self.owed == 0 {
            return;
        }
        let last = self.last_owed();
        if last >= self.cursor {
            self.dirty.clear_range(self.cursor, last + 1 - self.cursor);
        } else {
            self.dirty.clear_range(self.cursor, self.dirty.capacity() - self.cursor);
            self.dirty.clear_range(0, last + 1);
        }
        self.cursor = if last + 1 < self.dirty.capacity() { last + 1 } else { 0 };
        self.owed = 0;
    }

    /// The last of the owed pages on the walk, found from whichever side is nearer.
    fn last_owed(&self) -> u64 {
        if self.remaining < self.owed {
            // One more than what remains, counted back from the cursor.
            self.back_from_cursor(self.remaining + 1)
        } else {
            self.ahead_of_cursor(self.owed)
        }
    }

    fn ahead_of_cursor(&self, count: u64) -> u64 {
        let found = match self.dirty.nth_from(self.cursor, count) {
            Found::Missing(left) => self.dirty.nth_from(0, left),
            found @ Found::Page(_) => found,
        };
        match found {
            Found::Page(page) => page,
            // The counts and the map say the same, so this cannot be; the whole map is then passed over.
            Found::Missing(_) => self.dirty.capacity() - 1,
        }
    }

    fn back_from_cursor(&self, count: u64) -> u64 {
        let found = match self.dirty.nth_before(self.cursor, count) {
            Found::Missing(left) => self.dirty.nth_before(self.dirty.capacity(), left),
            found @ Found::Page(_) => found,
        };
        match found {
            Found::Page(page) => page,
            Found::Missing(_) => self.cursor,
        }
    }

    /// The dirty pages from the cursor on that cost the same, up to the end of their block. There must be one.
    fn find_run(&self, page_classes: &PageClasses) -> Run {
        let page = self.ahead_of_cursor(1);
        let firmware = page >= page_classes.memory_pages;
        let end = if firmware { page_classes.total_pages } else { page_classes.memory_pages };
        let zero = self.zero.has(page);
        let pages = self.alike(page, end, zero);
        let first = self.unsent > 0;
        Run { pages: if first { pages.min(self.unsent) } else { pages }, zero, firmware, first }
    }

    /// How many dirty pages from `page` on, below `end`, are zero as asked, until the first that is not.
    fn alike(&self, page: u64, end: u64, zero: bool) -> u64 {
        let words = index(page / 64)..index(end.div_ceil(64));
        let dirty = self.dirty.words().get(words.clone()).unwrap_or_default();
        let zeros = self.zero.words().get(words).unwrap_or_default();
        let mut alike = 0;
        for ((word, dirty), zeros) in (page / 64..).zip(dirty).zip(zeros) {
            let mut here = *dirty;
            if word == page / 64 {
                here &= u64::MAX << (page % 64);
            }
            if word == end / 64 {
                here &= !(u64::MAX << (end % 64));
            }
            let others = if zero { here & !zeros } else { here & zeros };
            if others != 0 {
                let before = others.trailing_zeros();
                return alike + ones(here & !(u64::MAX << before));
            }
            alike += ones(here);
        }
        alike
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guest::{Clocks, Guest, Pattern, Writer};
    use crate::random::Random;

    fn guest() -> Guest {
        Guest {
            memory_mib: 1,
            region_first_page: 64,
            filled_pages: 64,
            writers: vec![Writer::steady(Pattern::Sequential, 1_000_000_000, 128)],
            ..Guest::default()
        }
    }

    /// Sends all that is left and returns the runs.
    fn drain(memory: &mut Bitmap, page_classes: &PageClasses) -> Vec<(u64, bool, bool)> {
        std::iter::from_fn(|| {
            let run = memory.next_run(page_classes)?;
            memory.sent(page_classes, run, run.pages);
            Some((run.pages, run.zero, run.first))
        })
        .collect()
    }

    /// The circular walk: what is written behind it waits for the next round, what is written ahead is met in this one.
    #[test]
    fn the_walk_is_circular() {
        let guest = guest();
        let page_classes = PageClasses::of(&guest);
        let mut memory = Bitmap::new(&page_classes);
        let mut clocks = Clocks::new(&guest, 0);
        let mut drawn = Drawn::new(Random::from_seed(1));
        for pages in [64, 40] {
            let run = memory.next_run(&page_classes).unwrap();
            memory.sent(&page_classes, run, pages);
        }
        // Pages 64 to 103 are sent. The scan writes 64 to 93, and 144 to 191 of the zero pages ahead.
        clocks.run_freely(30);
        assert_eq!(memory.sync(&page_classes, &clocks.collect(&guest), &mut drawn), 30);
        clocks.run_freely(80);
        clocks.collect(&guest);
        clocks.run_freely(128);
        assert_eq!(memory.sync(&page_classes, &clocks.collect(&guest), &mut drawn), 0);
        let expected = [
            (24, false, true),
            (16, true, true),
            (48, false, true),
            (64, true, true),
            (116, false, true),
            (14, true, true),
            (30, false, false),
        ];
        assert_eq!(drain(&mut memory, &page_classes), expected);
        assert_eq!((memory.remaining(), memory.remaining_zero), (0, 0));
    }

    /// However many pages are owed, taking them off leaves the same map: it is searched from the nearer side.
    #[test]
    fn what_is_owed_is_taken_off_in_the_walks_order() {
        for sent in 1..=90 {
            let guest = guest();
            let page_classes = PageClasses::of(&guest);
            let mut memory = Bitmap::new(&page_classes);
            drain(&mut memory, &page_classes);
            let mut clocks = Clocks::new(&guest, 0);
            let mut drawn = Drawn::new(Random::from_seed(1));
            clocks.run_freely(90);
            memory.sync(&page_classes, &clocks.collect(&guest), &mut drawn);
            memory.cursor = 100;
            let run = memory.next_run(&page_classes).unwrap();
            memory.sent(&page_classes, run, sent);
            memory.settle();
            let left: Vec<u64> = (0..256).filter(|page| memory.dirty.has(*page)).collect();
            // The walk goes from 100 to 153, then from 64 to 99.
            let walk: Vec<u64> = (100..154).chain(64..100).collect();
            let mut expected = walk[index(sent)..].to_vec();
            expected.sort_unstable();
            assert_eq!(left, expected, "{sent}");
            assert_eq!(memory.cursor, walk[index(sent) - 1] + 1);
        }
    }
}
