//! One bit per guest page, in 64-bit words, with the few operations that the circular walk needs.
//!
//! It knows nothing of time or of guests, and a page outside the map is never set.

use multiversion::multiversion;

/// A set of page numbers below a fixed bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PageMap {
    words: Vec<u64>,
    pages: u64,
}

impl PageMap {
    /// No page of `pages` is set.
    pub(super) fn empty(pages: u64) -> Self {
        Self { words: vec![0; index(pages.div_ceil(64))], pages }
    }

    /// Pages the map has room for.
    pub(super) fn capacity(&self) -> u64 {
        self.pages
    }

    /// The words, lowest page first; the lowest bit of a word is its lowest page.
    pub(super) fn words(&self) -> &[u64] {
        &self.words
    }

    /// The words to change; the caller must not set bits beyond the capacity.
    pub(super) fn words_mut(&mut self) -> &mut [u64] {
        &mut self.words
    }

    /// One word of pages; zero outside the map.
    pub(super) fn word(&self, word: u64) -> u64 {
        self.words.get(index(word)).copied().unwrap_or(0)
    }

    /// Whether a page is set.
    pub(super) fn has(&self, page: u64) -> bool {
        self.word(page / 64) >> (page % 64) & 1 == 1
    }

    /// Sets `count` pages from `first`, as far as the map reaches.
    pub(super) fn set_range(&mut self, first: u64, count: u64) {
        self.fill_range(first, count, true);
    }

    /// Clears `count` pages from `first`, as far as the map reaches.
    pub(super) fn clear_range(&mut self, first: u64, count: u64) {
        self.fill_range(first, count, false);
    }

    /// The `count`-th set page, counted from 1, at or after `first` and below the end.
    pub(super) fn nth_from(&self, first: u64, count: u64) -> Found {
        let (start, mut left) = (first / 64, count);
        let head = self.word(start) & (u64::MAX << (first % 64));
        if left <= ones(head) {
            return Found::Page(start * 64 + nth_bit(head, left));
        }
        left -= ones(head);
        let rest = self.words.get(index(start) + 1..).unwrap_or_default();
        let (skipped, left) = skip(rest.iter(), left);
        match rest.get(skipped) {
            Some(word) => Found::Page((start + 1 + skipped as u64) * 64 + nth_bit(*word, left)),
            None => Found::Missing(left),
        }
    }

    /// The `count`-th set page, counted from 1 and backwards, below `end`.
    pub(super) fn nth_before(&self, end: u64, count: u64) -> Found {
        let (start, mut left) = (end / 64, count);
        let tail = self.word(start) & !(u64::MAX << (end % 64));
        if left <= ones(tail) {
            return Found::Page(start * 64 + nth_bit(tail, ones(tail) - left + 1));
        }
        left -= ones(tail);
        let rest = self.words.get(..index(start)).unwrap_or_default();
        let (skipped, left) = skip(rest.iter().rev(), left);
        match rest.iter().rev().nth(skipped) {
            Some(word) => {
                Found::Page((start - 1 - skipped as u64) * 64 + nth_bit(*word, ones(*word) - left + 1))
            }
            None => Found::Missing(left),
        }
    }

    fn fill_range(&mut self, first: u64, count: u64, set: bool) {
        let end = first.saturating_add(count).min(self.pages);
        if first >= end {
            return;
        }
        let (head, tail) = (index(first / 64), index((end - 1) / 64));
        let head_mask = u64::MAX << (first % 64);
        let tail_mask = u64::MAX >> (63 - (end - 1) % 64);
        let fill = |word: Option<&mut u64>, mask: u64| {
            if let Some(word) = word {
                if set { *word |= mask } else { *word &= !mask }
            }
        };
        if head == tail {
            return fill(self.words.get_mut(head), head_mask & tail_mask);
        }
        fill(self.words.get_mut(head), head_mask);
        fill(self.words.get_mut(tail), tail_mask);
        if let Some(whole) = self.words.get_mut(head + 1..tail) {
            whole.fill(if set { u64::MAX } else { 0 });
        }
    }
}

/// What a search for a set page came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// This page.
    Page(u64),
    /// There were fewer than requested: this many more would have been needed.
    Missing(u64),
}

pub(super) fn index(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

pub(super) fn ones(word: u64) -> u64 {
    u64::from(word.count_ones())
}

/// Words that can be passed over before the one with the `left`-th set bit, and how many bits are left to find there.
#[multiversion(targets("x86_64+popcnt"))]
fn skip<'a, Words: Iterator<Item = &'a u64>>(words: Words, left: u64) -> (usize, u64) {
    let mut left = left;
    let mut skipped = 0;
    for word in words {
        let here = ones(*word);
        if left <= here {
            break;
        }
        left -= here;
        skipped += 1;
    }
    (skipped, left)
}

/// Place of the `count`-th set bit, counted from 1; there must be at least this many.
fn nth_bit(word: u64, count: u64) -> u64 {
    let mut rest = word;
    for _ in 1..count {
        rest &= rest.wrapping_sub(1);
    }
    u64::from(rest.trailing_zeros())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pages: u64, set: &[u64]) -> PageMap {
        let mut map = PageMap::empty(pages);
        for page in set {
            map.set_range(*page, 1);
        }
        map
    }

    #[test]
    fn ranges_are_clipped_and_exact() {
        let mut map = PageMap::empty(200);
        map.set_range(60, 10);
        assert_eq!((map.word(0), map.word(1)), (0xf << 60, 0x3f));
        map.set_range(190, 100);
        assert_eq!(map.words().iter().map(|word| ones(*word)).sum::<u64>(), 20);
        map.clear_range(61, 200);
        assert_eq!(map.words(), [1 << 60, 0, 0, 0]);
    }

    #[test]
    fn the_nth_page_is_found_from_either_side() {
        let set = [0, 1, 63, 64, 130, 199];
        let map = map(200, &set);
        for first in 0..200 {
            let ahead: Vec<u64> = set.iter().copied().filter(|page| *page >= first).collect();
            let behind: Vec<u64> = set.iter().rev().copied().filter(|page| *page < first).collect();
            for count in 1..=7_u64 {
                let expected = |pages: &[u64]| match pages.get(index(count - 1)) {
                    Some(page) => Found::Page(*page),
                    None => Found::Missing(count - pages.len() as u64),
                };
                assert_eq!(map.nth_from(first, count), expected(&ahead), "{first} {count}");
                assert_eq!(map.nth_before(first, count), expected(&behind), "{first} {count}");
            }
        }
    }
}
