//! XBZRLE: pages that are sent again travel as what changed in them, if the cache still has what was sent before.
//!
//! QEMU's cache is filled from the second round on, by every page that misses it and finds its place free: a place is
//! the page's address modulo the cache's size, and what is in it stays while it was used within the last two rounds:
//! then the next page that is sent takes its place. A page that is marked dirty but was sent after it was written last
//! hits the cache without a difference, and is passed over. Whose pages those are is not followed: every page that is
//! written at all counts alike.

use super::config::Xbzrle;
use crate::guest::{PAGE_BYTES, PageClasses};
use crate::sampling::Hits;

/// Marks before the encoded bytes: the page's header, a flag and a length.
const HEADER_BYTES: u64 = 8 + 1 + 2;
/// Lengths of the runs before and after the bytes that changed.
const RUN_BYTES: u64 = 4;

/// The cache, as far as it matters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Cache {
    room_pages: u64,
    /// Pages that are ever written.
    written_pages: u64,
    cached_pages: u64,
    /// Pages with content sent again since the last sync.
    sent_pages: u64,
    /// The part of the hits that is passed over, in units of 2^-64.
    skip_share: u64,
    /// The part of the hits that is lost to other pages of the same place, in units of 2^-64.
    lost_share: u64,
    /// Pages sent as a difference until the last sync.
    pub(super) hit_pages: u64,
}

impl Cache {
    pub(super) fn new(config: Option<Xbzrle>, page_classes: &PageClasses) -> Self {
        let written = page_classes.classes.iter().filter(|class| class.is_written() || class.scanned);
        Self {
            room_pages: config.map_or(0, |config| config.cache_bytes / PAGE_BYTES),
            written_pages: written.map(|class| class.pages).sum(),
            ..Self::default()
        }
    }

    /// The part of the pages sent again that hits, in units of 2^-64.
    pub(super) fn hit_share(&self) -> u64 {
        let cached = match self.written_pages {
            0 => 0,
            written if self.cached_pages >= written => u64::MAX,
            written => part(self.cached_pages, written),
        };
        cached - share_of(cached, self.lost_share)
    }

    /// Pages with content were sent again.
    #[inline]
    pub(super) fn sent_again(&mut self, pages: u64) {
        self.sent_pages += pages;
    }

    /// The part of the hits that is passed over, in units of 2^-64.
    pub(super) fn skip_share(&self) -> u64 {
        self.skip_share
    }

    /// A round is over, at whose end so many pages became dirty and so many are to be sent: what missed is in the cache
    /// now, where its place was free. Whether a share changed.
    pub(super) fn round_ended(
        &mut self,
        dirty_pages: u64,
        remaining_pages: u64,
        hits: &mut impl Hits,
    ) -> bool {
        if self.room_pages == 0 || self.written_pages == 0 {
            return false;
        }
        let before = (self.hit_share(), self.skip_share);
        let sent = std::mem::take(&mut self.sent_pages);
        let hit = hits.hits(sent, self.hit_share());
        self.hit_pages += hit;
        let room = self.room_pages.min(self.written_pages);
        let sent_part = part(sent, self.written_pages);
        // A place stays free if none of the pages that would go there was sent.
        let mut free = room - self.cached_pages.min(room);
        for _ in 0..self.written_pages / room.max(1) {
            free -= share_of(free, sent_part);
        }
        free -= share_of(share_of(free, part(self.written_pages % room.max(1), room)), sent_part);
        self.cached_pages = room - free;
        self.lost_share = self.lost(room, sent_part, part(remaining_pages, self.written_pages));
        self.skip_share = self.skipped(sent_part, dirty_pages, remaining_pages, sent);
        (self.hit_share(), self.skip_share) != before
    }

    /// The part of the coming round's hits that is lost, over places that one page more shares and those that it does
    /// not.
    fn lost(&self, room: u64, sent_part: u64, coming_part: u64) -> u64 {
        let fewest = self.written_pages / room.max(1);
        let more = part(self.written_pages % room.max(1), room);
        let few = lost_in_place(fewest, sent_part, coming_part);
        let many = lost_in_place(fewest + 1, sent_part, coming_part);
        share_of(few, u64::MAX - more) + share_of(many, more)
    }

    /// The part of the coming round's pages that were sent last after they were written last.
    ///
    /// Of pages written at a rate r and sent a part f of a round of length L after its beginning, 1 − e^(−r L f) were
    /// written before that and e^(−r L (1−f)) not after. Over all f, and as a part u = 1 − e^(−r L) of those that are
    /// dirty, that is 1 / −ln(1 − u) − (1 − u) / u = 1/2 − u/12 − …; only pages that were sent in the round before can
    /// be of them, and only while they are not written before they are sent again.
    fn skipped(&self, sent_part: u64, dirty_pages: u64, remaining_pages: u64, sent_pages: u64) -> u64 {
        if self.cached_pages == 0 || sent_pages == 0 {
            return 0;
        }
        let dirty_part = part(dirty_pages, self.written_pages);
        let unwritten_since = (u64::MAX / 2).saturating_sub(dirty_part / 12);
        // The coming round is as much shorter as there are fewer pages to send, and on average half of it passes.
        let coming = share_of(dirty_part / 2, part(remaining_pages, sent_pages));
        let still = u64::MAX - coming;
        share_of(share_of(unwritten_since, sent_part), still)
    }
}

