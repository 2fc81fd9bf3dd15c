//! The verdict in one sentence: why, and what follows. Only what was measured or computed is in it; where something is
//! missing, it says what.

use core::fmt;

use super::verdict::{Assessment, Numbers, Verdict};
use crate::number::scaled;
use crate::observation::implied_ms;

/// Below this, times are in seconds.
const MINUTES_FROM_MS: u64 = 120_000;

/// The whole sentence.
impl fmt::Display for Assessment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.why(), self.conclusion())
    }
}

impl Assessment {
    /// The numbers that the verdict rests on.
    #[must_use]
    pub fn why(&self) -> impl fmt::Display {
        Why(*self)
    }

    /// The verdict itself.
    #[must_use]
    pub fn conclusion(&self) -> impl fmt::Display {
        Conclusion(*self)
    }
}

struct Why(Assessment);

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(Assessment { verdict, numbers, .. }) = self;
        let remaining = Mib(numbers.remaining_bytes);
        let Some(bandwidth) = numbers.bandwidth else {
            return write!(f, "{remaining} MiB are left, and the bandwidth is not measured yet");
        };
        let (carried, left_ms) = (Mib(bandwidth), implied_ms(numbers.remaining_bytes, bandwidth));
        if *verdict == Verdict::LinkTooSlow {
            let seconds = Grouped(left_ms.map_or(0, |ms| ms.div_ceil(1000)));
            return write!(f, "{remaining} MiB at {carried} MiB/s take {seconds} s at least");
        }
        if numbers.is_paused || (*verdict == Verdict::Open && numbers.ends == 0) {
            let stopped = if numbers.is_paused { "the guest is stopped; " } else { "" };
            return write!(f, "{stopped}{remaining} MiB are left, at {carried} MiB/s");
        }
        if let Some(rate) = numbers.dirty_rate {
            write!(f, "dirties {} of {carried} MiB/s; ", Mib(rate))?;
        }
        numbers.allowance(f, bandwidth)
    }
}

struct Conclusion(Assessment);

impl fmt::Display for Conclusion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(Assessment { verdict, forecast, numbers }) = self;
        let most = Grouped(numbers.max_downtime_ms);
        match *verdict {
            Verdict::Open => return self.0.missing(f),
            Verdict::Converges if numbers.is_paused => f.write_str("nothing more is dirtied, ends")?,
            Verdict::Converges => f.write_str("converges as it is")?,
            Verdict::NeedsLimit { ms } => write!(f, "a limit of {} ms would suffice", Grouped(ms))?,
            Verdict::NeedsThrottle => {
                write!(f, "no limit up to {most} ms suffices, a restart with auto-converge would")?;
            }
            Verdict::Never { .. } => {
                return write!(f, "no limit up to {most} ms suffices, unless the guest changes");
            }
            Verdict::LinkTooSlow => {
                let left_s = Grouped(numbers.until_deadline_ms.unwrap_or(0) / 1000);
                return write!(f, "{left_s} s are left until the time limit");
            }
        }
        match forecast.and_then(|forecast| forecast.left_ms) {
            Some(left_ms) if numbers.is_paused => write!(f, " {}", Approximately(left_ms)),
            Some(left_ms) => write!(f, ", {}", Approximately(left_ms)),
            None => Ok(()),
        }
    }
}

impl Assessment {
    /// The observation that is missing before a verdict, and the chance as far as it is known.
    fn missing(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let numbers = &self.numbers;
        let Some(forecast) = self.forecast else {
            return match (numbers.syncs, numbers.pass_ms()) {
                (0, Some(ms)) => {
                    write!(f, "forecast after the first pass, which ends in {} or later", Span(ms))
                }
                (0, None) => f.write_str("forecast after the first pass"),
                _ => f.write_str("forecast after the next pass"),
            };
        };
        match numbers.ends {
            0 => f.write_str("not decided before a pass has ended")?,
            1 => f.write_str("not decided after 1 pass")?,
            passes => write!(f, "not decided after {} passes", Grouped(passes))?,
        }
        write!(f, "; {} as it is", Percent(forecast.meets_intent_ppm))?;
        match forecast.left_ms {
            Some(left_ms) => write!(f, ", then {}", Approximately(left_ms)),
            None => Ok(()),
        }
    }
}

impl Numbers {
    /// How long what remains takes at least.
    fn pass_ms(&self) -> Option<u64> {
        implied_ms(self.remaining_bytes, self.bandwidth?)
    }

    /// What the limit allows, beside what recent passes left.
    fn allowance(&self, f: &mut fmt::Formatter<'_>, bandwidth: u64) -> fmt::Result {
        let allowed = scaled(bandwidth, self.limit_ms, 1000);
        write!(f, "{} ms allow {} MiB", Grouped(self.limit_ms), Mib(allowed))?;
        match self.left_bytes {
            Some((least, most)) if least >> 20 == most >> 20 => {
                write!(f, ", recent passes left {} MiB", Mib(most))
            }
            Some((least, most)) => write!(f, ", recent passes left {} to {} MiB", Mib(least), Mib(most)),
            None => write!(f, ", {} MiB are left", Mib(self.remaining_bytes)),
        }
    }
}

/// A time from now on with its interval: `in about 40 s (25 to 70 s)`.
pub(crate) struct Approximately(pub(crate) [u64; 3]);

impl fmt::Display for Approximately {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self([low, middle, high]) = *self;
        write!(f, "in about {}", Span(middle))?;
        match high {
            ..MINUTES_FROM_MS if low.div_ceil(1000) == high.div_ceil(1000) => Ok(()),
            ..MINUTES_FROM_MS => {
                write!(f, " ({} to {} s)", Grouped(low.div_ceil(1000)), Grouped(high.div_ceil(1000)))
            }
            _ => write!(f, " ({} to {})", Span(low), Span(high)),
        }
    }
}

/// A time, rounded up to seconds; from two minutes on with its minutes.
struct Span(u64);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.div_ceil(1000);
        if self.0 < MINUTES_FROM_MS {
            return write!(f, "{seconds} s");
        }
        write!(f, "{} min {} s", Grouped(seconds / 60), seconds % 60)
    }
}

/// A short time with its unit.
pub(crate) struct Short(pub(crate) u64);

impl fmt::Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            ..1_000 => write!(f, "{} ms", self.0),
            1_000..MINUTES_FROM_MS => write!(f, "{}.{} s", self.0 / 1000, self.0 % 1000 / 100),
            _ => Span(self.0).fmt(f),
        }
    }
}

/// A chance. 32 particles show no certainty: the ends are bounds.
pub(crate) struct Percent(pub(crate) u64);

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => f.write_str("less than 3 %"),
            1_000_000.. => f.write_str("more than 97 %"),
            ppm => write!(f, "{} %", (ppm + 5_000) / 10_000),
        }
    }
}

/// Bytes in whole MiB.
struct Mib(u64);

impl fmt::Display for Mib {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Grouped(self.0 >> 20).fmt(f)
    }
}

/// A number with a comma between its thousands.
struct Grouped(u64);

impl fmt::Display for Grouped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 < 1_000 {
            return write!(f, "{}", self.0);
        }
        Self(self.0 / 1_000).fmt(f)?;
        write!(f, ",{:03}", self.0 % 1_000)
    }
}
