//! The source's memory bookkeeping: which pages must still be sent, which are zeros, and where the walk is.
//!
//! It must never touch time; it only counts.

use crate::random::Random;

use super::bitmap::PageMap;
use super::guest::{Guest, PAGE_BYTES, index};

/// Read-only memory blocks beside the main memory (firmware, option ROMs, tables): what every recorded
/// guest had on top of its RAM, total less memory.
const FIRMWARE_PAGES: usize = 130;
/// Pages of an idle guest outside its filled region that were not zero. Which of them lie in main memory
/// does not matter; they are put in the firmware's blocks.
const FIRMWARE_NORMAL_PAGES: usize = 116;
/// A page's address and flags on the wire.
const PAGE_HEADER_BYTES: u64 = 8;
/// What follows a zero page's header: the repeated byte.
const ZERO_FILL_BYTES: u64 = 1;
/// Name of the main memory block, with its length byte; sent when the walk enters it.
const MEMORY_NAME_BYTES: u64 = 7;
/// The five firmware blocks' names. They are sent at the first page of each; here all at the first.
const FIRMWARE_NAME_BYTES: u64 = 77;

/// Bytes of a page with content on the wire.
pub(crate) const NORMAL_BYTES: u64 = PAGE_HEADER_BYTES + PAGE_BYTES;
/// Bytes of a zero page on the wire.
pub(crate) const ZERO_BYTES: u64 = PAGE_HEADER_BYTES + ZERO_FILL_BYTES;

/// The dirty bitmap and what goes with it.
#[derive(Clone, Debug)]
pub(crate) struct Ram {
    dirty: PageMap,
    zero: PageMap,
    log: PageMap,
    memory_pages: usize,
    /// Next page that the circular walk looks at.
    cursor: usize,
    last_block: Option<Block>,
    dirty_pages: u64,
    dirty_zero_pages: u64,
    /// Pages with content sent so far.
    pub(crate) normal_sent: u64,
    /// Zero pages sent so far.
    pub(crate) zero_sent: u64,
}

/// The named regions of memory that matter on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Block {
    Memory,
    Firmware,
}

/// Dirty pages that one word of the bitmap offers to be sent next.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Batch {
    word: usize,
    bits: u64,
    /// Pages with content among them.
    pub(crate) normal_pages: u64,
    /// Zero pages among them.
    pub(crate) zero_pages: u64,
    /// Bytes of a block's name, if its first page opens another block than the last page sent.
    pub(crate) name_bytes: u64,
}

impl Batch {
    /// Bytes of the whole batch on the wire.
    pub(crate) fn bytes(&self) -> u64 {
        self.normal_pages * NORMAL_BYTES + self.zero_pages * ZERO_BYTES + self.name_bytes
    }

    /// Pages of the whole batch.
    pub(crate) fn pages(&self) -> u64 {
        self.normal_pages + self.zero_pages
    }
}

impl Ram {
    /// Everything is dirty, as at the start of every migration.
    pub(crate) fn new(guest: &Guest) -> Self {
        let memory_pages = index(guest.memory_pages());
        let pages = memory_pages.saturating_add(FIRMWARE_PAGES);
        let mut dirty = PageMap::empty(pages);
        dirty.set_range(0, pages);
        let mut zero = dirty.clone();
        let first = index(guest.region_first_page).min(memory_pages);
        zero.clear_range(first, index(guest.filled_pages).min(memory_pages - first));
        zero.clear_range(memory_pages, FIRMWARE_NORMAL_PAGES);
        let dirty_zero_pages = zero.words().iter().map(|word| u64::from(word.count_ones())).sum();
        Self {
            log: PageMap::empty(pages),
            dirty_pages: pages as u64,
            dirty,
            zero,
            memory_pages,
            cursor: 0,
            last_block: None,
            dirty_zero_pages,
            normal_sent: 0,
            zero_sent: 0,
        }
    }

    /// Pages of memory and firmware together.
    pub(crate) fn total_pages(&self) -> u64 {
        self.dirty.capacity() as u64
    }

    /// Words of one bitmap, what a sync has to walk through.
    pub(crate) fn words(&self) -> u64 {
        self.dirty.words().len() as u64
    }

    /// Pages still to be sent.
    pub(crate) fn dirty_pages(&self) -> u64 {
        self.dirty_pages
    }

    /// Zero pages among the pages still to be sent.
    pub(crate) fn dirty_zero_pages(&self) -> u64 {
        self.dirty_zero_pages
    }

    /// Takes down what the guest wrote between two instants; the next sync will see it.
    pub(crate) fn observe(&mut self, guest: &Guest, from_ns: u64, to_ns: u64, random: &mut Random) {
        guest.mark_written(from_ns, to_ns, random, &mut self.log);
    }

    /// Adds the log to the dirty pages and empties it; returns how many pages became dirty anew. What was
    /// dirty before and not sent yet stays so.
    pub(crate) fn sync(&mut self) -> u64 {
        let mut newly_dirty = 0;
        let maps = self.dirty.words_mut().iter_mut().zip(self.zero.words_mut()).zip(self.log.words_mut());
        for ((dirty, zero), log) in maps {
            newly_dirty += u64::from((*log & !*dirty).count_ones());
            self.dirty_zero_pages -= u64::from((*log & *dirty & *zero).count_ones());
            *dirty |= *log;
            *zero &= !*log;
            *log = 0;
        }
        self.dirty_pages += newly_dirty;
        newly_dirty
    }

    /// The dirty pages that come next on the circular walk, as many as one word holds.
    pub(crate) fn next_batch(&self) -> Option<Batch> {
        let (word, bits) = self.dirty.next_word_from(self.cursor)?;
        let first = word * 64 + bits.trailing_zeros() as usize;
        // Memory is a whole number of MiB, so no word straddles both blocks.
        let block = if first < self.memory_pages { Block::Memory } else { Block::Firmware };
        let name_bytes = match block {
            _ if self.last_block == Some(block) => 0,
            Block::Memory => MEMORY_NAME_BYTES,
            Block::Firmware => FIRMWARE_NAME_BYTES,
        };
        Some(self.batch(word, bits, name_bytes))
    }

    /// Only the first page of a batch, for when a limit may strike within it.
    pub(crate) fn first_of(&self, batch: Batch) -> Batch {
        self.batch(batch.word, batch.bits & batch.bits.wrapping_neg(), batch.name_bytes)
    }

    /// Takes a batch off the dirty pages: it is on the wire.
    pub(crate) fn sent(&mut self, batch: Batch) {
        self.dirty.clear_in_word(batch.word, batch.bits);
        self.dirty_pages -= batch.pages();
        self.dirty_zero_pages -= batch.zero_pages;
        self.normal_sent += batch.normal_pages;
        self.zero_sent += batch.zero_pages;
        let last = batch.word * 64 + 63 - batch.bits.leading_zeros() as usize;
        self.last_block = Some(if last < self.memory_pages { Block::Memory } else { Block::Firmware });
        self.cursor = (last + 1) % self.dirty.capacity();
    }

    fn batch(&self, word: usize, bits: u64, name_bytes: u64) -> Batch {
        let zero_pages = u64::from((bits & self.zero.word(word)).count_ones());
        Batch { word, bits, normal_pages: u64::from(bits.count_ones()) - zero_pages, zero_pages, name_bytes }
    }
}
