//! The writing guest's arguments: what a case may ask of it, checked before any guest is started.
//!
//! An argument that the guest would not know, or a region that does not fit its memory, must never reach it.

use std::fmt;

/// Below the guest's region, in MiB.
const REGION_STARTS_MIB: u64 = 16;
/// What firmware keeps at the top of memory, in MiB.
const TOP_MIB: u64 = 2;
/// The guest is a 32-bit program, and the device hole begins here at the latest.
const REGION_ENDS_MIB: u64 = 2048;
const PAGES_A_MIB: u64 = 256;
/// As in the guest's own tables.
const MOST_PHASES: usize = 8;
const MOST_PROCESSORS: u64 = 8;
const PAGE_BYTES: u64 = 4096;
/// Shares are in 65536ths.
const SHARE_ONE: u64 = 1 << 16;
/// Ticks of a day at 10 GHz: keeps the guest's sums far from overflow.
const MOST_TICKS: u64 = 86_400 * 10_000_000_000;
/// Longest phase or stretch of activity, in ms: a day.
const MOST_MS: u64 = 86_400_000;

/// Arguments that the guest understands, as they are given to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WriterArguments {
    text: String,
    /// Virtual processors that share the writing.
    pub(crate) processors: u32,
    /// Whether it writes at all.
    pub(crate) writes: bool,
}

impl WriterArguments {
    /// Reads `m=1 w=65536 n=2 c=489000` for a guest with so much memory.
    pub(crate) fn parse(text: &str, memory_mib: u64) -> Result<Self, String> {
        let mut given = Given::default();
        for word in text.split_whitespace() {
            let (key, value) =
                word.split_once('=').ok_or_else(|| format!("the guest's argument `{word}` has no value"))?;
            let value: u64 =
                value.parse().map_err(|_| format!("the guest's argument `{word}` is not a whole number"))?;
            given.set(key, value)?;
        }
        given.check(memory_mib)?;
        let processors = u32::try_from(given.processors).unwrap_or(1);
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        Ok(Self { text, processors, writes: given.pattern != 0 })
    }
}

impl fmt::Display for WriterArguments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[derive(Debug)]
struct Given {
    pattern: u64,
    pages: u64,
    burst: u64,
    ticks: u64,
    hot_pages: u64,
    hot_share: u64,
    filled: Option<u64>,
    move_bursts: u64,
    exponent: u64,
    changed_bytes: u64,
    noise: u64,
    processors: u64,
    on_ms: u64,
    off_ms: u64,
    phases: Vec<(u64, Option<u64>)>,
}

