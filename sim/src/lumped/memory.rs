//! How many pages of each class are still to be sent, and where the circular walk stands among them.
//!
//! Only counts: where the pages of a class lie within it is known on average. For pages that cost the same this loses
//! nothing, since a page that is written while it still waits is counted once, like its one bit in a bitmap.
//! It must never touch time or bytes.

use super::binomial::Hits;
use super::classes::{Class, Classes};
use super::exposure::chance_of_write;

/// Dirty pages of one class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Dirty {
    normal: u64,
    zero: u64,
}

/// What the walk meets next: pages that cost the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) pages: u64,
    pub(crate) zero: bool,
    pub(crate) firmware: bool,
}

/// The dirty pages of a guest on their circular walk.
#[derive(Clone, Debug)]
pub(crate) struct Memory<'a> {
    classes: &'a Classes,
    /// Dirty pages of each class; of the walk's own class only those ahead of it.
    ahead: Vec<Dirty>,
    /// Dirty pages of the walk's class that it has passed.
    behind: Dirty,
    /// The class the walk is in, and how many of its pages it has passed.
    place: usize,
    passed: u64,
    remaining: u64,
    remaining_zero: u64,
    remaining_firmware: u64,
    /// The only class that is written to, once nothing but its pages can be dirty any more. From then on all dirty pages
    /// are alike, and where the walk stands makes no difference to anything.
    only: Option<usize>,
}

impl<'a> Memory<'a> {
    /// Everything is dirty, as at the start of every migration.
    pub(crate) fn new(classes: &'a Classes) -> Self {
        let dirty = |class: &Class| {
            if class.zero {
                Dirty { normal: 0, zero: class.pages }
            } else {
                Dirty { normal: class.pages, zero: 0 }
            }
        };
        let sum = |wanted: fn(&Class) -> bool| {
            classes.list.iter().filter(|class| wanted(class)).map(|class| class.pages).sum()
        };
        Self {
            ahead: classes.list.iter().map(dirty).collect(),
            behind: Dirty::default(),
            place: 0,
            passed: 0,
            remaining: classes.total_pages,
            remaining_zero: sum(|class| class.zero),
            remaining_firmware: sum(|class| class.firmware),
            only: None,
            classes,
        }
    }

    /// Pages still to be sent.
    #[inline]
    pub(crate) fn remaining(&self) -> u64 {
        self.remaining
    }

    /// The next pages on the walk, as many as cost the same; none when everything is sent.
    ///
    /// Where a class has both kinds, which happens only while memory that was never filled is sent for the first time,
    /// the zero pages come first.
    #[inline]
    pub(crate) fn next_run(&mut self) -> Option<Run> {
        if self.remaining_zero == 0 && self.remaining_firmware == 0 {
            let run = Run { pages: self.remaining, zero: false, firmware: false };
            return Some(run).filter(|run| run.pages > 0);
        }
        self.next_run_in_order()
    }

    fn next_run_in_order(&mut self) -> Option<Run> {
        if self.remaining == 0 {
            return None;
        }
        let dirty = self.enter_dirty_class();
        let firmware = self.class().is_some_and(|class| class.firmware);
        match dirty.zero {
            0 => Some(Run { pages: dirty.normal, zero: false, firmware }),
            zero => Some(Run { pages: zero, zero: true, firmware }),
        }
    }

    /// Takes pages off the front of a run just asked for: they are on the wire.
    #[inline]
    pub(crate) fn sent(&mut self, run: Run, pages: u64) {
        self.remaining -= pages;
        if run.zero {
            self.remaining_zero -= pages;
        }
        if run.firmware {
            self.remaining_firmware -= pages;
        }
        if let Some(dirty) = self.only.and_then(|only| self.ahead.get_mut(only)) {
            dirty.normal -= pages;
            return;
        }
        self.sent_in_order(run, pages);
    }

    fn sent_in_order(&mut self, run: Run, pages: u64) {
        let mut left = pages;
        while left > 0 {
            let dirty = self.enter_dirty_class();
            let here = if run.zero { dirty.zero } else { dirty.normal };
            let taken = left.min(here);
            self.pass(dirty, taken);
            if let Some(dirty) = self.ahead.get_mut(self.place) {
                let kind = if run.zero { &mut dirty.zero } else { &mut dirty.normal };
                *kind -= taken;
            }
            if taken == 0 {
                break;
            }
            left -= taken;
        }
    }

    /// Adds what was written between two instants; returns how many pages were clean before and are dirty now.
    pub(crate) fn sync(&mut self, from_ns: u64, to_ns: u64, hits: &mut impl Hits) -> u64 {
        self.forget_order();
        let classes = self.only.map_or(0..self.ahead.len(), |only| only..only + 1);
        let newly_dirty = classes.map(|class| self.sync_class(class, from_ns, to_ns, hits)).sum();
        self.remaining += newly_dirty;
        newly_dirty
    }

