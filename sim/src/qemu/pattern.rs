//! Guests that write at one steady rate: scattered, scanning, with a hot set, or by a power law.
//!
//! Only the union of the writes between two looks at the dirty log counts. So a scattered pattern is split into classes
//! of equally likely pages, each drawn on its own, and a scan is the run of pages that it passed. Nothing here may
//! remember what it was asked before: where a scan stands follows from the guest's time alone.

use std::num::NonZeroU64;

use crate::random::Random;

use super::bitmap::PageMap;
use super::chance::chance_of_write;
use super::guest::index;

const NS_PER_S: u128 = 1_000_000_000;
/// The share of the hot set counts in these.
pub const HOT_SHARE_ONE: u32 = 1 << 16;
/// Binary digits after the point of a page's place in its region, before two square roots are drawn from it.
const PLACE_BITS: u32 = 92;
/// A bin of the power law reaches from page b to b + b/8 and one page more. The density falls by at most a tenth
/// within it, which changes the expected number of dirty pages by less than a thousandth.
const BIN_DIVISOR: u64 = 8;

/// A writer with one rate and one pattern, from the start of the guest on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SteadyWriter {
    /// Which page a write hits.
    pub pattern: Pattern,
    /// Writes a second (not pages: several writes may hit one page), up to 10^9.
    pub writes_per_second: u64,
    /// Pages of the region that is written to, up to 2^32.
    pub working_set_pages: u64,
    /// After so many writes the region moves up by its own length, and after as many more it moves back.
    pub moves_after_writes: Option<NonZeroU64>,
    /// How long the guest may be kept from running and still makes up for the writes that it missed. Zero for one
    /// that writes as fast as it can: what it missed is lost.
    pub catches_up_ns: u64,
}

/// Which page of the region a write hits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// Every page equally likely.
    Uniform,
    /// One page after the other, from the first again after the last.
    Sequential,
    /// A part of the writes is uniform over the first pages, the rest uniform over the whole region.
    HotCold {
        /// Pages of the hot set, from the start of the region.
        hot_pages: u64,
        /// The part of the writes that goes there, in units of 1/[`HOT_SHARE_ONE`].
        hot_share: u32,
    },
    /// Page w·u⁴ of w pages, u uniform in 0..1: the first pages are by far the busiest.
    PowerLaw,
}

/// The pages a writer may touch: a range of the dirty log.
#[derive(Debug)]
pub(super) struct Target<'a> {
    pub(super) log: &'a mut PageMap,
    /// First page of the region.
    pub(super) first_page: usize,
    /// The guest's main memory ends here.
    pub(super) end_page: usize,
}

impl Target<'_> {
    fn at_random(&mut self, offset: u64, pages: u64, chance: u64, random: &mut Random) {
        let first = self.first_page.saturating_add(index(offset)).min(self.end_page);
        self.log.set_at_random(first, index(pages).min(self.end_page - first), chance, random);
    }
}

impl SteadyWriter {
    /// Marks what is written between two instants of the guest's own time.
    pub(super) fn mark_written(
        &self,
        from_ns: u64,
        to_ns: u64,
        target: &mut Target<'_>,
        random: &mut Random,
    ) {
        let rate = u128::from(self.writes_per_second);
        // Writes since the start of the guest, in units of 10^-9: exact, however finely time is cut.
        let (from, to) = (u128::from(from_ns) * rate, u128::from(to_ns) * rate);
        if self.pattern == Pattern::Sequential {
            self.scan(from / NS_PER_S, to / NS_PER_S, target, random);
            return;
        }
        let moved = self.moved_until(to) - self.moved_until(from);
        for (offset, writes) in [(0, to - from - moved), (self.working_set_pages, moved)] {
            self.scatter(offset, writes, target, random);
        }
    }

    /// Of the first `writes` (in units of 10^-9), those that go to the moved region.
    fn moved_until(&self, writes: u128) -> u128 {
        let Some(length) = self.moves_after_writes else { return 0 };
        let length = u128::from(length.get()) * NS_PER_S;
        let there_and_back = 2 * length;
        writes / there_and_back * length + (writes % there_and_back).saturating_sub(length)
    }

