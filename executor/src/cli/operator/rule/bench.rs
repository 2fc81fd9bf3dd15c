//! The cost of rules. Fuel is exact; times depend on the machine.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use whimbrel_facts::{Activation, Facts, Phase, Rule};
use whimbrel_plugins::host;

use super::args::{Bench, Form};
use super::{CliError, Exit, OperatorError, document, facts, load_set, print};
use crate::cli::progress::Progress;
use crate::cli::stop::{Partial, Stop};
use whimbrel_drive::today;

/// Measured calls, after the same number of unmeasured ones to warm up.
const CALLS: usize = 200;

pub(super) fn run(arguments: &Bench) -> Result<Exit, CliError> {
    let Bench { rule: only, of: arguments } = arguments;
    let began = Instant::now();
    let set = load_set(&arguments.set)?;
    set.compile(Phase::Preflight).map_err(|error| OperatorError::Rules(error.to_string()))?;
    let loaded = began.elapsed();
    let facts = facts(&arguments.facts)?;
    let mut work = Vec::new();
    for pack in set.packs() {
        let asked = |rule: &&Rule| only.as_ref().is_none_or(|only| *only == rule.code);
        let activate = |rule: &Rule| Activation { code: rule.code.clone(), settings: String::new() };
        let all: Vec<_> = pack.about().rules.iter().filter(asked).map(activate).collect();
        if !all.is_empty() {
            work.push((pack, all));
        }
    }
    if work.is_empty() {
        let code = only.clone().unwrap_or_default();
        let codes = set.packs().flat_map(|pack| &pack.about().rules).map(|rule| rule.code.as_str());
        let near = whimbrel_plugins::near::nearest(&code, codes).map(str::to_owned);
        return Err(OperatorError::NoRule { code, near }.into());
    }
    let (rows, partial) = measure_all(&work, &facts)?;
    // All that a check adds to the packs: the digest of the facts, places, waivers.
    let judgement = (partial.is_none() && only.is_none()).then(|| {
        let times = timed(|| {
            let _ = set.judge(&facts, &today());
            Ok(())
        })?;
        Ok::<_, CliError>(quantiles(times))
    });
    let judgement = judgement.transpose()?;
    let exit = if partial.is_some() { Exit::Interrupted } else { Exit::Done };
    if arguments.format == Form::Json {
        let rows: Vec<_> = rows
            .iter()
            .map(|row| {
                let [p50_us, p99_us] = row.times_us;
                serde_json::json!({ "pack": row.name, "fuel": row.fuel, "p50-us": p50_us, "p99-us": p99_us })
            })
            .collect();
        let us = loaded.as_micros();
        let mut report = serde_json::json!({ "schema": "whimbrel.bench/1", "load-us": us, "packs": rows });
        if let Some(report) = report.as_object_mut() {
            let judged = judgement.map(|[p50, p99]| serde_json::json!({ "p50-us": p50, "p99-us": p99 }));
            report.extend(judged.map(|judged| ("judgement".to_owned(), judged)));
            report.extend(partial.map(|partial| ("partial".to_owned(), serde_json::json!(partial))));
        }
        return document(&report).map(|_| exit);
    }
    let mut text = partial.map_or_else(String::new, |partial| partial.heading());
    // Writing into a string does not fail.
    let _ = write!(
        text,
        "loading all packs: {} µs\n{:<24}{:>12}{:>10}{:>10}\n",
        loaded.as_micros(),
        "pack",
        "fuel",
        "p50 µs",
        "p99 µs"
    );
    for row in &rows {
        let [p50, p99] = row.times_us;
        let _ = writeln!(text, "{:<24}{:>12}{p50:>10}{p99:>10}", row.name, row.fuel);
    }
    let sum: u64 = rows.iter().map(|row| row.fuel).sum();
    let p50: u128 = rows.iter().map(|row| row.times_us[0]).sum();
    let _ = writeln!(text, "{:<24}{sum:>12}{p50:>10}", "all");
    if let Some([p50, p99]) = judgement {
        let _ = writeln!(text, "{:<24}{:>12}{p50:>10}{p99:>10}", "whole judgement", "");
    }
    print(&text)?;
    Ok(exit)
}

/// A pack, and those of its rules that are measured.
type Work<'a> = (&'a host::Pack, Vec<Activation>);

/// One pack after the other, until Ctrl-C.
fn measure_all(work: &[Work<'_>], facts: &Facts) -> Result<(Vec<Row>, Option<Partial>), CliError> {
    let packs = work.len() as u64;
    let stop = Stop::listen()?;
    let progress = Progress::new("rule bench", "packs", packs, &stop);
    let mut rows = Vec::new();
    for (pack, activations) in work {
        rows.push(measure(pack, &pack.about().name, facts, activations)?);
        if progress.add_one().is_break() {
            break;
        }
    }
    let done = rows.len() as u64;
    let partial = (done < packs).then_some(Partial { done, of: packs, unit: "packs" });
    Ok((rows, partial))
}

struct Row {
    name: String,
    fuel: u64,
    times_us: [u128; 2],
}

fn measure(
    pack: &host::Pack,
    name: &str,
    facts: &Facts,
    activations: &[Activation],
) -> Result<Row, CliError> {
    let mut fuel = 0;
    let times = timed(|| {
        let answer = pack.check(facts, activations).map_err(|stop| OperatorError::Rules(stop.to_string()))?;
        fuel = answer.fuel;
        Ok(())
    })?;
    Ok(Row { name: name.to_owned(), fuel, times_us: quantiles(times) })
}

/// The measured calls, after as many that are not.
fn timed(mut call: impl FnMut() -> Result<(), CliError>) -> Result<Vec<Duration>, CliError> {
    let mut times = Vec::with_capacity(CALLS);
    for number in 0..2 * CALLS {
        let began = Instant::now();
        call()?;
        if number >= CALLS {
            times.push(began.elapsed());
        }
    }
    Ok(times)
}

/// The median and the 99th percentile, in microseconds.
fn quantiles(mut times: Vec<Duration>) -> [u128; 2] {
    times.sort_unstable();
    let at = |percent: usize| times.get(CALLS * percent / 100).map_or(0, Duration::as_micros);
    [at(50), at(99)]
}