impl Default for Given {
    fn default() -> Self {
        Self {
            pattern: 0,
            pages: 0,
            burst: 0,
            ticks: 0,
            hot_pages: 0,
            hot_share: 0,
            filled: None,
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

impl Given {
    fn set(&mut self, key: &str, value: u64) -> Result<(), String> {
        match key {
            "m" => self.pattern = value,
            "w" => self.pages = value,
            "n" => self.burst = value,
            "c" => self.ticks = value,
            "h" => self.hot_pages = value,
            "q" => self.hot_share = value,
            "f" => self.filled = Some(value),
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
                _ => return Err("each `then_c` follows its own `then_ms`".to_owned()),
            },
            _ => return Err(format!("the guest does not know the argument `{key}`")),
        }
        Ok(())
    }

    fn check(&self, memory_mib: u64) -> Result<(), String> {
        let within = |what: &str, value: u64, least: u64, most: u64| {
            if (least..=most).contains(&value) {
                Ok(())
            } else {
                Err(format!("`{what}={value}` is not within {least} and {most}"))
            }
        };
        within("m", self.pattern, 0, 4)?;
        within("e", self.exponent, 1, 8)?;
        within("x", self.changed_bytes, 8, PAGE_BYTES)?;
        within("z", self.noise, 0, 1)?;
        within("v", self.processors, 1, MOST_PROCESSORS)?;
        within("c", self.ticks, 0, MOST_TICKS)?;
        within("on", self.on_ms, 0, MOST_MS)?;
        within("off", self.off_ms, 0, MOST_MS)?;
        if !self.changed_bytes.is_multiple_of(4) {
            return Err("`x` is not a multiple of 4: the guest writes words".to_owned());
        }
        if (self.on_ms == 0) != (self.off_ms == 0) {
            return Err("`on` and `off` go together".to_owned());
        }
        self.check_phases()?;
        self.check_region(memory_mib)?;
        if self.pattern == 0 {
            return Ok(());
        }
        within("w", self.pages, 1, REGION_ENDS_MIB * PAGES_A_MIB)?;
        within("n", self.burst, 1, 1 << 20)?;
        if self.pattern == 3 {
            within("h", self.hot_pages, 1, self.pages)?;
            within("q", self.hot_share, 0, SHARE_ONE)?;
        }
        let divided = |pages: u64| pages.is_multiple_of(self.processors);
        if !divided(self.pages) || !divided(self.hot_pages) {
            return Err("`w` and `h` are shared equally by `v` processors: give multiples of it".to_owned());
        }
        Ok(())
    }

    fn check_phases(&self) -> Result<(), String> {
        if self.phases.len() > MOST_PHASES {
            return Err(format!("there are more than {MOST_PHASES} phases"));
        }
        if !self.phases.is_sorted_by(|one, next| one.0 < next.0) {
            return Err("each `then_ms` is later than the one before it".to_owned());
        }
        for (at_ms, ticks) in &self.phases {
            let ticks = ticks.ok_or_else(|| format!("`then_ms={at_ms}` has no `then_c`"))?;
            if *at_ms > MOST_MS || ticks > MOST_TICKS {
                return Err(format!("`then_ms={at_ms} then_c={ticks}` is out of bounds"));
            }
        }
        Ok(())
    }

    fn check_region(&self, memory_mib: u64) -> Result<(), String> {
        let written = self.pages.saturating_mul(if self.move_bursts == 0 { 1 } else { 2 });
        let pages = written.max(self.filled.unwrap_or(self.pages));
        let most_mib = memory_mib.min(REGION_ENDS_MIB).saturating_sub(REGION_STARTS_MIB + TOP_MIB);
        if pages > most_mib * PAGES_A_MIB {
            return Err(format!(
                "the guest's region of {pages} pages does not fit: {memory_mib} MiB of memory have {} pages for it",
                most_mib * PAGES_A_MIB
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::WriterArguments;

    #[test]
    fn what_the_guest_knows_is_passed_on() {
        let text = "m=4  w=4096 n=2 c=489000 e=2 x=64 z=1 v=2 on=100 off=200 then_ms=500 then_c=0 then_ms=900 then_c=7";
        let arguments = WriterArguments::parse(text, 64).unwrap();
        assert_eq!((arguments.processors, arguments.writes), (2, true));
        assert_eq!(arguments.to_string(), text.replace("  ", " "));
        let idle = WriterArguments::parse("m=0 f=65536", 512).unwrap();
        assert_eq!((idle.processors, idle.writes), (1, false));
    }

    #[test]
    fn what_it_would_misunderstand_is_refused() {
        for (text, words) in [
            ("m=1 w", "has no value"),
            ("m=-1", "not a whole number"),
            ("m=5", "`m=5` is not within"),
            ("m=1 w=0 n=1", "`w=0`"),
            ("m=1 w=9 n=0", "`n=0`"),
            ("m=1 w=9 n=1 y=1", "does not know the argument `y`"),
            ("m=1 w=9 n=1 x=4", "`x=4`"),
            ("m=1 w=9 n=1 x=10", "multiple of 4"),
            ("m=1 w=9 n=1 e=9", "`e=9`"),
            ("m=1 w=9 n=1 on=5", "go together"),
            ("m=1 w=9 n=1 v=2", "multiples"),
            ("m=3 w=9 n=1 h=10 q=1", "`h=10`"),
            ("m=3 w=9 n=1 h=9 q=65537", "`q=65537`"),
            ("m=1 w=9 n=1 then_c=5", "its own `then_ms`"),
            ("m=1 w=9 n=1 then_ms=5", "has no `then_c`"),
            ("m=1 w=9 n=1 then_ms=5 then_c=1 then_ms=5 then_c=1", "later than"),
            ("m=1 w=126977 n=1", "does not fit"),
            ("m=1 w=65536 n=1 p=10", "does not fit"),
            ("m=0 f=126977", "does not fit"),
        ] {
            let error = WriterArguments::parse(text, 512).unwrap_err();
            assert!(error.contains(words), "{text}: {error}");
        }
        assert!(WriterArguments::parse("m=1 w=126464 n=1", 512).is_ok(), "494 MiB");
    }
}
