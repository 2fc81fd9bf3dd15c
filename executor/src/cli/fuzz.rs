//! `whimbrel fuzz`: complete migrations in the simulator, with randomized fault injection.

use std::fmt::Write as _;
use std::path::Path;
use std::thread;
use std::time::Instant;

use serde::Serialize;
use whimbrel_verify::fuzz::{Found, Series, Setup, as_test, series_watched};

use super::args::{FidelityFormat, Fuzz};
use super::progress::Progress;
use super::stop::{Partial, Stop};
use super::{CliError, Exit, give, unwritten};
use crate::output::{self, Lines};

const SCHEMA: &str = "whimbrel.fuzz/1";
/// Seeds that one thread takes at a time. The digest covers these parts in order, so it does not depend on the number of
/// threads.
const PART: u64 = 10_000;
/// One is enough to fail; a few show whether they have the same cause.
const MOST_FOUND: usize = 8;

pub(super) fn run(arguments: &Fuzz) -> Result<Exit, CliError> {
    let began = Instant::now();
    let stop = Stop::listen()?;
    let series = all(arguments, &stop);
    let seconds = began.elapsed().as_secs_f64();
    let violations = series
        .found
        .iter()
        .map(|found| violation(found, arguments.journals.as_deref()))
        .collect::<Result<Vec<_>, _>>()?;
    let document = Document {
        schema: SCHEMA,
        partial: series.is_stopped.then_some(Partial {
            done: series.cases,
            of: arguments.cases,
            unit: "cases",
        }),
        first_seed: arguments.seed,
        cases: series.cases,
        replayed: series.replayed,
        log_hash: (!series.is_stopped).then(|| format!("{:016x}", series.log_hash)),
        #[expect(clippy::cast_precision_loss, reason = "a rate needs no more digits")]
        cases_per_second: series.cases as f64 / seconds.max(f64::MIN_POSITIVE),
        seconds,
        violations,
    };
    let written = match arguments.format {
        FidelityFormat::Text => document.text(),
        FidelityFormat::Json => {
            serde_json::to_string(&document).map_err(|error| unwritten(error.into()))? + "\n"
        }
    };
    give(&written)?;
    Ok(match (document.violations.is_empty(), document.partial) {
        (false, _) => Exit::Unexpected,
        (true, Some(_)) => Exit::Interrupted,
        (true, None) => Exit::Done,
    })
}

/// Runs all parts, with one thread per processor.
fn all(arguments: &Fuzz, stop: &Stop) -> Series {
    let progress = Progress::new("fuzz", "cases", arguments.cases, stop);
    let progress = &progress;
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let parts: Vec<(u64, u64)> = (0..arguments.cases.div_ceil(PART))
        .map(|part| (arguments.seed.saturating_add(part * PART), PART.min(arguments.cases - part * PART)))
        .collect();
    let mut ran: Vec<(usize, Series)> = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|worker| {
                let mine = parts.iter().enumerate().skip(worker).step_by(threads);
                scope.spawn(move || {
                    mine.map(|(place, (first, cases))| {
                        if progress.go_on().is_break() {
                            return (place, Series { is_stopped: true, ..Series::default() });
                        }
                        let add_one = || progress.add_one();
                        (place, series_watched(Setup::WITH_ORACLE, *first, *cases, MOST_FOUND, add_one))
                    })
                    .collect::<Vec<_>>()
                })
            })
            .collect();
        // A run that differs from its replay panics, and so does this: no result could be trusted.
        workers
            .into_iter()
            .flat_map(|worker| match worker.join() {
                Ok(ran) => ran,
                Err(panic) => std::panic::resume_unwind(panic),
            })
            .collect()
    });
    ran.sort_by_key(|(place, _)| *place);
    let mut whole = Series::default();
    for (_, part) in ran {
        whole.cases += part.cases;
        whole.replayed += part.replayed;
        whole.log_hash = whole.log_hash.rotate_left(7) ^ part.log_hash;
        whole.found.extend(part.found);
        whole.is_stopped |= part.is_stopped;
    }
    whole.found.truncate(MOST_FOUND);
    whole
}

