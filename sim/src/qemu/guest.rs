//! The guest as its memory sees it: how much there is, what it holds, and which pages are written when.
//!
//! A new way of writing is a new [`Writer`] variant; the migration loop only ever asks which pages were
//! written between two instants, and must never learn how.

use crate::random::Random;

use super::bitmap::PageMap;
use super::chance::chance_of_write;
use super::pattern::{SteadyWriter, Target};

/// Bytes of a guest page.
pub const PAGE_BYTES: u64 = 4096;

const PAGES_PER_MIB: u64 = 256;

/// A guest and what it does with its memory.
///
/// Regions that reach beyond the memory are cut off at its end. The engine needs three bits a page, so
/// memory up to 1 TiB is practical.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guest {
    /// Main memory in MiB; the firmware's read-only memory, 130 pages, comes on top.
    pub memory_mib: u64,
    /// First page of the region that is filled and written to.
    pub region_first_page: u64,
    /// Pages of the region that hold something other than zeros when the migration starts; what was never
    /// filled or written is zero, and costs a header instead of a page.
    pub filled_pages: u64,
    /// Whether the guest stands still when the migration starts.
    pub paused: bool,
    /// Instant, in the engine's time, from which the writer's phases count.
    pub started_at_ns: u64,
    /// How the guest writes.
    pub writer: Writer,
}

/// A pattern of writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Writer {
    /// Nothing is written.
    Idle,
    /// Every write hits a page drawn uniformly from the working set of the phase; phases in order of time.
    Uniform(Vec<UniformPhase>),
    /// One rate, one pattern.
    Steady(SteadyWriter),
}

/// A stretch of time with one write rate; it lasts until the next phase begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UniformPhase {
    /// Start, counted from the start of the guest, in nanoseconds.
    pub from_ns: u64,
    /// Writes a second (not pages: several writes may hit one page), up to 10^9.
    pub writes_per_second: u64,
    /// Pages the writes are spread over, from the start of the region.
    pub working_set_pages: u64,
}

impl Writer {
    /// How long the guest may be kept from running and still makes up for it.
    pub(super) fn catches_up_ns(&self) -> u64 {
        match self {
            Self::Idle | Self::Uniform(_) => 0,
            Self::Steady(writer) => writer.catches_up_ns,
        }
    }
}

impl Guest {
    /// Pages of main memory.
    #[must_use]
    pub fn memory_pages(&self) -> u64 {
        self.memory_mib.saturating_mul(PAGES_PER_MIB)
    }

    /// Marks in `log` every page that was written between two instants of the engine's time.
    pub(crate) fn mark_written(&self, from_ns: u64, to_ns: u64, random: &mut Random, log: &mut PageMap) {
        let from = from_ns.saturating_sub(self.started_at_ns);
        let to = to_ns.saturating_sub(self.started_at_ns);
        let memory_pages = index(self.memory_pages());
        let first = index(self.region_first_page).min(memory_pages);
        let phases = match &self.writer {
            Writer::Idle => return,
            Writer::Uniform(phases) => phases,
            Writer::Steady(writer) => {
                let mut target = Target { log, first_page: first, end_page: memory_pages };
                return writer.mark_written(from, to, &mut target, random);
            }
        };
        for Exposure { pages, write_nanoseconds } in exposures(phases, from, to) {
            let chance = chance_of_write(write_nanoseconds, pages);
            log.set_at_random(first, index(pages).min(memory_pages - first), chance, random);
        }
    }
}

/// How much was written to one region: the integral of the rate over time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Exposure {
    pages: u64,
    write_nanoseconds: u128,
}

/// The exposures of a stretch of time; neighbouring phases over the same region are one draw.
fn exposures(phases: &[UniformPhase], from_ns: u64, to_ns: u64) -> Vec<Exposure> {
    let ends = phases.iter().skip(1).map(|next| next.from_ns).chain([u64::MAX]);
    let mut found: Vec<Exposure> = Vec::new();
    for (phase, end_ns) in phases.iter().zip(ends) {
        let length = to_ns.min(end_ns).saturating_sub(from_ns.max(phase.from_ns));
        let write_nanoseconds = u128::from(length) * u128::from(phase.writes_per_second);
        let pages = phase.working_set_pages;
        match found.last_mut() {
            _ if write_nanoseconds == 0 => {}
            Some(last) if last.pages == pages => last.write_nanoseconds += write_nanoseconds,
            _ => found.push(Exposure { pages, write_nanoseconds }),
        }
    }
    found
}

/// A page count as an index; counts beyond the address space cannot be stored and mean "as far as it goes".
pub(crate) fn index(pages: u64) -> usize {
    usize::try_from(pages).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn phase(from_ns: u64, writes_per_second: u64, working_set_pages: u64) -> UniformPhase {
        UniformPhase { from_ns, writes_per_second, working_set_pages }
    }

    #[test]
    fn phases_are_cut_and_merged() {
        let phases = [phase(10, 1, 64), phase(20, 3, 64), phase(30, 5, 128), phase(40, 0, 64)];
        let merged = Exposure { pages: 64, write_nanoseconds: 5 + 30 };
        assert_eq!(exposures(&phases, 15, 32), [merged, Exposure { pages: 128, write_nanoseconds: 10 }]);
        assert_eq!(exposures(&phases, 0, 10), []);
        assert_eq!(exposures(&phases, 50, u64::MAX), []);
    }

    #[test]
    fn half_the_working_set_after_its_half_life() {
        let writer = Writer::Uniform(vec![phase(0, 10_000, 10_000)]);
        let guest = Guest {
            memory_mib: 64,
            region_first_page: 4096,
            filled_pages: 0,
            paused: false,
            started_at_ns: 5,
            writer,
        };
        let mut log = PageMap::empty(64 * 256);
        guest.mark_written(5, 693_147_186, &mut Random::from_seed(1), &mut log);
        let hits: u32 = log.words().iter().map(|word| word.count_ones()).sum();
        assert!((4700..5300).contains(&hits), "{hits}");
        assert_eq!(log.next_word_from(0).map(|(word, _)| word), Some(64));
    }
}
