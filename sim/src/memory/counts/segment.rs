//! A stretch of one class of pages, and how many of them are dirty.

use crate::guest::PageClasses;
use crate::sampling::Hits;

/// Dirty pages by what they cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Dirty {
    pub(super) normal: u64,
    pub(super) zero: u64,
}

/// A stretch of one class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    /// Index of its class.
    pub(super) class: usize,
    pub(super) first: u64,
    pub(super) pages: u64,
    /// Its dirty pages; where the walk is, only those ahead of it.
    pub(super) dirty: Dirty,
}

/// What was hit of some pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Hit {
    pub(super) newly_dirty: u64,
    pub(super) rewritten: u64,
}

impl Dirty {
    #[inline]
    pub(super) fn pages(self) -> u64 {
        self.normal + self.zero
    }

    /// Writes to each of `pages` pages, of which these are dirty, with a chance.
    #[inline]
    pub(super) fn write(&mut self, pages: u64, chance: u64, hits: &mut impl Hits) -> Hit {
        let rewritten = if self.zero == 0 { 0 } else { hits.hits(self.zero, chance) };
        let newly_dirty = hits.hits(pages - self.pages(), chance);
        self.zero -= rewritten;
        self.normal += rewritten + newly_dirty;
        Hit { newly_dirty, rewritten }
    }
}

impl Segment {
    /// Whether this and the one after it can be one: of one class, and where a scan passes both clean or both dirty
    /// throughout.
    pub(super) fn is_like(&self, next: &Self, page_classes: &PageClasses, crowded: bool) -> bool {
        let scanned = !crowded && page_classes.classes.get(self.class).is_some_and(|class| class.scanned);
        let (here, there) = (self.dirty, next.dirty);
        let clean = here == Dirty::default() && there == Dirty::default();
        let dirty = here.normal == self.pages && there.normal == next.pages
            || here.zero == self.pages && there.zero == next.pages;
        self.class == next.class && (clean || dirty || !scanned)
    }
}

/// Pages that the walk passes with `taken` of the dirty pages spread at random over what lies ahead: the place of the
/// last of them, on average.
#[inline]
pub(super) fn passed_with(taken: u64, dirty_ahead: u64, pages_ahead: u64) -> u64 {
    if dirty_ahead == pages_ahead {
        return taken;
    }
    let passed = match taken.checked_mul(pages_ahead + 1) {
        Some(product) => product / (dirty_ahead + 1),
        None => pages_ahead / (dirty_ahead + 1) * taken,
    };
    passed.clamp(taken, pages_ahead - (dirty_ahead - taken))
}

/// These pages as a part of all, as a chance in units of 2^-64.
pub(super) fn chance_of_part(part: u64, pages: u64) -> u64 {
    u64::try_from((u128::from(part) << 64) / u128::from(pages.max(1))).unwrap_or(u64::MAX)
}