    fn sync_class(&mut self, index: usize, from_ns: u64, to_ns: u64, hits: &mut impl Hits) -> u64 {
        let (Some(class), Some(ahead)) = (self.classes.list.get(index), self.ahead.get_mut(index)) else {
            return 0;
        };
        let chance =
            if class.written { chance_of_write(self.classes.exposure(index, from_ns, to_ns)) } else { 0 };
        if chance == 0 {
            return 0;
        }
        let passed = if index == self.place { self.passed } else { 0 };
        let mut newly_dirty = 0;
        for (dirty, pages) in [(ahead, class.pages - passed), (&mut self.behind, passed)] {
            if pages == 0 {
                continue;
            }
            let rewritten = hits.hits(dirty.zero, chance);
            let written = hits.hits(pages - dirty.zero - dirty.normal, chance);
            dirty.zero -= rewritten;
            self.remaining_zero -= rewritten;
            dirty.normal += rewritten + written;
            newly_dirty += written;
        }
        newly_dirty
    }

    /// Once all dirty pages are of the one class that is written to, a single count stands for them.
    fn forget_order(&mut self) {
        let Some(only) = self.classes.only_written.filter(|_| self.only.is_none()) else { return };
        let behind = if only == self.place { self.behind.normal } else { 0 };
        let Some(dirty) = self.ahead.get_mut(only) else { return };
        if dirty.normal + behind == self.remaining {
            dirty.normal += behind;
            (self.behind, self.passed) = (Dirty::default(), 0);
            self.only = Some(only);
        }
    }

    fn class(&self) -> Option<&Class> {
        self.classes.list.get(self.place)
    }

    /// Walks on to the next class with dirty pages ahead; the caller knows that there is one.
    fn enter_dirty_class(&mut self) -> Dirty {
        for _ in 0..=self.ahead.len() {
            let dirty = self.ahead.get(self.place).copied().unwrap_or_default();
            if dirty != Dirty::default() {
                return dirty;
            }
            // All of this class now lies behind the walk, and ahead of its next round.
            if let Some(ahead) = self.ahead.get_mut(self.place) {
                *ahead = std::mem::take(&mut self.behind);
            }
            self.passed = 0;
            self.place = if self.place + 1 < self.ahead.len() { self.place + 1 } else { 0 };
        }
        Dirty::default()
    }

    /// Moves on over the pages just taken and the clean ones between them: the place of the `taken`-th of `dirty` pages
    /// spread at random over what lies ahead, on average.
    fn pass(&mut self, dirty: Dirty, taken: u64) {
        let pages_ahead = self.class().map_or(0, |class| class.pages) - self.passed;
        let dirty_ahead = dirty.normal + dirty.zero;
        let moved = match taken.checked_mul(pages_ahead + 1) {
            _ if dirty_ahead == pages_ahead => taken,
            Some(product) => product / (dirty_ahead + 1),
            None => pages_ahead / (dirty_ahead + 1) * taken,
        };
        self.passed += moved.clamp(taken, pages_ahead - (dirty_ahead - taken));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lumped::binomial::Expected;
    use crate::qemu::{Guest, UniformPhase, Writer};

    fn classes() -> Classes {
        let phase = UniformPhase { from_ns: 0, writes_per_second: 1 << 20, working_set_pages: 128 };
        let writer = Writer::Uniform(vec![phase]);
        let guest = Guest {
            memory_mib: 1,
            region_first_page: 64,
            filled_pages: 64,
            paused: false,
            started_at_ns: 0,
            writer,
        };
        let Ok(classes) = Classes::of(&guest) else { panic!("uniform writers are supported") };
        classes
    }

    /// Everything certainly written before anything was sent: nothing is new, and zeros became content.
    #[test]
    fn pages_that_wait_are_counted_once() {
        let classes = classes();
        let mut memory = Memory::new(&classes);
        assert_eq!(memory.sync(0, 1 << 30, &mut Expected::new()), 0);
        assert_eq!(memory.remaining(), 256 + 130);
        let mut runs = Vec::new();
        while let Some(run) = memory.next_run() {
            runs.push((run.pages, run.zero));
            memory.sent(run, run.pages);
        }
        assert_eq!(runs, [(64, true), (64, false), (64, false), (64, true), (116, false), (14, true)]);
        assert_eq!(memory.sync(1 << 30, 1 << 31, &mut Expected::new()), 128);
    }

    /// What is left when a round ends lies ahead of the walk and is met again first.
    #[test]
    fn the_walk_is_circular() {
        let classes = classes();
        let mut memory = Memory::new(&classes);
        for _ in 0..2 {
            let Some(run) = memory.next_run() else { panic!("all is dirty") };
            memory.sent(run, run.pages.min(48));
        }
        // 48 and 16 zero pages: the walk stands before the filled pages; two classes of 64 pages wait.
        assert_eq!(memory.sync(0, 1 << 40, &mut Expected::new()), 0);
        let Some(run) = memory.next_run() else { panic!("more is dirty") };
        memory.sent(run, 40);
        // Forty of the filled pages lie behind; they are written again and wait for the next time round.
        assert_eq!(memory.sync(1 << 40, 1 << 41, &mut Expected::new()), 40);
        let lengths: Vec<u64> = std::iter::from_fn(|| {
            let run = memory.next_run()?;
            memory.sent(run, run.pages);
            Some(run.pages)
        })
        .collect();
        assert_eq!(lengths, [24, 64, 64, 116, 14, 40]);
    }
}
