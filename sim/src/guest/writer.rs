//! A writer: one virtual CPU's program that writes to memory, and the pages that its writes pass over.
//!
//! Nothing here may remember what it was asked before: where a scan stands follows from the number of writes alone.

use std::num::NonZeroU64;

use super::pace::{Pace, WRITE};
use super::pattern::Pattern;

/// A scan that moves more often than this between two syncs is taken for two scans at half the speed: they pass over as
/// many pages, in longer runs.
const MOST_STRETCHES: u128 = 1 << 16;

/// The speed of real time in a writer's top speed.
pub(crate) const SPEED_ONE: u64 = 1024;

/// A program that writes to a working set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Writer {
    /// Which page a write hits.
    pub pattern: Pattern,
    /// First page of its working set, from the start of the guest's region.
    pub offset_pages: u64,
    /// Pages of the working set, up to 2^32.
    pub working_set_pages: u64,
    /// How many writes it does (not pages: several writes may hit one page), up to 10^9 a second.
    pub pace: Pace,
    /// After this many writes the working set moves up by its own length, and after as many more it moves back.
    pub moves_after_writes: Option<NonZeroU64>,
    /// How long the writer may be kept from running and still makes up for the writes that it missed. Zero for one
    /// that is bound by its CPU and writes as fast as it can: what it missed is lost.
    pub catches_up_ns: u64,
    /// The most writes a second that it can do while it makes up for what it missed: it cannot do more than this even
    /// if it runs all the time. Zero where that is not known, and nothing keeps it from making up for everything.
    pub top_writes_per_second: u64,
}

/// A run of pages, from the start of the guest's region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PageRun {
    pub(crate) first: u64,
    pub(crate) pages: u64,
}

impl Writer {
    /// A writer of one steady rate from the start of the region, bound by its CPU.
    #[must_use]
    pub fn steady(pattern: Pattern, writes_per_second: u64, working_set_pages: u64) -> Self {
        Self {
            pattern,
            offset_pages: 0,
            working_set_pages,
            pace: Pace::steady(writes_per_second),
            moves_after_writes: None,
            catches_up_ns: 0,
            top_writes_per_second: 0,
        }
    }

    /// How fast its own time runs at most while it makes up for what it missed, in parts of 1024 of real time; none if
    /// nothing bounds it.
    pub(crate) fn top_speed(&self) -> Option<u64> {
        let asked = self.pace.most_writes_per_second();
        (self.top_writes_per_second > 0 && asked > 0)
            .then(|| self.top_writes_per_second.saturating_mul(SPEED_ONE) / asked)
    }

    /// Pages from the start of the region that it may ever write to.
    #[must_use]
    pub fn reach_pages(&self) -> u64 {
        let times = if self.moves_after_writes.is_some() { 2 } else { 1 };
        self.offset_pages.saturating_add(self.working_set_pages.saturating_mul(times))
    }

    /// Of its writes until a count of them, those that go to the place that it moves to. In units of 10^-9.
    pub(crate) fn moved_by(&self, writes: u128) -> u128 {
        let Some(length) = self.moves_after_writes else { return 0 };
        let length = u128::from(length.get()) * WRITE;
        let there_and_back = 2 * length;
        writes / there_and_back * length + (writes % there_and_back).saturating_sub(length)
    }

    /// Reports the runs of pages that a scan passes over between two counts of writes, in units of 10^-9.
    pub(crate) fn scan(&self, from: u128, to: u128, mut tell: impl FnMut(PageRun)) {
        let (from, to) = (from / WRITE, to / WRITE);
        if from >= to || self.working_set_pages == 0 {
            return;
        }
        let Some(length) = self.moves_after_writes.map(|length| u128::from(length.get())) else {
            self.run(0, from, to, &mut tell);
            return;
        };
        let last = (to - 1) / length;
        // A stretch begins where the one of twice the working set before it began, so older ones show nothing new.
        let repeats_after = 2 * u128::from(self.working_set_pages);
        if (last - from / length).min(repeats_after) > MOST_STRETCHES {
            let (half_from, half_to) = (from / 2, to / 2);
            self.run(0, half_from, half_to, &mut tell);
            self.run(self.working_set_pages, half_from, half_to, &mut tell);
            return;
        }
        for stretch in (from / length).max(last.saturating_sub(repeats_after))..=last {
            let offset = if stretch % 2 == 0 { 0 } else { self.working_set_pages };
            let (begins, ends) = (from.max(stretch * length), to.min((stretch + 1) * length));
            self.run(offset, begins, ends, &mut tell);
        }
    }

