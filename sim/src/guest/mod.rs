//! The guest as its memory sees it: how much there is, what it holds, and which pages are written when.
//!
//! A new way of writing is a new [`Pattern`] or [`Pace`]; the migration loop asks only what was written between two
//! instants, and must never learn how.

mod clock;
mod pace;
mod page_classes;
mod pattern;
mod writer;

pub(crate) use clock::{Clocks, Progress, Stretch, Written};
pub use pace::Pace;
pub(crate) use page_classes::{Class, PageClasses};
pub use pattern::{HOT_SHARE_ONE, MOST_EXPONENT, MOST_ZIPF_THOUSANDTHS, Pattern};
pub(crate) use writer::SPEED_ONE;
pub use writer::Writer;

/// Bytes of a guest page.
pub const PAGE_BYTES: u64 = 4096;

const PAGES_PER_MIB: u64 = 256;
/// 256 TiB: what 48-bit addresses reach.
const MOST_MEMORY_MIB: u64 = 1 << 28;

/// A guest and what it does with its memory.
///
/// Regions that reach beyond the memory are cut off at its end. The page engine needs two bits a page, so memory up to
/// some TiB is practical there; the others need none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Guest {
    /// Main memory in MiB, up to 2^28; the firmware's read-only memory, 130 pages, comes on top.
    pub memory_mib: u64,
    /// First page of the region that is filled and written to.
    pub region_first_page: u64,
    /// Pages of the region that hold something other than zeros when the migration starts; what was never
    /// filled or written is zero, and costs a header instead of a page.
    pub filled_pages: u64,
    /// Pages at the end of the memory, not filled, that the balloon has taken: they are zero.
    pub ballooned_pages: u64,
    /// Whether the guest reports which pages the balloon has (free page hints): they are not even scanned.
    pub balloon_is_hinted: bool,
    /// Whether the guest is paused when the migration starts.
    pub paused: bool,
    /// Instant, in the engine's time, from which the writers' time counts.
    pub started_at_ns: u64,
    /// What writes to memory: a program, or a virtual CPU, each.
    pub writers: Vec<Writer>,
    /// What pages hold, as far as it matters on the wire.
    pub content: Content,
}

/// What pages hold, as far as it matters on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Content {
    /// Bytes of an average page once it is compressed, 1 to 4096; 4096 is incompressible.
    pub compressed_page_bytes: u64,
    /// Bytes in which an average page differs from what was sent of it before, 1 to 4096: what XBZRLE has to encode.
    pub changed_bytes: u64,
}

impl Default for Content {
    fn default() -> Self {
        Self { compressed_page_bytes: PAGE_BYTES, changed_bytes: 8 }
    }
}

impl Guest {
    /// Pages of main memory.
    #[must_use]
    pub fn memory_pages(&self) -> u64 {
        self.memory_mib.min(MOST_MEMORY_MIB) * PAGES_PER_MIB
    }

    /// Whether something is written to that was not filled: what was written of it before the migration is not zero.
    pub(crate) fn writes_beyond_filled(&self) -> bool {
        self.writers.iter().any(|writer| writer.reach_pages() > self.filled_pages)
    }
}