    /// Draws every class of equally likely pages; `write_nanoseconds` is the writes in units of 10^-9.
    fn scatter(&self, offset: u64, write_nanoseconds: u128, target: &mut Target<'_>, random: &mut Random) {
        let pages = self.working_set_pages;
        let mut draw = |first: u64, pages: u64, writes: u128| {
            target.at_random(offset.saturating_add(first), pages, chance_of_write(writes, pages), random);
        };
        match self.pattern {
            Pattern::Sequential => {}
            Pattern::Uniform => draw(0, pages, write_nanoseconds),
            Pattern::HotCold { hot_pages, hot_share } => {
                let share = u128::from(hot_share.min(HOT_SHARE_ONE));
                let hot = write_nanoseconds * share / u128::from(HOT_SHARE_ONE);
                draw(0, hot_pages, hot);
                draw(0, pages, write_nanoseconds - hot);
            }
            Pattern::PowerLaw => {
                for bin in power_law_bins(pages) {
                    draw(bin.first, bin.pages, (write_nanoseconds * u128::from(bin.share)) >> ROOT_BITS);
                }
            }
        }
    }

    /// Marks the pages that the writes numbered `from..to` pass over.
    fn scan(&self, from: u128, to: u128, target: &mut Target<'_>, random: &mut Random) {
        if from >= to || self.working_set_pages == 0 {
            return;
        }
        let Some(length) = self.moves_after_writes.map(|length| u128::from(length.get())) else {
            self.run(0, from, to, target, random);
            return;
        };
        let last = (to - 1) / length;
        // A stretch begins where the one of twice the working set before it began, so older ones show nothing new.
        let repeats_after = 2 * u128::from(self.working_set_pages);
        for stretch in (from / length).max(last.saturating_sub(repeats_after))..=last {
            let offset = if stretch % 2 == 0 { 0 } else { self.working_set_pages };
            let (begins, ends) = (from.max(stretch * length), to.min((stretch + 1) * length));
            self.run(offset, begins, ends, target, random);
        }
    }

    /// A contiguous run, wrapped around the end of the region.
    fn run(&self, offset: u64, from: u128, to: u128, target: &mut Target<'_>, random: &mut Random) {
        let pages = u128::from(self.working_set_pages);
        let count = (to - from).min(pages);
        let begins = from % pages;
        let head = count.min(pages - begins);
        for (first, length) in [(begins, head), (0, count - head)] {
            // Both are below the working set's 2^32 pages.
            let part = |value: u128| u64::try_from(value).unwrap_or(u64::MAX);
            target.at_random(offset.saturating_add(part(first)), part(length), u64::MAX, random);
        }
    }
}

/// Binary digits after the point of a bin's share.
const ROOT_BITS: u32 = PLACE_BITS / 4;

/// Neighbouring pages of the power law that are taken for equally likely.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Bin {
    first: u64,
    pages: u64,
    /// The part of all writes that goes there, in units of 2^-23.
    share: u64,
}