    /// A contiguous run, wrapped around the end of the working set.
    fn run(&self, offset: u64, from: u128, to: u128, tell: &mut impl FnMut(PageRun)) {
        let pages = u128::from(self.working_set_pages);
        let count = (to - from).min(pages);
        let begins = from % pages;
        let head = count.min(pages - begins);
        for (first, length) in [(begins, head), (0, count - head)] {
            // Both are below the working set's 2^32 pages.
            let part = |value: u128| u64::try_from(value).unwrap_or(u64::MAX);
            if length > 0 {
                let first = self.offset_pages.saturating_add(offset).saturating_add(part(first));
                tell(PageRun { first, pages: part(length) });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGES: u64 = 16_384;

    fn scan(length: u64) -> Writer {
        let moves_after_writes = NonZeroU64::new(length);
        Writer { moves_after_writes, ..Writer::steady(Pattern::Sequential, 10_000, PAGES) }
    }

    /// The pages written between two numbers of writes, each once.
    fn written(writer: &Writer, from: u64, to: u64) -> Vec<u64> {
        let mut pages = Vec::new();
        writer.scan(u128::from(from) * WRITE, u128::from(to) * WRITE, |run| {
            pages.extend(run.first..run.first + run.pages);
        });
        pages.sort_unstable();
        pages.dedup();
        pages
    }

    /// What writing one page after the other, each by its number, would leave dirty.
    fn one_by_one(length: u64, from: u64, to: u64) -> Vec<u64> {
        let mut pages: Vec<u64> =
            (from..to).map(|write| write % PAGES + write / length % 2 * PAGES).collect();
        pages.sort_unstable();
        pages.dedup();
        pages
    }

    #[test]
    fn a_scan_is_the_run_it_passed() {
        assert_eq!(written(&scan(0), 1000, 2000), (1000..2000).collect::<Vec<_>>());
        let wrapped = written(&scan(0), 16_000, 17_000);
        assert_eq!(wrapped, (0..616).chain(16_000..PAGES).collect::<Vec<_>>());
        assert_eq!(written(&scan(0), 0, 16_390).len() as u64, PAGES);
        assert!(written(&scan(0), 5, 5).is_empty());
    }

    #[test]
    fn a_moving_scan_is_what_its_single_writes_are() {
        for (length, from, to) in
            [(700, 0, 3000), (1000, 2500, 19_000), (5, 30, 16_500), (20_000, 9000, 50_000)]
        {
            assert_eq!(
                written(&scan(length), from, to),
                one_by_one(length, from, to),
                "{length} {from} {to}"
            );
        }
    }

    /// However many times it moved, looking costs a bounded number of runs.
    #[test]
    fn a_scan_that_moved_for_ages_is_looked_at_in_no_time() {
        assert_eq!(written(&scan(3), 0, 1_000_000_000_000).len() as u64, 2 * PAGES);
        let huge = Writer { working_set_pages: 1 << 32, ..scan(1) };
        let mut pages = 0;
        huge.scan(0, (1 << 30) * WRITE, |run| pages += run.pages);
        assert_eq!(pages, 1 << 30);
    }

    #[test]
    fn the_working_set_moves_and_comes_back() {
        let moved = |writes: u128| scan(1000).moved_by(writes * WRITE) / WRITE;
        assert_eq!([0, 1000, 1500, 2000, 3000, 3001, 4000].map(moved), [0, 0, 500, 1000, 1000, 1001, 2000]);
        assert_eq!(scan(0).moved_by(77), 0);
    }
}
