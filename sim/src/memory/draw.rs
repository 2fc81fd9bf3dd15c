//! Draws for whole ranges of pages at once: each page of a range is written with the same chance.
//!
//! A dense range takes the first binary digits of its chance for 64 pages side by side, several words at once on
//! whatever vector unit the machine has, and what the digits leave over as single writes; a sparse one takes single
//! writes alone. Either way every page has its chance to better than 2^-30, and all of it is integer work, so that the
//! result is the same on every machine.

use multiversion::multiversion;

use super::page_map::PageMap;
use crate::random::Random;
use crate::sampling::{Drawn, Hits};

/// Words that are worked on together.
const LANES: usize = 8;
/// Fewer pages than this are drawn word by word.
const SMALL_PAGES: u64 = 4 * 64 * LANES as u64;
/// Below this chance, in units of 2^-64, single writes cost less than digits.
const SPARSE: u64 = 1 << (64 - 7);
/// Above this chance the digits must be exact: what they left over would be written many times.
const ALMOST_CERTAIN: u64 = u64::MAX - (1 << (64 - 5));
const DIGITS: u32 = 12;
const EXACT_DIGITS: u32 = 32;
/// Tries of which the number of single writes is drawn, a Poisson number being the limit of many tries of little
/// chance.
const TRIES_BITS: u32 = 44;

/// What a draw did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Effect {
    /// Pages that were clean and are dirty now.
    pub(super) newly_dirty: u64,
    /// Dirty pages that were zero and are not any more.
    pub(super) rewritten: u64,
}

/// The two maps that a draw changes: written pages become dirty, and are not zero any more.
#[derive(Debug)]
pub(super) struct Maps<'a> {
    pub(super) dirty: &'a mut PageMap,
    /// Only where the range may hold zero pages.
    pub(super) zero: Option<&'a mut PageMap>,
}

impl Maps<'_> {
    /// Writes each of `pages` pages from `first` with `chance` / 2^64 (`u64::MAX` is certainty).
    pub(super) fn draw(&mut self, first: u64, pages: u64, chance: u64, drawn: &mut Drawn) -> Effect {
        if chance == u64::MAX {
            return self.for_each_word(first, pages, |mask| mask);
        }
        if pages < SMALL_PAGES {
            let random = drawn.random();
            return self.for_each_word(first, pages, |mask| random.bits_with_chance(chance) & mask);
        }
        if chance < SPARSE {
            return self.single_writes(first, pages, u128::from(chance), drawn);
        }
        let digits = if chance > ALMOST_CERTAIN { EXACT_DIGITS } else { DIGITS };
        let effect = self.by_digits(first, pages, (chance >> (64 - digits), digits), drawn.random());
        let rest = u128::from(chance << digits >> digits);
        if digits == EXACT_DIGITS || rest == 0 {
            return effect;
        }
        // The chance that a page which the digits missed is written after all.
        let missed = (1_u128 << digits) - u128::from(chance >> (64 - digits));
        effect + self.single_writes(first, pages, (rest << digits) / missed, drawn)
    }

    /// Marks a run of pages as written.
    pub(super) fn write_run(&mut self, first: u64, pages: u64) -> Effect {
        self.for_each_word(first, pages, |mask| mask)
    }

    /// Single writes to pages drawn from the range, with pages drawn twice as in nature. `chance`, in units of 2^-64
    /// and below 2^-6, is what a page is to be written with: it takes x writes a page for that, −ln(1 − chance).
    fn single_writes(&mut self, first: u64, pages: u64, chance: u128, drawn: &mut Drawn) -> Effect {
        let square = (chance * chance) >> 64;
        let cube = (square * chance) >> 64;
        let fourth = (cube * chance) >> 64;
        let writes_a_page = chance + square / 2 + cube / 3 + fourth / 4;
        let expected = writes_a_page * u128::from(pages);
        let chance_of_try = u64::try_from(expected >> TRIES_BITS).unwrap_or(u64::MAX);
        let writes = drawn.hits(1 << TRIES_BITS, chance_of_try);
        let random = drawn.random();
        let mut effect = Effect::default();
        for _ in 0..writes {
            let page = first + random.below(pages);
            effect = effect + self.write_word(page / 64, 1 << (page % 64));
        }
        effect
    }

    fn by_digits(&mut self, first: u64, pages: u64, chance: (u64, u32), random: &mut Random) -> Effect {
        let end = first + pages;
        // Whole groups of words in the middle, single words on either side.
        let group = 64 * LANES as u64;
        let (from, to) = (first.next_multiple_of(group).min(end), end - end % group);
        let to = to.max(from);
        let exact = chance.0 << (64 - chance.1);
        let mut effect =
            self.for_each_word(first, from - first, |mask| random.bits_with_chance(exact) & mask);
        let mut lanes = Lanes::new(random);
        let range = word_index(from)..word_index(to);
        match (self.dirty.words_mut().get_mut(range.clone()), &mut self.zero) {
            (Some(dirty), None) => {
                effect.newly_dirty += draw_words(dirty, &mut lanes, chance);
            }
            (Some(dirty), Some(zero)) => {
                let zero = zero.words_mut().get_mut(range).unwrap_or_default();
                effect = effect + draw_words_and_zeros(dirty, zero, &mut lanes, chance);
            }
            (None, _) => {}
        }
        effect + self.for_each_word(to, end - to, |mask| random.bits_with_chance(exact) & mask)
    }

    fn for_each_word(&mut self, first: u64, pages: u64, mut bits: impl FnMut(u64) -> u64) -> Effect {
        let end = first + pages;
        let mut effect = Effect::default();
        let mut page = first;
        while page < end {
            let next = ((page / 64 + 1) * 64).min(end);
            let mask = (u64::MAX >> (64 - (next - page))) << (page % 64);
            effect = effect + self.write_word(page / 64, bits(mask));
            page = next;
        }
        effect
    }

    #[inline]
    fn write_word(&mut self, word: u64, bits: u64) -> Effect {
        let index = usize::try_from(word).unwrap_or(usize::MAX);
        let Some(dirty) = self.dirty.words_mut().get_mut(index) else { return Effect::default() };
        let before = *dirty;
        *dirty |= bits;
        let mut effect = Effect { newly_dirty: u64::from((bits & !before).count_ones()), rewritten: 0 };
        if let Some(zero) = self.zero.as_mut().and_then(|zero| zero.words_mut().get_mut(index)) {
            effect.rewritten = u64::from((bits & before & *zero).count_ones());
            *zero &= !bits;
        }
        effect
    }
}

