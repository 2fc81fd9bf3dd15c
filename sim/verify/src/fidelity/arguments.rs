//! The writing guest's arguments, and the writers that they make of it.
//!
//! It is a few kilobytes without an operating system that write in an exactly known pattern, paced by the processor's
//! time stamp counter (`docs/recording.md`). An argument that is not known must be an error: it may mean anything.

use std::num::NonZeroU64;

use super::pacing::{Pacing, Speeds};
use whimbrel_sim::guest::{Content, HOT_SHARE_ONE, MOST_EXPONENT, PAGE_BYTES, Pattern, Writer};

/// A guest of the older recordings that was kept from running up to this long makes up for the writes it missed; after
/// a longer sleep it restarts the count. The recordings with a throttle bracket it: sleeps of 15 ms were made up for,
/// of 23 ms not. Newer guests make up for everything.
const OLD_GUEST_CATCHES_UP_NS: u64 = 20_000_000;
/// Pages that a newer guest's program and tables have more than that of the older recordings: what an idle one of 256
/// MiB sends.
const PROGRAM_PAGES: u64 = 4;
/// What the engine bounds a writer by.
const MOST_PAGES: u64 = 1 << 32;
/// As in the guest's own tables.
const MOST_PHASES: usize = 8;
const MOST_PROCESSORS: u64 = 8;
/// Longest phase or stretch of activity, in ms: a day.
const MOST_MS: u64 = 86_400_000;
/// A page of zeros with one word again and again, as the guest fills its memory without `z=1`, compresses to about
/// this.
const REPEATED_WORD_BYTES: u64 = 64;

/// The arguments, each zero where it is not given and has no other default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arguments {
    /// `m`: 0 idle, 1 uniform, 2 sequential, 3 hot and cold, 4 a power law.
    pub pattern: u64,
    /// `w`: pages that it writes to.
    pub working_set_pages: u64,
    /// `n`: writes of a burst.
    pub burst_writes: u64,
    /// `c`: ticks of the counter from one burst to the next; 0 is as fast as it goes.
    pub burst_ticks: u64,
    /// `h`: pages of the hot part.
    pub hot_pages: u64,
    /// `q`: share of the writes that go there, in 65536ths.
    pub hot_share: u64,
    /// `f`: pages with content when it begins; the working set without it.
    pub filled_pages: Option<u64>,
    /// `p`: bursts after which the working set moves; 0 is never.
    pub move_bursts: u64,
    /// `e`: exponent of the power law.
    pub exponent: u64,
    /// `x`: bytes that a write changes.
    pub changed_bytes: u64,
    /// `z`: whether pages hold noise, which does not compress.
    pub noise: u64,
    /// `v`: processors that share the writing.
    pub processors: u64,
    /// `on`: for this many ms it writes ...
    pub on_ms: u64,
    /// `off`: ... and then rests for this many, repeatedly.
    pub off_ms: u64,
    /// `then_ms`, `then_c`: from when on, in ms, another number of ticks holds.
    pub phases: Vec<(u64, Option<u64>)>,
}

impl Default for Arguments {
    fn default() -> Self {
        Self {
            pattern: 0,
            working_set_pages: 0,
            burst_writes: 0,
            burst_ticks: 0,
            hot_pages: 0,
            hot_share: 0,
            filled_pages: None,
            move_bursts: 0,
            exponent: 4,
            changed_bytes: 8,
            noise: 0,
            processors: 1,
            on_ms: 0,
            off_ms: 0,
            phases: Vec::new(),
        }
    }
}

