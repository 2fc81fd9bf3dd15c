//! What the writing guest says on its serial line, and what is asked of it there. `guest/writer.c` is the other side.
//!
//! A line that a switchover cut in two is passed over; a verdict must be whole.

use std::time::{Duration, Instant};

use super::RecordError;
use super::lines::Lines;
use crate::LabError;

/// Filling two gigabytes takes an emulated processor a while.
const START_ALLOWED: Duration = Duration::from_mins(1);
/// Looking at every page of them too.
const VERDICT_ALLOWED: Duration = Duration::from_mins(1);
/// How long the rate is measured at least.
const MEASURED: Duration = Duration::from_secs(1);

/// The guest at its first write.
#[derive(Clone, Copy, Debug)]
pub(super) struct Start {
    /// The frequency of its time stamp counter, by its own timer.
    pub(super) tsc_hz: u64,
    /// When it said so.
    pub(super) at: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    Start { tsc_hz: u64 },
    Report { writes: u32, tsc: u64 },
    Verdict { writes: u32, sum: u32, bad: u32 },
    UnknownArgument,
}

/// Waits for the first write.
pub(super) fn start(serial: &mut Lines) -> Result<Start, RecordError> {
    match wait_for(serial, START_ALLOWED, "the guest's first write", |word| {
        !matches!(word, Word::Report { .. })
    })? {
        Word::Start { tsc_hz } => Ok(Start { tsc_hz, at: Instant::now() }),
        other => Err(RecordError::Answer(format!("the guest at its start: {other:?}"))),
    }
}

/// Writes a second that the guest does, measured over a second at least.
pub(super) fn measure(serial: &mut Lines, tsc_hz: u64) -> Result<f64, RecordError> {
    let report = |serial: &mut Lines| {
        let is_report = |word: &Word| matches!(word, Word::Report { .. });
        match wait_for(serial, Duration::from_secs(10), "the guest's report", is_report)? {
            Word::Report { writes, tsc } => Ok((writes, tsc)),
            other => Err(RecordError::Answer(format!("the guest's report: {other:?}"))),
        }
    };
    let first = report(serial)?;
    let until = Instant::now() + MEASURED;
    let mut last = report(serial)?;
    while Instant::now() < until {
        last = report(serial)?;
    }
    // Both counts go around.
    let writes = f64::from(last.0.wrapping_sub(first.0));
    let ticks = last.1.wrapping_sub(first.1).max(1);
    Ok(writes * float(tsc_hz) / float(ticks))
}

/// Has the guest stop writing and look at every page; whether it found each write.
pub(super) fn verify(serial: &mut Lines) -> Result<bool, RecordError> {
    serial.send(b"v")?;
    let is_verdict = |word: &Word| matches!(word, Word::Verdict { .. });
    match wait_for(serial, VERDICT_ALLOWED, "the guest's look at its memory", is_verdict)? {
        Word::Verdict { writes, sum, bad } => Ok(bad == 0 && sum == writes),
        other => Err(RecordError::Answer(format!("the guest's verdict: {other:?}"))),
    }
}

fn wait_for(
    serial: &mut Lines,
    allowed: Duration,
    what: &str,
    wanted: impl Fn(&Word) -> bool,
) -> Result<Word, RecordError> {
    let deadline = Instant::now() + allowed;
    while let Some(line) = serial.next(deadline)? {
        match parse(&line) {
            Some(Word::UnknownArgument) => {
                return Err(RecordError::Answer("one of the guest's own arguments, it says".to_owned()));
            }
            Some(word) if wanted(&word) => return Ok(word),
            _ => {}
        }
    }
    Err(LabError::Timeout { what: what.to_owned(), allowed }.into())
}

fn parse(line: &str) -> Option<Word> {
    let mut words = line.split(' ');
    let kind = words.next()?;
    let numbers: Vec<u64> = words.map(|word| u64::from_str_radix(word, 16).ok()).collect::<Option<_>>()?;
    let narrow = |number: u64| u32::try_from(number).ok();
    match (kind, numbers.as_slice()) {
        ("i", &[_, tsc_hz]) if tsc_hz > 0 => Some(Word::Start { tsc_hz }),
        ("r", &[writes, tsc]) => Some(Word::Report { writes: narrow(writes)?, tsc }),
        ("v", &[writes, sum, bad]) => {
            Some(Word::Verdict { writes: narrow(writes)?, sum: narrow(sum)?, bad: narrow(bad)? })
        }
        ("e", &[]) => Some(Word::UnknownArgument),
        _ => None,
    }
}

#[expect(clippy::cast_precision_loss, reason = "ticks of hours are exact, and a rate needs no more")]
fn float(value: u64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests {
    use super::{Word, parse};

    #[test]
    fn the_guest_is_understood() {
        assert_eq!(parse("i 10000 891735a6"), Some(Word::Start { tsc_hz: 2_299_999_654 }));
        assert_eq!(parse("r ff 100000000"), Some(Word::Report { writes: 255, tsc: 1 << 32 }));
        assert_eq!(parse("v 2 3 0"), Some(Word::Verdict { writes: 2, sum: 3, bad: 0 }));
        assert_eq!(parse("e"), Some(Word::UnknownArgument));
    }

    #[test]
    fn what_is_not_whole_is_nothing() {
        for line in ["", "r", "r 1", "r 1 2 3", "1f 33", "v 1 2", "v 100000000 1 0", "r 1 g", "i 1 0", "e 1"]
        {
            assert_eq!(parse(line), None, "{line}");
        }
    }
}