impl std::ops::Add for Effect {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            newly_dirty: self.newly_dirty + other.newly_dirty,
            rewritten: self.rewritten + other.rewritten,
        }
    }
}

fn word_index(page: u64) -> usize {
    usize::try_from(page / 64).unwrap_or(usize::MAX)
}

/// Eight streams of xoshiro256++ side by side, each with a seed of its own.
#[derive(Clone, Debug)]
struct Lanes([[u64; LANES]; 4]);

impl Lanes {
    fn new(random: &mut Random) -> Self {
        Self(std::array::from_fn(|_| std::array::from_fn(|_| random.next_u64())))
    }

    #[expect(clippy::inline_always, reason = "it must become part of the loop for the vector unit at hand")]
    #[inline(always)]
    fn next(&mut self) -> [u64; LANES] {
        let Self([a, b, c, d]) = self;
        let mut results = [0; LANES];
        let lanes = a.iter_mut().zip(b).zip(c).zip(d).zip(&mut results);
        for ((((a, b), c), d), result) in lanes {
            *result = a.wrapping_add(*d).rotate_left(23).wrapping_add(*a);
            let shifted = *b << 17;
            *c ^= *a;
            *d ^= *b;
            *b ^= *c;
            *a ^= *d;
            *c ^= shifted;
            *d = d.rotate_left(45);
        }
        results
    }

    /// Bits that are each set with the chance whose binary digits are given: from the last digit to the first, a one
    /// halves the chance that is left to miss, a zero the chance to hit.
    #[expect(clippy::inline_always, reason = "it must become part of the loop for the vector unit at hand")]
    #[inline(always)]
    fn bits_with_chance(&mut self, (chance, digits): (u64, u32)) -> [u64; LANES] {
        let mut hit = [0; LANES];
        for digit in 0..digits {
            let drawn = self.next();
            if chance >> digit & 1 == 1 {
                hit.iter_mut().zip(drawn).for_each(|(hit, drawn)| *hit |= drawn);
            } else {
                hit.iter_mut().zip(drawn).for_each(|(hit, drawn)| *hit &= drawn);
            }
        }
        hit
    }
}

#[multiversion(targets("x86_64+avx2+bmi1+bmi2+lzcnt+popcnt"))]
fn draw_words(dirty: &mut [u64], lanes: &mut Lanes, chance: (u64, u32)) -> u64 {
    let mut newly_dirty = 0;
    for group in dirty.as_chunks_mut::<LANES>().0 {
        for (dirty, bits) in group.iter_mut().zip(lanes.bits_with_chance(chance)) {
            newly_dirty += u64::from((bits & !*dirty).count_ones());
            *dirty |= bits;
        }
    }
    newly_dirty
}