impl Arguments {
    /// Reads `m=1 w=65536 n=2 c=489000`.
    ///
    /// # Errors
    /// In words, when an argument is not known or out of its bounds.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut arguments = Self::default();
        for word in text.split_whitespace() {
            let (key, value) =
                word.split_once('=').ok_or_else(|| format!("the guest's argument `{word}` has no value"))?;
            let value: u64 =
                value.parse().map_err(|_| format!("the guest's argument `{word}` is not a whole number"))?;
            arguments.set(key, value)?;
        }
        arguments.check()?;
        Ok(arguments)
    }

    fn set(&mut self, key: &str, value: u64) -> Result<(), String> {
        match key {
            "m" => self.pattern = value,
            "w" => self.working_set_pages = value,
            "n" => self.burst_writes = value,
            "c" => self.burst_ticks = value,
            "h" => self.hot_pages = value,
            "q" => self.hot_share = value,
            "f" => self.filled_pages = Some(value),
            "p" => self.move_bursts = value,
            "e" => self.exponent = value,
            "x" => self.changed_bytes = value,
            "z" => self.noise = value,
            "v" => self.processors = value,
            "on" => self.on_ms = value,
            "off" => self.off_ms = value,
            "then_ms" => self.phases.push((value, None)),
            "then_c" => match self.phases.last_mut() {
                Some((_, ticks @ None)) => *ticks = Some(value),
                _ => return Err("a `then_c` of the guest has no `then_ms` before it".to_owned()),
            },
            _ => return Err(format!("the guest's argument `{key}={value}` is not known")),
        }
        Ok(())
    }

    fn check(&self) -> Result<(), String> {
        let within = |key: &str, value: u64, least: u64, most: u64| {
            if (least..=most).contains(&value) {
                Ok(())
            } else {
                Err(format!("the guest's argument `{key}={value}` is not within {least} and {most}"))
            }
        };
        within("m", self.pattern, 0, 4)?;
        within("w", self.working_set_pages, 0, MOST_PAGES)?;
        within("e", self.exponent, 1, u64::from(MOST_EXPONENT))?;
        within("x", self.changed_bytes, 8, PAGE_BYTES)?;
        within("z", self.noise, 0, 1)?;
        within("v", self.processors, 1, MOST_PROCESSORS)?;
        within("on", self.on_ms, 0, MOST_MS)?;
        within("off", self.off_ms, 0, MOST_MS)?;
        if (self.on_ms == 0) != (self.off_ms == 0) {
            return Err("the guest's `on` and `off` go together".to_owned());
        }
        if self.phases.len() > MOST_PHASES || !self.phases.is_sorted_by(|one, next| one.0 < next.0) {
            return Err(format!(
                "the guest's `then_ms` are not up to {MOST_PHASES}, each later than the last"
            ));
        }
        for (at_ms, ticks) in &self.phases {
            within("then_ms", *at_ms, 0, MOST_MS)?;
            ticks.ok_or_else(|| format!("the guest's `then_ms={at_ms}` has no `then_c`"))?;
        }
        if self.pattern == 3 {
            within("h", self.hot_pages, 1, self.working_set_pages)?;
            within("q", self.hot_share, 0, u64::from(HOT_SHARE_ONE))?;
        }
        Ok(())
    }

    /// Whether it writes to its region at all.
    pub(super) fn writes(&self) -> bool {
        self.pattern != 0
    }

    /// Whether it writes as fast as its processor goes, and so at the rate that was measured.
    pub(super) fn is_unpaced(&self) -> bool {
        self.writes() && self.burst_ticks == 0
    }

    /// Pages with content when it begins to write, and the program's own, which are counted with them.
    pub(super) fn filled_pages(&self, is_old_guest: bool) -> u64 {
        let program_pages = if is_old_guest { 0 } else { PROGRAM_PAGES };
        self.filled_pages.unwrap_or(self.working_set_pages).saturating_add(program_pages)
    }

    /// What its pages hold, as far as it matters on the wire.
    pub(super) fn content(&self) -> Content {
        let compressed_page_bytes = if self.noise == 1 { PAGE_BYTES } else { REPEATED_WORD_BYTES };
        Content { compressed_page_bytes, changed_bytes: self.changed_bytes }
    }

    /// What the engine's writers cannot do, in words.
    pub(super) fn not_simulated(&self) -> Option<String> {
        let moves = self.move_bursts > 0 && self.processors > 1;
        moves.then(|| "several processors whose working set moves (`p` and `v` together)".to_owned())
    }

    /// Its writers, one a processor. `lasts_ms` is for how long they are asked at most.
    pub(super) fn writers(&self, speeds: Speeds, lasts_ms: u64) -> Result<Vec<Writer>, String> {
        if !self.writes() {
            return Ok(Vec::new());
        }
        let shares = self.processors.max(1);
        let pages = self.working_set_pages / shares;
        let then = self.phases.iter().map(|(at_ms, ticks)| (*at_ms, ticks.unwrap_or(0)));
        let pacing = Pacing {
            burst_writes: self.burst_writes,
            phases: [(0, self.burst_ticks)].into_iter().chain(then).collect(),
            on_ms: self.on_ms,
            off_ms: self.off_ms,
            processors: shares,
        };
        let pace = pacing.pace(speeds, lasts_ms)?;
        let catches_up_ns = match (self.is_unpaced(), speeds.is_old_guest) {
            (true, _) => 0,
            (false, true) => OLD_GUEST_CATCHES_UP_NS,
            (false, false) => u64::MAX,
        };
        let writer = |which: u64| Writer {
            pattern: self.pattern_over(pages),
            offset_pages: which * pages,
            working_set_pages: pages,
            pace: pace.clone(),
            moves_after_writes: NonZeroU64::new(self.move_bursts.saturating_mul(self.burst_writes)),
            catches_up_ns,
            top_writes_per_second: 0,
        };
        Ok((0..shares).map(writer).collect())
    }

    fn pattern_over(&self, pages: u64) -> Pattern {
        // All of these were checked when the arguments were read.
        match self.pattern {
            1 => Pattern::Uniform,
            2 => Pattern::Sequential,
            3 => Pattern::HotCold {
                hot_pages: (self.hot_pages / self.processors).min(pages),
                hot_share: u32::try_from(self.hot_share).unwrap_or(HOT_SHARE_ONE),
            },
            _ => Pattern::PowerLaw { exponent: u32::try_from(self.exponent).unwrap_or(MOST_EXPONENT) },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPEEDS: Speeds = Speeds {
        tsc_hz: 2_445_000_000,
        measured_writes_per_second: 77,
        rate_permille: 1000,
        is_old_guest: true,
    };

    fn writers(text: &str, speeds: Speeds) -> Vec<Writer> {
        Arguments::parse(text).unwrap().writers(speeds, 1000).unwrap()
    }

    #[test]
    fn the_asked_rate_follows_from_the_counter() {
        let [writer] = writers("m=1 w=256 n=2 c=489000", SPEEDS).try_into().unwrap();
        assert_eq!((writer.pace.most_writes_per_second(), writer.catches_up_ns), (10_000, 20_000_000));
        let newer = Speeds { tsc_hz: 4_890_000_000, is_old_guest: false, ..SPEEDS };
        let [writer] = writers("m=1 w=256 n=2 c=489000", newer).try_into().unwrap();
        assert_eq!((writer.pace.most_writes_per_second(), writer.catches_up_ns), (20_000, u64::MAX));
    }

    #[test]
    fn a_guest_without_a_clock_writes_as_fast_as_it_did() {
        let [writer] = writers("m=2 w=256 n=2", SPEEDS).try_into().unwrap();
        assert_eq!((writer.pace.most_writes_per_second(), writer.catches_up_ns), (77, 0));
        assert!(writers("m=0 f=100", SPEEDS).is_empty());
    }

    #[test]
    fn processors_share_the_working_set_and_the_rate() {
        let [one, other] = writers("m=3 w=256 n=2 c=489000 h=64 q=32768 v=2", SPEEDS).try_into().unwrap();
        assert_eq!((one.offset_pages, other.offset_pages, other.working_set_pages), (0, 128, 128));
        assert_eq!(other.pace.most_writes_per_second(), 5_000);
        assert_eq!(other.pattern, Pattern::HotCold { hot_pages: 32, hot_share: 32_768 });
    }

    #[test]
    fn pages_hold_what_they_were_filled_with() {
        let of = |text: &str| Arguments::parse(text).unwrap();
        assert_eq!(
            (of("m=1 w=9 n=1 z=1 x=64").content().changed_bytes, of("m=0 f=7").filled_pages(true)),
            (64, 7)
        );
        assert_eq!(of("m=1 w=9 n=1").filled_pages(false), 9 + PROGRAM_PAGES);
        assert!(
            of("m=1 w=9 n=1").content().compressed_page_bytes
                < of("m=1 w=9 n=1 z=1").content().compressed_page_bytes
        );
    }

    #[test]
    fn what_is_not_known_or_not_possible_is_refused() {
        for (text, words) in [
            ("m=9", "`m=9` is not within"),
            ("m=1 y=2", "`y=2` is not known"),
            ("m", "`m` has no value"),
            ("m=-1", "not a whole number"),
            ("w=99999999999", "`w=99999999999` is not within"),
            ("m=3 w=9 n=1", "`h=0` is not within"),
            ("m=1 w=9 on=5", "go together"),
            ("m=1 w=9 then_c=5", "no `then_ms` before it"),
            ("m=1 w=9 then_ms=5", "no `then_c`"),
            ("m=1 w=9 then_ms=5 then_c=1 then_ms=5 then_c=1", "each later than the last"),
            ("m=1 w=9 x=4", "`x=4` is not within"),
        ] {
            let reason = Arguments::parse(text).unwrap_err();
            assert!(reason.contains(words), "{text}: {reason}");
        }
        let both = Arguments::parse("m=1 w=9 n=1 c=5 p=3 v=2").unwrap();
        assert!(both.not_simulated().unwrap().contains("moves"));
    }
}
