//! A guest's memory as its QEMU's process has it, read from outside while the guest runs.
//!
//! It must never touch a page that the guest has not: reading it would make it, and the first pass of a migration
//! would go faster than it does without anybody looking.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::time::Instant;

use super::RecordError;
use crate::LabError;

const PAGE_BYTES: u64 = 4096;
/// Pages whose state is read at once: a page of the process's page map.
const STRETCH: u64 = 512;
/// A page map's bits for a page in memory, or in swap.
const TOUCHED: u64 = 0b11 << 62;

/// The guest's main memory.
#[derive(Debug)]
pub(super) struct GuestMemory {
    memory: File,
    map: File,
    start: u64,
    pages: u64,
}

/// All pages at one moment, as a sum each; zero for a page of zeros, or one that was never touched.
#[derive(Debug)]
pub(super) struct Look {
    /// When it began. It goes through the pages in their order, so that a page is seen at the same distance from the
    /// beginning in every look.
    pub(super) at: Instant,
    sums: Vec<u64>,
}

impl GuestMemory {
    /// Finds the memory in a QEMU's process: the one mapping of just this size.
    pub(super) fn of(pid: u32, memory_mib: u64) -> Result<Self, RecordError> {
        let bytes = memory_mib << 20;
        let maps = format!("/proc/{pid}/maps");
        let text = fs::read_to_string(&maps).map_err(LabError::io(format!("read `{maps}`")))?;
        let start = text
            .lines()
            .find_map(|line| mapping(line).filter(|(start, end)| end - start == bytes))
            .map(|(start, _)| start)
            .ok_or_else(|| RecordError::Answer(format!("where {memory_mib} MiB are in `{maps}`")))?;
        let open = |name: &str| {
            let path = format!("/proc/{pid}/{name}");
            File::open(&path).map_err(LabError::io(format!("open `{path}`")))
        };
        Ok(Self { memory: open("mem")?, map: open("pagemap")?, start, pages: bytes / PAGE_BYTES })
    }

    /// Looks at every page.
    pub(super) fn look(&self) -> Result<Look, LabError> {
        let at = Instant::now();
        let mut sums = Vec::with_capacity(usize::try_from(self.pages).unwrap_or(0));
        let mut first = 0;
        while first < self.pages {
            let count = STRETCH.min(self.pages - first);
            self.look_at(first, count, &mut sums)?;
            first += count;
        }
        Ok(Look { at, sums })
    }

    fn look_at(&self, first: u64, count: u64, sums: &mut Vec<u64>) -> Result<(), LabError> {
        let mut map = [0; 8 * 512];
        let bytes = usize::try_from(count * 8).unwrap_or(0);
        let map = map.get_mut(..bytes).unwrap_or_default();
        let at = (self.start / PAGE_BYTES + first) * 8;
        self.map.read_exact_at(map, at).map_err(LabError::io("read a process's page map"))?;
        let touched = map.as_chunks::<8>().0.iter().map(|entry| u64::from_le_bytes(*entry) & TOUCHED != 0);
        let mut page = [0; 4096];
        for (number, touched) in (first..).zip(touched) {
            if !touched {
                sums.push(0);
                continue;
            }
            let at = self.start + number * PAGE_BYTES;
            self.memory.read_exact_at(&mut page, at).map_err(LabError::io("read a guest's memory"))?;
            sums.push(sum(&page));
        }
        Ok(())
    }
}

impl Look {
    /// Pages that hold something other than zeros.
    pub(super) fn nonzero_pages(&self) -> usize {
        self.sums.iter().filter(|sum| **sum != 0).count()
    }

    /// Pages whose content is another one than in an earlier look. Contents that came back are not seen.
    pub(super) fn changed_since(&self, earlier: &Self) -> usize {
        self.sums.iter().zip(&earlier.sums).filter(|(now, before)| now != before).count()
    }
}

/// The first and the last address of a readable and writable mapping of no file, of a line of `/proc/PID/maps`.
fn mapping(line: &str) -> Option<(u64, u64)> {
    let mut words = line.split_whitespace();
    let (start, end) = words.next()?.split_once('-')?;
    let readable = words.next()?.starts_with("rw");
    let address = |text| u64::from_str_radix(text, 16).ok();
    readable.then_some((address(start)?, address(end)?))
}

/// A sum over a page's words that distinguishes contents; zero for zeros alone.
fn sum(page: &[u8; 4096]) -> u64 {
    let words = page.as_chunks::<8>().0;
    if words.iter().all(|word| *word == [0; 8]) {
        return 0;
    }
    // FNV-1a over words instead of bytes, folded, since only its high half depends on every bit.
    let sum = words.iter().fold(0xcbf2_9ce4_8422_2325, |sum: u64, word| {
        (sum ^ u64::from_le_bytes(*word)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    (sum ^ (sum >> 32)) | 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapping_is_found_by_its_size() {
        let line = "7f5e3be00000-7f5e5be00000 rw-p 00000000 00:00 0 ";
        assert_eq!(mapping(line), Some((0x7f5e_3be0_0000, 0x7f5e_5be0_0000)));
        assert_eq!(mapping("7f5e3be00000-7f5e5be00000 ---p 00000000 00:00 0"), None);
        assert_eq!(mapping("nothing"), None);
    }

    #[test]
    fn contents_differ_in_their_sums() {
        let mut page = [0; 4096];
        assert_eq!(sum(&page), 0);
        let mut seen = std::collections::BTreeSet::from([0]);
        for place in [0, 7, 8, 2048, 4088, 4095] {
            page[place] = 0x80;
            assert!(seen.insert(sum(&page)), "{place}");
        }
    }

    #[test]
    fn our_own_memory_can_be_looked_at() {
        // Large enough to be fresh from the kernel, and so not touched.
        let mut block = vec![0_u8; 65 << 20];
        let start = block.as_ptr().addr() as u64;
        let first = start.div_ceil(PAGE_BYTES) * PAGE_BYTES;
        let at = usize::try_from(first - start).unwrap();
        let open = |name: &str| File::open(format!("/proc/self/{name}")).unwrap();
        let memory = GuestMemory { memory: open("mem"), map: open("pagemap"), start: first, pages: 16_000 };
        let none = memory.look().unwrap();
        assert_eq!(none.nonzero_pages(), 0);
        for page in [0, 5, 600, 15_999] {
            block[at + page * 4096 + 17] = 3;
        }
        let some = memory.look().unwrap();
        assert_eq!((some.nonzero_pages(), some.changed_since(&none)), (4, 4));
        drop(block);
    }
}
