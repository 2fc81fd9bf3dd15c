//! QEMU's measurement of a guest's dirty rate before a migration (`calc-dirty-rate`, mode `page-sampling`).
//!
//! QEMU hashes a random sample of pages, waits for the interval, and hashes the same pages again: the part that changed is
//! the part of the memory that was written at least once (`migration/dirtyrate.c`). Nothing is write-protected and no
//! virtual CPU is stopped. A page that is written with the same content does not count; the simulator's guests always
//! write something else.
//!
//! It must never change the guest: the same guest runs on as if nothing had been measured.

use std::num::NonZeroU64;

use crate::guest::{Class, Clocks, Guest, PageClasses};
use crate::random::Random;
use crate::sampling::{Drawn, Hits, chance_of_write};

/// Pages of the sample for each GiB of memory, QEMU's default (`DIRTYRATE_DEFAULT_SAMPLE_PAGES`).
const SAMPLES_PER_GIB: u64 = 512;
const PAGES_PER_GIB: u64 = 1 << 18;
const PAGES_PER_MIB: u64 = 1 << 8;
/// QEMU leaves out smaller blocks of memory (`MIN_RAMBLOCK_SIZE`, 128 MiB).
const LEAST_MIB: u64 = 128;
const NS_PER_MS: u64 = 1_000_000;

/// The dirty rate of a guest over an interval that begins at `from_ns` in its time, in MiB a second, as QEMU reports it:
/// rounded down. `None` where the guest has less memory than QEMU takes a sample of.
#[must_use]
pub fn dirty_rate_mib_per_second(
    guest: &Guest,
    from_ns: u64,
    interval_ms: NonZeroU64,
    random: Random,
) -> Option<u64> {
    let page_classes = PageClasses::of(guest);
    let memory_mib = page_classes.memory_pages / PAGES_PER_MIB;
    if memory_mib < LEAST_MIB {
        return None;
    }
    if guest.paused {
        return Some(0);
    }
    let mut clocks = Clocks::new(guest, from_ns);
    clocks.run_freely(from_ns.saturating_add(interval_ms.get().saturating_mul(NS_PER_MS)));
    let written = clocks.collect(guest);
    let mut runs = Vec::new();
    written.for_each_run(|run| {
        let first = page_classes.region_first + run.first;
        runs.push((first, first + run.pages));
    });
    let samples = page_classes.memory_pages * SAMPLES_PER_GIB / PAGES_PER_GIB;
    let mut drawn = Drawn::new(random);
    let (mut samples_left, mut pages_left, mut dirty) = (samples, page_classes.memory_pages, 0);
    for class in page_classes.classes.iter().filter(|class| !class.firmware) {
        let here = drawn.hits(samples_left, share(class.pages, pages_left));
        samples_left -= here;
        pages_left -= class.pages;
        let scattered = drawn.hits(here, chance_of_write(class.exposure(&written)));
        let scanned = drawn.hits(here - scattered, share(pages_of(class, &mut runs), class.pages));
        dirty += scattered + scanned;
    }
    let scaled = u128::from(dirty) * u128::from(memory_mib) * 1000;
    let rate = scaled / (u128::from(samples) * u128::from(interval_ms.get()));
    Some(u64::try_from(rate).unwrap_or(u64::MAX))
}

/// The pages of a class that at least one of these runs covers. Sorts the runs.
fn pages_of(class: &Class, runs: &mut [(u64, u64)]) -> u64 {
    runs.sort_unstable();
    let (mut covered, mut from) = (0, class.first);
    let class_end = class.first + class.pages;
    for &mut (first, end) in runs {
        let (first, end) = (first.max(from), end.min(class_end));
        if first < end {
            covered += end - first;
            from = end;
        }
    }
    covered
}

/// A part of a whole, in units of 2^-64.
fn share(part: u64, whole: u64) -> u64 {
    let share = (u128::from(part.min(whole)) << 64).checked_div(u128::from(whole)).unwrap_or(0);
    u64::try_from(share).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guest::{Pattern, Writer};

    fn guest(writers: Vec<Writer>) -> Guest {
        Guest { memory_mib: 4096, filled_pages: 1 << 20, writers, ..Guest::default() }
    }

    fn measured(guest: &Guest, interval_ms: u64) -> u64 {
        let interval_ms = NonZeroU64::new(interval_ms).unwrap();
        let rates = (0..50).map(|seed| {
            dirty_rate_mib_per_second(guest, 7_000_000_000, interval_ms, Random::from_seed(seed)).unwrap()
        });
        rates.sum::<u64>() / 50
    }

    #[test]
    fn a_longer_interval_shows_a_lower_rate_because_a_page_counts_once() {
        // 100 MiB/s of writes over 256 MiB.
        let guest = guest(vec![Writer::steady(Pattern::Uniform, 25_600, 65_536)]);
        // 256 · (1 − e^(−100/256)) = 82.8 in the first second; 256 · (1 − e^(−500/256)) / 5 = 43.9 a second over five.
        assert!((78..=86).contains(&measured(&guest, 1_000)), "{}", measured(&guest, 1_000));
        assert!((41..=46).contains(&measured(&guest, 5_000)), "{}", measured(&guest, 5_000));
    }

    #[test]
    fn a_scan_counts_every_page_that_it_passed_over() {
        let guest = guest(vec![Writer::steady(Pattern::Sequential, 51_200, 1 << 19)]);
        assert!((190..=205).contains(&measured(&guest, 1_000)), "{}", measured(&guest, 1_000));
        // All of its set, once.
        assert!((196..=208).contains(&measured(&guest, 10_000)), "{}", measured(&guest, 10_000));
        assert!((96..=103).contains(&measured(&guest, 20_000)), "{}", measured(&guest, 20_000));
    }

    #[test]
    fn nothing_is_claimed_of_a_guest_that_is_too_small_and_a_paused_one_writes_nothing() {
        let second = NonZeroU64::new(1_000).unwrap();
        let rate = |guest: &Guest| dirty_rate_mib_per_second(guest, 0, second, Random::from_seed(1));
        let busy = guest(vec![Writer::steady(Pattern::Uniform, 25_600, 65_536)]);
        assert_eq!(rate(&Guest { memory_mib: 127, ..busy.clone() }), None);
        assert_eq!(rate(&Guest { paused: true, ..busy.clone() }), Some(0));
        assert!(rate(&busy).is_some_and(|rate| rate > 0));
        assert_eq!(rate(&guest(Vec::new())), Some(0));
    }
}