fn violation(found: &Found, folder: Option<&Path>) -> Result<Violation, CliError> {
    let mut journal = None;
    if let Some(folder) = folder {
        let path = folder.join(format!("seed-{}.jsonl", found.seed));
        std::fs::write(&path, &found.journal)
            .map_err(|source| CliError::Unwritable { path: path.clone(), source })?;
        journal = Some(path.display().to_string());
    }
    Ok(Violation {
        seed: found.seed,
        what: format!("{:?}", found.broken),
        troubles_drawn: found.troubles,
        troubles: found.plan.troubles.iter().map(|trouble| format!("{trouble:?}")).collect(),
        test: as_test(&found.plan),
        timeline: timeline(&found.journal),
        journal,
    })
}

/// The lines that `whimbrel replay` would print.
fn timeline(journal: &str) -> Vec<String> {
    let mut out = Vec::new();
    let mut lines = Lines::new(&mut out);
    let replayed = output::replay(journal, &mut lines);
    drop(lines);
    let mut lines: Vec<String> = String::from_utf8_lossy(&out).lines().map(str::to_owned).collect();
    if let Err(error) = replayed {
        lines.push(format!("the journal does not replay: {error}"));
    }
    lines
}

#[derive(Serialize)]
struct Document {
    schema: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    partial: Option<Partial>,
    first_seed: u64,
    cases: u64,
    /// Migrations that were run twice, with the same result.
    replayed: u64,
    /// None for a partial run: which seeds it had is chance.
    log_hash: Option<String>,
    cases_per_second: f64,
    seconds: f64,
    violations: Vec<Violation>,
}

#[derive(Serialize)]
struct Violation {
    seed: u64,
    what: String,
    troubles_drawn: usize,
    /// The minimal set of faults.
    troubles: Vec<String>,
    /// The plan as source of a test in Rust.
    test: String,
    /// What happened, line by line.
    timeline: Vec<String>,
    journal: Option<String>,
}

impl Document {
    fn text(&self) -> String {
        let mut text = self.partial.as_ref().map_or_else(String::new, Partial::heading);
        // Writing into a string does not fail.
        let _ = writeln!(
            text,
            "{} migrations from seed {}, {:.0} per second; {} of them run twice, with identical bytes\nlog hash {}",
            self.cases,
            self.first_seed,
            self.cases_per_second,
            self.replayed,
            self.log_hash.as_deref().unwrap_or("-")
        );
        for violation in &self.violations {
            let _ = writeln!(text, "\nVIOLATION, seed {}: {}\n", violation.seed, violation.what);
            for line in &violation.timeline {
                let _ = writeln!(text, "    {line}");
            }
            let _ = writeln!(text, "\n{}", violation.test);
            if let Some(journal) = &violation.journal {
                let _ = writeln!(text, "    replay: whimbrel replay {journal}");
            }
        }
        if self.violations.is_empty() {
            let so_far = if self.partial.is_some() { " so far" } else { "" };
            let _ = writeln!(text, "no violation{so_far}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use whimbrel_core::{Answer, CopyState, Input, Observation};
    use whimbrel_verify::fuzz::series_told_as;

    use super::violation;

    #[test]
    fn a_violation_is_told_as_a_test_and_a_timeline() {
        // A driver that reports running copies as absent.
        let lie = |input| match input {
            Input::Hypervisor(Observation::Answer { to, answer: Answer::Copy(CopyState::Running) }) => {
                Input::Hypervisor(Observation::Answer { to, answer: Answer::Copy(CopyState::Absent) })
            }
            other => other,
        };
        let found = series_told_as(0, 20_000, 1, lie).found;
        let told = violation(&found[0], None).unwrap();
        assert!(told.test.contains("keeps_every_promise") && told.test.contains("Plan {"), "{}", told.test);
        assert!(told.timeline.len() > 3, "{:#?}", told.timeline);
        assert!(told.timeline.iter().any(|line| line.contains("wren")), "{:#?}", told.timeline);
    }
}
