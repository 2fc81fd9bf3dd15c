//! The recorder's guest: what its arguments ask it to write.
//!
//! It is a few kilobytes without an operating system that write in an exactly known pattern, paced by the processor's
//! time stamp counter. An argument it does not know must be an error: it may mean anything.

use std::num::NonZeroU64;

use crate::guest::{HOT_SHARE_ONE, Pace, Pattern, Writer};

/// Ticks a second of the time stamp counter that paced the recorded guests.
const TICKS_PER_S: u64 = 2_445_000_000;
/// A guest that was kept from running up to this long makes up for the writes it missed; after a longer sleep it
/// counts anew. The recordings with a throttle bracket it: sleeps of 15 ms were made up for, of 23 ms not.
const CATCHES_UP_NS: u64 = 20_000_000;
/// What the engine bounds a writer by.
const MOST_PAGES: u64 = 1 << 32;
const MOST_WRITES_PER_S: u64 = 1_000_000_000;

/// The arguments, each zero where it is not given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct GuestArguments {
    pattern: u64,
    working_set_pages: u64,
    burst_writes: u64,
    burst_ticks: u64,
    hot_pages: u64,
    hot_share: u64,
    filled_pages: Option<u64>,
    move_bursts: u64,
}

impl GuestArguments {
    /// Reads `m=1 w=65536 n=2 c=489000`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut arguments = Self::default();
        for word in text.split_whitespace() {
            let (key, value) =
                word.split_once('=').ok_or_else(|| format!("the guest's argument `{word}` has no value"))?;
            let value: u64 =
                value.parse().map_err(|_| format!("the guest's argument `{word}` is not a whole number"))?;
            match key {
                "m" => arguments.pattern = value,
                "w" => arguments.working_set_pages = value,
                "n" => arguments.burst_writes = value,
                "c" => arguments.burst_ticks = value,
                "h" => arguments.hot_pages = value,
                "q" => arguments.hot_share = value,
                "f" => arguments.filled_pages = Some(value),
                "p" => arguments.move_bursts = value,
                _ => return Err(format!("the guest's argument `{word}` is not known")),
            }
        }
        if arguments.working_set_pages > MOST_PAGES {
            return Err(format!("the guest's working set is larger than {MOST_PAGES} pages"));
        }
        Ok(arguments)
    }

    /// Pages with content when the migration begins.
    pub(super) fn filled_pages(&self) -> u64 {
        self.filled_pages.unwrap_or(self.working_set_pages)
    }

    /// Its writer, if it has one. A paced guest writes at the rate that it was asked for, however it fared before the migration; one
    /// that is not paced at the rate that was measured then.
    pub(super) fn writers(&self, measured_writes_per_second: u64) -> Result<Vec<Writer>, String> {
        let pattern = match self.pattern {
            0 => return Ok(Vec::new()),
            1 => Pattern::Uniform,
            2 => Pattern::Sequential,
            3 => Pattern::HotCold { hot_pages: self.hot_pages, hot_share: self.hot_share()? },
            4 => Pattern::PowerLaw { exponent: 4 },
            other => return Err(format!("the guest's pattern `m={other}` is not known")),
        };
        let asked = self.burst_writes.saturating_mul(TICKS_PER_S).checked_div(self.burst_ticks);
        let writes_per_second = asked.unwrap_or(measured_writes_per_second);
        if writes_per_second > MOST_WRITES_PER_S {
            return Err(format!("the guest writes more than {MOST_WRITES_PER_S} times a second"));
        }
        Ok(vec![Writer {
            pattern,
            offset_pages: 0,
            working_set_pages: self.working_set_pages,
            pace: Pace::steady(writes_per_second),
            moves_after_writes: NonZeroU64::new(self.move_bursts.saturating_mul(self.burst_writes)),
            catches_up_ns: if asked.is_some() { CATCHES_UP_NS } else { 0 },
        }])
    }

    fn hot_share(&self) -> Result<u32, String> {
        if self.hot_pages == 0 || self.hot_pages > self.working_set_pages {
            return Err(format!("the guest's hot set `h={}` is not within its working set", self.hot_pages));
        }
        u32::try_from(self.hot_share)
            .ok()
            .filter(|share| *share <= HOT_SHARE_ONE)
            .ok_or_else(|| format!("the guest's hot share `q={}` is above 65536", self.hot_share))
    }
}
