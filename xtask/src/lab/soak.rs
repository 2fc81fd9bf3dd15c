//! Migrations back and forth between generations, with random faults: `cargo xtask lab soak`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use whimbrel_lab::roots::{Generation, RootCache};
use whimbrel_lab::say_if_interrupted;
use whimbrel_lab::soak::{self, Kind, Request};

use super::roots;
use crate::error::Error;
use crate::job::is_root;
use crate::privilege;

/// Longest soak.
const MOST: Duration = Duration::from_hours(7 * 24);

/// How long, and between which hosts.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// Time after which no further migration is begun, for example 90s, 10m or 2h
    #[arg(long = "for", value_name = "DURATION", default_value = "10m", value_parser = duration)]
    lasts: Duration,
    /// Seed of the pairs of hosts, ways and faults
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Only hosts of this generation; may be given several times [default: all]
    #[arg(long = "root", value_name = "NAME")]
    roots: Vec<String>,
    /// Where the use of memory, threads and descriptors is written [default: soak-usage.csv in the temporary folder]
    #[arg(long, value_name = "FILE")]
    usage: Option<PathBuf>,
}

/// Migrates for this time, and fails if a guest was harmed or not where it was reported.
pub(super) fn run(options: &Options) -> Result<(), Error> {
    let chosen = roots::chosen(&options.roots)?;
    let program = super::program()?;
    if !is_root() {
        return privilege::again(super::PROGRAM, &program);
    }
    let cache = RootCache::of_environment();
    let kind = |generation: Generation| -> Result<Kind, Error> {
        Ok(Kind { name: generation.name.to_owned(), root: Some(cache.open(generation)?) })
    };
    let kinds = chosen.into_iter().map(kind).collect::<Result<Vec<_>, _>>()?;
    let usage = options.usage.clone().unwrap_or_else(|| std::env::temp_dir().join("soak-usage.csv"));
    say_if_interrupted("interrupted; the hosts and the guests are removed".to_owned());
    let request =
        Request { program: &program, kinds: &kinds, lasts: options.lasts, seed: options.seed, usage: &usage };
    let report = soak::soak(&request, &mut |line| println!("{line}"))?;
    println!(
        "{} migrations with {} faults: {} arrived, {} stayed, {} guests gone as reported, {} not judged, {} violations; usage in {}",
        report.rounds,
        report.faults,
        report.moved,
        report.stayed,
        report.lost,
        report.unjudged.len(),
        report.violations.len(),
        usage.display()
    );
    report.unjudged.iter().for_each(|line| println!("not judged: {line}"));
    report.violations.iter().for_each(|line| println!("VIOLATION: {line}"));
    if report.violations.is_empty() {
        Ok(())
    } else {
        Err(Error::Soak(report.violations.len(), options.seed))
    }
}

/// A whole number of seconds, minutes or hours.
fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || "give a whole number and s, m or h, a week at most".to_owned();
    let (number, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(wrong)?;
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let seconds = match unit {
        "s" => Some(number),
        "m" => number.checked_mul(60),
        "h" => number.checked_mul(3600),
        _ => None,
    };
    let lasts = Duration::from_secs(seconds.ok_or_else(wrong)?);
    if lasts.is_zero() || lasts > MOST { Err(wrong()) } else { Ok(lasts) }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::duration;

    #[test]
    fn a_duration_has_a_unit_and_a_bound() {
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("10m"), Ok(Duration::from_mins(10)));
        assert_eq!(duration("2h"), Ok(Duration::from_hours(2)));
        for wrong in ["", "m", "0s", "10", "-1m", "1.5h", "169h", "99999999999999999999h", "1ü"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
