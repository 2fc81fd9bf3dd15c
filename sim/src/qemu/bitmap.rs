//! One bit per guest page, in 64-bit words, with the few operations that the migration loop needs.
//!
//! It knows nothing of time or of guests, and a page outside the map is never set.

use crate::random::Random;

/// A set of page numbers below a fixed bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PageMap {
    words: Vec<u64>,
    pages: usize,
}

impl PageMap {
    /// No page of `pages` is set.
    pub(crate) fn empty(pages: usize) -> Self {
        Self { words: vec![0; pages.div_ceil(64)], pages }
    }

    /// Pages the map has room for.
    pub(crate) fn capacity(&self) -> usize {
        self.pages
    }

    /// The words, lowest page first; the lowest bit of a word is its lowest page.
    pub(crate) fn words(&self) -> &[u64] {
        &self.words
    }

    /// The words to change; the caller must not set bits beyond the capacity.
    pub(crate) fn words_mut(&mut self) -> &mut [u64] {
        &mut self.words
    }

    /// One word of pages; zero outside the map.
    pub(crate) fn word(&self, index: usize) -> u64 {
        self.words.get(index).copied().unwrap_or(0)
    }

    /// Clears those pages of one word that are set in `mask`.
    pub(crate) fn clear_in_word(&mut self, index: usize, mask: u64) {
        if let Some(word) = self.words.get_mut(index) {
            *word &= !mask;
        }
    }

    /// Sets `count` pages from `first`, as far as the map reaches.
    pub(crate) fn set_range(&mut self, first: usize, count: usize) {
        self.for_each_word(first, count, |word, mask| *word |= mask);
    }

    /// Clears `count` pages from `first`, as far as the map reaches.
    pub(crate) fn clear_range(&mut self, first: usize, count: usize) {
        self.for_each_word(first, count, |word, mask| *word &= !mask);
    }

    /// Sets each of `count` pages from `first` independently with chance `chance` / 2^64, where
    /// `u64::MAX` is certainty.
    pub(crate) fn set_at_random(&mut self, first: usize, count: usize, chance: u64, random: &mut Random) {
        match chance {
            0 => {}
            u64::MAX => self.set_range(first, count),
            _ => {
                self.for_each_word(first, count, |word, mask| {
                    *word |= random.bits_with_chance(chance) & mask;
                });
            }
        }
    }

    /// Index of the first non-empty word at or after `page`'s word, together with its pages from `page` on;
    /// wraps around once, so that nothing is found only when nothing is set.
    pub(crate) fn next_word_from(&self, page: usize) -> Option<(usize, u64)> {
        let start = page / 64;
        let head = self.word(start) & (u64::MAX << (page % 64));
        if head != 0 {
            return Some((start, head));
        }
        let after = (start + 1).min(self.words.len());
        let (before, behind) = self.words.split_at_checked(after)?;
        let ahead = behind.iter().position(|word| *word != 0).map(|offset| after + offset);
        let index = ahead.or_else(|| before.iter().position(|word| *word != 0))?;
        Some((index, self.word(index)))
    }

    /// Runs `change` on every word that the range touches, with the range's bits of that word.
    fn for_each_word(&mut self, first: usize, count: usize, mut change: impl FnMut(&mut u64, u64)) {
        let end = first.saturating_add(count).min(self.pages);
        let mut page = first;
        while page < end {
            let index = page / 64;
            let next = ((index + 1) * 64).min(end);
            let length = next - page;
            let mask = (u64::MAX >> (64 - length)) << (page % 64);
            if let Some(word) = self.words.get_mut(index) {
                change(word, mask);
            }
            page = next;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(map: &PageMap) -> u32 {
        map.words().iter().map(|word| word.count_ones()).sum()
    }

    #[test]
    fn ranges_are_clipped_and_exact() {
        let mut map = PageMap::empty(200);
        map.set_range(60, 10);
        assert_eq!((map.word(0), map.word(1)), (0xf << 60, 0x3f));
        map.set_range(190, 100);
        assert_eq!(count(&map), 20);
        map.clear_range(61, 200);
        assert_eq!(count(&map), 1);
    }

    #[test]
    fn the_search_wraps_around_once() {
        let mut map = PageMap::empty(300);
        assert_eq!(map.next_word_from(100), None);
        map.set_range(3, 1);
        assert_eq!(map.next_word_from(100), Some((0, 8)));
        assert_eq!(map.next_word_from(3), Some((0, 8)));
        assert_eq!(map.next_word_from(4), Some((0, 8)));
        assert_eq!(map.next_word_from(299), Some((0, 8)));
    }

    #[test]
    fn chance_stays_inside_the_range() {
        let mut map = PageMap::empty(1000);
        map.set_at_random(100, 500, 1 << 63, &mut Random::from_seed(3));
        let hits = count(&map);
        assert!((170..330).contains(&hits), "{hits}");
        map.clear_range(100, 500);
        assert_eq!(count(&map), 0);
        map.set_at_random(100, 500, u64::MAX, &mut Random::from_seed(3));
        assert_eq!(count(&map), 500);
    }
}
