//! XBZRLE: pages that are sent again travel as what changed in them, if the cache still has what was sent before.
//!
//! QEMU's cache is filled from the second round on, by every page that misses it, and keeps what was used within the
//! last two rounds. So it comes to hold as much of the pages that are written again and again as it has room for, and
//! that part of them hits. Whose pages those are is not followed: every page that is written at all counts alike.

use super::config::Xbzrle;
use crate::chance::Hits;
use crate::guest::{Cuts, PAGE_BYTES};

/// Marks before the encoded bytes: the page's header, a flag and a length.
const HEADER_BYTES: u64 = 8 + 1 + 2;
/// Lengths of the runs before and after the bytes that changed.
const RUN_BYTES: u64 = 4;

/// The cache, as far as it matters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_field_names, reason = "the unit stands last in a name")]
pub(super) struct Cache {
    room_pages: u64,
    /// Pages that are ever written.
    written_pages: u64,
    cached_pages: u64,
    /// Pages with content sent again since the last sync.
    sent_pages: u64,
    /// Pages sent as a difference until the last sync.
    pub(super) hit_pages: u64,
}

impl Cache {
    pub(super) fn new(config: Option<Xbzrle>, cuts: &Cuts) -> Self {
        let written = cuts.classes.iter().filter(|class| class.is_written() || class.scanned);
        Self {
            room_pages: config.map_or(0, |config| config.cache_bytes / PAGE_BYTES),
            written_pages: written.map(|class| class.pages).sum(),
            ..Self::default()
        }
    }

    /// The part of the pages sent again that hits, in units of 2^-64.
    pub(super) fn hit_share(&self) -> u64 {
        match self.written_pages {
            0 => 0,
            written if self.cached_pages >= written => u64::MAX,
            written => {
                u64::try_from((u128::from(self.cached_pages) << 64) / u128::from(written)).unwrap_or(u64::MAX)
            }
        }
    }

    /// Pages with content were sent again.
    #[inline]
    pub(super) fn sent_again(&mut self, pages: u64) {
        self.sent_pages += pages;
    }

    /// A round is over: what missed is in the cache now, as far as there is room. Whether the part that hits changed.
    pub(super) fn round_ended(&mut self, hits: &mut impl Hits) -> bool {
        if self.room_pages == 0 {
            return false;
        }
        let before = self.cached_pages;
        let sent = std::mem::take(&mut self.sent_pages);
        let hit = hits.hits(sent, self.hit_share());
        self.hit_pages += hit;
        let room = self.room_pages.min(self.written_pages);
        self.cached_pages = self.cached_pages.saturating_add(sent - hit).min(room);
        self.cached_pages != before
    }
}

/// Bytes of a page on the wire that differs in so many bytes from what was sent before; none if it is sent whole then.
pub(super) fn encoded_bytes(changed_bytes: u64) -> Option<u64> {
    let encoded = changed_bytes.saturating_add(RUN_BYTES);
    (encoded < PAGE_BYTES).then_some(HEADER_BYTES + encoded)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chance::Expected;
    use crate::guest::{Guest, Pattern, Writer};

    fn cache(cache_pages: u64) -> Cache {
        let writers = vec![Writer::steady(Pattern::Uniform, 1000, 1000)];
        let guest = Guest { memory_mib: 64, writers, ..Guest::default() };
        Cache::new(Some(Xbzrle { cache_bytes: cache_pages * PAGE_BYTES }), &Cuts::of(&guest))
    }

    #[test]
    fn what_fits_hits_from_the_second_time_on() {
        let mut cache = cache(5000);
        cache.sent_again(1000);
        assert!(cache.round_ended(&mut Expected::new()));
        assert_eq!((cache.hit_pages, cache.hit_share()), (0, u64::MAX));
        cache.sent_again(700);
        assert!(!cache.round_ended(&mut Expected::new()));
        assert_eq!(cache.hit_pages, 700);
    }

    #[test]
    fn what_does_not_fit_hits_in_part() {
        let mut cache = cache(250);
        for _ in 0..3 {
            cache.sent_again(1000);
            cache.round_ended(&mut Expected::new());
        }
        assert_eq!((cache.hit_pages, cache.hit_share()), (500, 1 << 62));
    }

    #[test]
    fn a_page_that_changed_throughout_is_sent_whole() {
        assert_eq!(encoded_bytes(8), Some(23));
        assert_eq!(encoded_bytes(4092), None);
    }
}