/// Bins of geometric width: page w·u⁴ is below b with probability (b/w)^¼.
fn power_law_bins(pages: u64) -> impl Iterator<Item = Bin> {
    let below = move |edge: u64| {
        let place = (u128::from(edge) << PLACE_BITS) / u128::from(pages.max(1));
        // Two square roots of at most 2^92 leave at most 2^23.
        u64::try_from(place.isqrt().isqrt()).unwrap_or(u64::MAX)
    };
    let mut first = 0;
    std::iter::from_fn(move || {
        if first >= pages {
            return None;
        }
        let end = (first + 1 + first / BIN_DIVISOR).min(pages);
        let bin = Bin { first, pages: end - first, share: below(end) - below(first) };
        first = end;
        Some(bin)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGES: u64 = 16_384;

    fn writer(pattern: Pattern, writes_per_second: u64) -> SteadyWriter {
        SteadyWriter {
            pattern,
            writes_per_second,
            working_set_pages: PAGES,
            moves_after_writes: None,
            catches_up_ns: 0,
        }
    }

    /// Pages of a map of three working sets that are dirty after the writes between two instants, in ms.
    fn written(writer: &SteadyWriter, from_ms: u64, to_ms: u64, seed: u64) -> Vec<u64> {
        let mut log = PageMap::empty(index(3 * PAGES));
        let mut target = Target { log: &mut log, first_page: 0, end_page: index(3 * PAGES) };
        let mut random = Random::from_seed(seed);
        writer.mark_written(from_ms * 1_000_000, to_ms * 1_000_000, &mut target, &mut random);
        (0..3 * PAGES).filter(|page| log.word(index(page / 64)) >> (page % 64) & 1 == 1).collect()
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
        let scan = writer(Pattern::Sequential, 10_000);
        assert_eq!(written(&scan, 100, 200, 1), (1000..2000).collect::<Vec<_>>());
        let wrapped = written(&scan, 1600, 1700, 1);
        assert_eq!(wrapped, (0..616).chain(16_000..PAGES).collect::<Vec<_>>());
        assert_eq!(written(&scan, 0, 1639, 1).len() as u64, PAGES);
        assert!(written(&scan, 5, 5, 1).is_empty());
    }

    #[test]
    fn a_moving_scan_is_what_its_single_writes_are() {
        for (length, from_ms, to_ms) in [(700, 0, 300), (1000, 250, 1900), (5, 3, 1650), (20_000, 900, 5000)]
        {
            let mut scan = writer(Pattern::Sequential, 10_000);
            scan.moves_after_writes = NonZeroU64::new(length);
            let expected = one_by_one(length, from_ms * 10, to_ms * 10);
            assert_eq!(written(&scan, from_ms, to_ms, 1), expected, "{length} {from_ms} {to_ms}");
        }
    }

    /// However many times it moved, looking costs no more than twice the working set.
    #[test]
    fn a_scan_that_moved_for_ages_is_looked_at_in_no_time() {
        let mut scan = writer(Pattern::Sequential, 1_000_000_000);
        scan.moves_after_writes = NonZeroU64::new(3);
        assert_eq!(written(&scan, 0, 1_000_000_000, 1).len() as u64, 2 * PAGES);
    }

    #[test]
    fn the_region_moves_and_comes_back() {
        let mut moving = writer(Pattern::Uniform, 10_000);
        moving.moves_after_writes = NonZeroU64::new(1000);
        assert!(written(&moving, 0, 100, 2).iter().all(|page| *page < PAGES));
        assert!(written(&moving, 100, 200, 2).iter().all(|page| (PAGES..2 * PAGES).contains(page)));
        assert!(written(&moving, 200, 300, 2).iter().all(|page| *page < PAGES));
        let both = written(&moving, 150, 250, 2);
        assert!((400..600).contains(&both.iter().filter(|page| **page < PAGES).count()));
    }

    #[test]
    fn the_hot_set_takes_its_share() {
        let hot = writer(Pattern::HotCold { hot_pages: 1024, hot_share: HOT_SHARE_ONE / 4 * 3 }, 16_384);
        let pages = written(&hot, 0, 1000, 3);
        let hot_pages = pages.iter().filter(|page| **page < 1024).count();
        // 12,288 writes to the hot pages leave none of the 1,024 clean; 4,096 over all dirty 22 % of the others.
        assert!(hot_pages >= 1022, "{hot_pages}");
        assert!((3200..3600).contains(&(pages.len() - hot_pages)), "{}", pages.len());
    }

    /// The number of dirty pages in each sixteenth of the region against one draw of u a write.
    #[test]
    fn the_power_law_is_that_of_single_draws() {
        let dirty = |pages: &[u64]| -> Vec<usize> {
            (0..16).map(|part| pages.iter().filter(|page| **page / 1024 == part).count()).collect()
        };
        let by_bins = dirty(&written(&writer(Pattern::PowerLaw, 20_000), 0, 1000, 4));
        let mut random = Random::from_seed(5);
        let mut pages: Vec<u64> = (0..20_000)
            .map(|_| {
                let u = u128::from(random.next_u64() >> 36);
                u64::try_from((u128::from(PAGES) * u * u * u * u) >> 112).unwrap()
            })
            .collect();
        pages.sort_unstable();
        pages.dedup();
        for (by_bins, drawn) in by_bins.iter().zip(dirty(&pages)) {
            assert!(by_bins.abs_diff(drawn) <= 20 + drawn / 8, "{by_bins} {drawn}");
        }
    }

    #[test]
    fn power_law_bins_cover_every_page_once() {
        for pages in [0, 1, 2, 9, 1000, 65_536, 1 << 32] {
            let bins: Vec<Bin> = power_law_bins(pages).collect();
            assert_eq!(bins.iter().map(|bin| bin.pages).sum::<u64>(), pages);
            assert_eq!(bins.iter().map(|bin| bin.share).sum::<u64>(), if pages == 0 { 0 } else { 1 << 23 });
            assert!(bins.array_windows().all(|[a, b]| a.first + a.pages == b.first));
        }
    }
}
