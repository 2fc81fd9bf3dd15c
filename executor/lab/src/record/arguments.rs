//! The writing guest's arguments: what a case may ask of it, checked before any guest is started.
//!
//! An argument that the guest would not know, or a region that does not fit its memory, must never reach it.

use std::fmt;

use whimbrel_verify::fidelity::Arguments;

/// Below the guest's region, in MiB.
const REGION_STARTS_MIB: u64 = 16;
/// What firmware keeps at the top of memory, in MiB.
const TOP_MIB: u64 = 2;
/// The guest is a 32-bit program, and the device hole begins here at the latest.
const REGION_ENDS_MIB: u64 = 2048;
const PAGES_A_MIB: u64 = 256;
/// Ticks of a day at 10 GHz: keeps the guest's sums far from overflow.
const MOST_TICKS: u64 = 86_400 * 10_000_000_000;

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
        let given = Arguments::parse(text)?;
        check(&given)?;
        check_region(&given, memory_mib)?;
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

/// What a recording can be read with may still be more than this guest can do.
fn check(given: &Arguments) -> Result<(), String> {
    let within = |what: &str, value: u64, least: u64, most: u64| {
        if (least..=most).contains(&value) {
            Ok(())
        } else {
            Err(format!("the guest's argument `{what}={value}` is not within {least} and {most}"))
        }
    };
    within("c", given.burst_ticks, 0, MOST_TICKS)?;
    for ticks in given.phases.iter().filter_map(|(_, ticks)| *ticks) {
        within("then_c", ticks, 0, MOST_TICKS)?;
    }
    if !given.changed_bytes.is_multiple_of(4) {
        return Err("`x` is not a multiple of 4: the guest writes words".to_owned());
    }
    if given.pattern == 0 {
        return Ok(());
    }
    within("w", given.working_set_pages, 1, REGION_ENDS_MIB * PAGES_A_MIB)?;
    within("n", given.burst_writes, 1, 1 << 20)?;
    let divided = |pages: u64| pages.is_multiple_of(given.processors);
    if !divided(given.working_set_pages) || !divided(given.hot_pages) {
        return Err("`w` and `h` are shared equally by `v` processors: give multiples of it".to_owned());
    }
    Ok(())
}

fn check_region(given: &Arguments, memory_mib: u64) -> Result<(), String> {
    let written = given.working_set_pages.saturating_mul(if given.move_bursts == 0 { 1 } else { 2 });
    let pages = written.max(given.filled_pages.unwrap_or(given.working_set_pages));
    let most_mib = memory_mib.min(REGION_ENDS_MIB).saturating_sub(REGION_STARTS_MIB + TOP_MIB);
    if pages > most_mib * PAGES_A_MIB {
        return Err(format!(
            "the guest's region of {pages} pages does not fit: {memory_mib} MiB of memory have {} pages for it",
            most_mib * PAGES_A_MIB
        ));
    }
    Ok(())
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
            ("m=1 w=9 n=1 y=1", "`y=1` is not known"),
            ("m=1 w=9 n=1 x=4", "`x=4`"),
            ("m=1 w=9 n=1 x=10", "multiple of 4"),
            ("m=1 w=9 n=1 e=9", "`e=9`"),
            ("m=1 w=9 n=1 on=5", "go together"),
            ("m=1 w=9 n=1 v=2", "multiples"),
            ("m=3 w=9 n=1 h=10 q=1", "`h=10`"),
            ("m=3 w=9 n=1 h=9 q=65537", "`q=65537`"),
            ("m=1 w=9 n=1 then_c=5", "no `then_ms` before it"),
            ("m=1 w=9 n=1 then_ms=5", "no `then_c`"),
            ("m=1 w=9 n=1 then_ms=5 then_c=1 then_ms=5 then_c=1", "each later than the last"),
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