#[multiversion(targets("x86_64+avx2+bmi1+bmi2+lzcnt+popcnt"))]
fn draw_words_and_zeros(
    dirty: &mut [u64],
    zero: &mut [u64],
    lanes: &mut Lanes,
    chance: (u64, u32),
) -> Effect {
    let mut effect = Effect::default();
    let groups = dirty.as_chunks_mut::<LANES>().0.iter_mut().zip(zero.as_chunks_mut::<LANES>().0);
    for (dirty, zero) in groups {
        let words = dirty.iter_mut().zip(zero).zip(lanes.bits_with_chance(chance));
        for ((dirty, zero), bits) in words {
            effect.newly_dirty += u64::from((bits & !*dirty).count_ones());
            effect.rewritten += u64::from((bits & *dirty & *zero).count_ones());
            *dirty |= bits;
            *zero &= !bits;
        }
    }
    effect
}

#[cfg(test)]
#[expect(clippy::cast_precision_loss, reason = "a check of a probability needs no more than 52 bits")]
mod tests {
    use super::*;
    use crate::sampling::of_probability as chance;

    /// Every way of drawing has the asked chance, stays inside its range and counts what it did.
    #[test]
    fn pages_have_the_asked_chance() {
        let (map_pages, first, pages) = (1_000_000_u64, 12_345_u64, 700_007_u64);
        for (seed, probability) in
            (1..).zip([1e-6, 0.001, 0.0077, 0.0079, 0.02, 0.4, 0.5, 0.96, 0.98, 0.999_99])
        {
            let mut dirty = PageMap::empty(1_000_000);
            let mut drawn = Drawn::new(Random::from_seed(seed));
            let mut maps = Maps { dirty: &mut dirty, zero: None };
            let effect = maps.draw(first, pages, chance(probability), &mut drawn);
            let count = |from, to| (from..to).filter(|page| dirty.has(*page)).count() as u64;
            assert_eq!((count(0, first), count(first + pages, map_pages)), (0, 0));
            assert_eq!(count(first, first + pages), effect.newly_dirty, "{probability}");
            let mean = probability * pages as f64;
            let slack = 5.0 * (mean * (1.0 - probability)).sqrt() + 1.0;
            assert!((effect.newly_dirty as f64 - mean).abs() <= slack, "{probability}: {effect:?}, {mean}");
            let half = count(first, first + pages / 2) as f64;
            assert!((half - mean / 2.0).abs() <= slack, "{probability}: {half} in the first half");
        }
    }

    /// Zero pages that are written are counted as rewritten where they were dirty, and are zero no more.
    #[test]
    fn zeros_are_followed() {
        for probability in [0.003, 0.3, 1.0] {
            let mut dirty = PageMap::empty(640_000);
            let mut zero = PageMap::empty(640_000);
            dirty.set_range(0, 320_000);
            zero.set_range(0, 640_000);
            let mut drawn = Drawn::new(Random::from_seed(3));
            let mut maps = Maps { dirty: &mut dirty, zero: Some(&mut zero) };
            let effect = maps.draw(
                0,
                640_000,
                if probability < 1.0 { chance(probability) } else { u64::MAX },
                &mut drawn,
            );
            let zeros = (0..640_000).filter(|page| zero.has(*page)).count() as u64;
            assert_eq!(zeros, 640_000 - effect.newly_dirty - effect.rewritten);
            let mean = probability * 320_000.0;
            let slack = 5.0 * (mean * (1.0 - probability)).sqrt();
            assert!((effect.newly_dirty as f64 - mean).abs() <= slack, "{effect:?} {mean}");
            assert!((effect.rewritten as f64 - mean).abs() <= slack, "{effect:?} {mean}");
        }
    }

    /// Pinned, because another vector unit must not give another migration.
    #[test]
    fn the_bits_of_a_seed_are_pinned() {
        let mut dirty = PageMap::empty(100_000);
        let mut drawn = Drawn::new(Random::from_seed(11));
        let mut maps = Maps { dirty: &mut dirty, zero: None };
        let effect = maps.draw(77, 99_000, chance(0.3), &mut drawn);
        let hash = dirty.words().iter().fold(0_u64, |hash, word| hash.rotate_left(5).wrapping_mul(31) ^ word);
        assert_eq!((effect.newly_dirty, hash), (29_850, 16_183_697_214_579_062_930));
    }
}