/// The part of the hits that is lost because another page took the place first, where so many pages share a place: what
/// is in it was not sent in the round before (`sent_part`), and one of the others comes earlier in this one
/// (`coming_part`).
///
/// With k pages to a place and a part p of them coming, the one that has the place is the first of those that come with
/// the chance of (1 + (1 − p) + … + (1 − p)^(k−1)) / k, since it may be any of the k.
fn lost_in_place(pages: u64, sent_part: u64, coming_part: u64) -> u64 {
    if pages < 2 {
        return 0;
    }
    let mut none_before = u64::MAX;
    let mut sum = 0_u128;
    for _ in 0..pages {
        sum += u128::from(none_before);
        none_before = share_of(none_before, u64::MAX - coming_part);
    }
    let first = u64::try_from(sum / u128::from(pages)).unwrap_or(u64::MAX);
    share_of(u64::MAX - sent_part, u64::MAX - first)
}

/// A part in units of 2^-64, at most all.
fn part(of: u64, whole: u64) -> u64 {
    let part = (u128::from(of) << 64) / u128::from(whole.max(1));
    u64::try_from(part).unwrap_or(u64::MAX)
}

/// So large a part of something, the part in units of 2^-64.
fn share_of(of: u64, part: u64) -> u64 {
    if part == u64::MAX {
        return of;
    }
    // The product of two numbers below 2^64, less 64 binary digits, is one again.
    u64::try_from((u128::from(of) * u128::from(part)) >> 64).unwrap_or(of)
}

/// Bytes of a page on the wire that differs in so many bytes from what was sent before; none if it is sent whole then.
pub(super) fn encoded_bytes(changed_bytes: u64) -> Option<u64> {
    let encoded = changed_bytes.saturating_add(RUN_BYTES);
    (encoded < PAGE_BYTES).then_some(HEADER_BYTES + encoded)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guest::{Guest, Pattern, Writer};
    use crate::sampling::Expected;

    fn cache(cache_pages: u64) -> Cache {
        let writers = vec![Writer::steady(Pattern::Uniform, 1000, 1000)];
        let guest = Guest { memory_mib: 64, writers, ..Guest::default() };
        Cache::new(Some(Xbzrle { cache_bytes: cache_pages * PAGE_BYTES }), &PageClasses::of(&guest))
    }

    #[test]
    fn what_fits_hits_from_the_second_time_on() {
        let mut cache = cache(5000);
        cache.sent_again(1000);
        assert!(cache.round_ended(1000, 1000, &mut Expected::new()));
        assert_eq!((cache.hit_pages, cache.hit_share()), (0, u64::MAX));
        cache.sent_again(700);
        cache.round_ended(300, 300, &mut Expected::new());
        assert_eq!(cache.hit_pages, 700);
    }

    #[test]
    fn pages_share_the_places_of_a_small_cache() {
        let mut cache = cache(500);
        cache.sent_again(600);
        cache.round_ended(600, 600, &mut Expected::new());
        // Two pages to a place: it stays free with the chance 0.4².
        assert!(cache.cached_pages.abs_diff(500 - 80) <= 1, "{cache:?}");
        // And what is there is lost to the other one with the chance 0.4 · (1 − 0.7).
        let thousandths = (u128::from(cache.hit_share()) * 1000) >> 64;
        assert!(thousandths.abs_diff(420 * 88 / 100) <= 2, "{thousandths}");
    }

    #[test]
    fn a_place_is_lost_to_a_page_that_comes_earlier() {
        let half = 1 << 63;
        // The other of two comes, and before it, with the chance of 1/4; in one of two places what is there is old.
        assert!(lost_in_place(2, half, half).abs_diff(1 << 61) <= 4);
        assert_eq!(lost_in_place(2, u64::MAX, half), 0, "what was just used stays");
        assert_eq!((lost_in_place(1, half, half), lost_in_place(0, half, half)), (0, 0), "no page shares it");
    }

    #[test]
    fn what_was_sent_after_it_was_written_is_passed_over() {
        let mut cache = cache(5000);
        for _ in 0..2 {
            cache.sent_again(1000);
            cache.round_ended(100, 100, &mut Expected::new());
        }
        // 1/2 − 0.1/12, all of it sent before, and 0.1 · 0.1 / 2 of it written again: 0.4892.
        let tenthousandths = (u128::from(cache.skip_share()) * 10_000) >> 64;
        assert_eq!(tenthousandths, 4892);
        cache.round_ended(100, 100, &mut Expected::new());
        assert_eq!(cache.skip_share(), 0, "nothing was sent in this round");
    }

    #[test]
    fn a_page_that_changed_throughout_is_sent_whole() {
        assert_eq!(encoded_bytes(8), Some(23));
        assert_eq!(encoded_bytes(4092), None);
    }
}
