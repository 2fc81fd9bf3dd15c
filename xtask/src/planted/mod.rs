//! `cargo xtask planted`: a measurement of the tests. Each planted bug is applied to a copy of the tree, and the check that it
//! names must fail there.
//!
//! The tree itself must never be changed, and a bug counts as detected only by a check that ran and failed: one that does
//! not build, matches no test, or fails without the bug too, proves nothing.

mod run;
mod scratch;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clap::Args;
use signal_hook::consts::SIGINT;
use signal_hook::flag;
use xtask::Tree;
use xtask::bugs::{self, Bug, Check};

use self::run::{Finding, check};
use self::scratch::Scratch;
use crate::error::Error;

/// Which bugs.
#[derive(Debug, Default, Args)]
pub(crate) struct Options {
    /// Only this bug, by the name of its patch; may be given several times [default: all]
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
}

/// What became of a bug.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Verdict {
    /// Its check failed, as it must.
    Detected,
    /// Its check passed.
    Survived,
    /// It says nothing about the check, for this reason.
    Unusable(String),
}

/// Plants every bug, and reports which are detected.
pub(crate) fn run(options: &Options) -> Result<String, Error> {
    crate::go_to_root()?;
    let root = Tree::root()?;
    let chosen = chosen(&root, &options.only)?;
    let stop = Arc::new(AtomicBool::new(false));
    let taken_over = flag::register(SIGINT, Arc::clone(&stop));
    let signal = taken_over.map_err(|source| Error::Start { job: "take over Ctrl-C".to_owned(), source })?;
    let scratch = Scratch::of(&root)?;
    let verdicts = all(&scratch, &chosen, &stop);
    signal_hook::low_level::unregister(signal);
    let done = summary(chosen.len(), &verdicts?);
    if stop.load(Ordering::SeqCst) {
        let text = done.unwrap_or_else(|error| error.to_string());
        return Err(Error::Interrupted(text));
    }
    done
}

fn chosen(root: &std::path::Path, only: &[String]) -> Result<Vec<Bug>, Error> {
    let mut all = bugs::planted(&Tree::read(root)?).map_err(Error::BadBug)?;
    if let Some(unknown) = only.iter().find(|name| !all.iter().any(|bug| bug.name == **name)) {
        return Err(Error::NoBug(unknown.clone()));
    }
    if !only.is_empty() {
        all.retain(|bug| only.contains(&bug.name));
    }
    // Bugs of one check follow each other: what is built for one serves the next.
    all.sort_by(|one, other| (&one.check, &one.name).cmp(&(&other.check, &other.name)));
    Ok(all)
}

/// The verdict of each bug that was planted until Ctrl-C.
fn all<'b>(scratch: &Scratch, bugs: &'b [Bug], stop: &AtomicBool) -> Result<Vec<(&'b Bug, Verdict)>, Error> {
    let mut sound: BTreeMap<&Check, Result<(), String>> = BTreeMap::new();
    for bug in bugs {
        if stop.load(Ordering::SeqCst) {
            return Ok(Vec::new());
        }
        if sound.contains_key(&bug.check) {
            continue;
        }
        println!("without a bug: {}", bug.check);
        let finding = check(scratch, &bug.check, stop)?;
        sound.insert(&bug.check, sound_check(finding));
    }
    let (began, mut verdicts) = (Instant::now(), Vec::new());
    for (number, bug) in bugs.iter().enumerate() {
        let verdict = match sound.get(&bug.check) {
            Some(Err(why)) => Verdict::Unusable(why.clone()),
            _ => plant(scratch, bug, stop)?,
        };
        // What Ctrl-C ended says nothing.
        if stop.load(Ordering::SeqCst) {
            break;
        }
        let left_min = eta(began.elapsed(), number + 1, bugs.len()).as_secs().div_ceil(60);
        // The reasons follow in the summary.
        let said = verdict.to_string();
        let said = said.lines().next().unwrap_or_default();
        println!("{}/{} {}: {said}; some {left_min} min left", number + 1, bugs.len(), bug.name);
        verdicts.push((bug, verdict));
    }
    Ok(verdicts)
}

/// A check is of use only if it passes without a bug.
fn sound_check(finding: Finding) -> Result<(), String> {
    match finding {
        Finding::Passed => Ok(()),
        Finding::Failed => Err("its check fails without the bug too".to_owned()),
        Finding::NoTest => Err("its check matches no test".to_owned()),
        Finding::NotBuilt(text) => Err(format!("its check does not build without the bug: {text}")),
    }
}

fn plant(scratch: &Scratch, bug: &Bug, stop: &AtomicBool) -> Result<Verdict, Error> {
    let planted = match scratch.plant(&bug.path) {
        Ok(planted) => planted,
        Err(why) => return Ok(Verdict::Unusable(format!("it does not apply: {why}"))),
    };
    let finding = check(scratch, &bug.check, stop);
    planted.remove()?;
    Ok(match finding? {
        Finding::Failed => Verdict::Detected,
        Finding::Passed => Verdict::Survived,
        Finding::NoTest => Verdict::Unusable("its check matches no test".to_owned()),
        Finding::NotBuilt(text) => Verdict::Unusable(format!("it does not build: {text}")),
    })
}

/// The time that the rest takes if it goes on as before.
fn eta(elapsed: Duration, done: usize, all: usize) -> Duration {
    let each = elapsed / u32::try_from(done.max(1)).unwrap_or(u32::MAX);
    each * u32::try_from(all.saturating_sub(done)).unwrap_or(u32::MAX)
}

/// The counts, with the bugs that are not detected; an error unless all of them are.
fn summary(chosen: usize, verdicts: &[(&Bug, Verdict)]) -> Result<String, Error> {
    let count = |wanted: fn(&Verdict) -> bool| verdicts.iter().filter(|(_, verdict)| wanted(verdict)).count();
    let detected = count(|verdict| *verdict == Verdict::Detected);
    let survived = count(|verdict| *verdict == Verdict::Survived);
    let unusable = count(|verdict| matches!(verdict, Verdict::Unusable(_)));
    for (bug, verdict) in verdicts.iter().filter(|(_, verdict)| *verdict != Verdict::Detected) {
        println!("{}: {verdict}\n  {}\n  {}", bug.name, bug.wrong, bug.check);
    }
    let text = format!(
        "{detected} of {chosen} planted bugs detected, {survived} survived, {unusable} unusable, {} not planted",
        chosen - verdicts.len()
    );
    if detected == chosen { Ok(text) } else { Err(Error::Planted(text)) }
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Detected => write!(f, "detected"),
            Self::Survived => write!(f, "SURVIVED"),
            Self::Unusable(why) => write!(f, "UNUSABLE: {why}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Bug, Duration, Verdict, eta, summary};

    #[test]
    fn only_a_complete_run_that_detects_everything_succeeds() {
        let text = "A is B.\ncheck: -p whimbrel-drive --lib -- one\n--- a/x\n+++ b/x\n";
        let bug = Bug::parse("xtask/planted/a.patch", text).unwrap();
        let said = summary(1, &[(&bug, Verdict::Detected)]).unwrap();
        assert!(said.starts_with("1 of 1 planted bugs detected"), "{said}");
        for verdict in [Verdict::Survived, Verdict::Unusable("x".to_owned())] {
            assert!(summary(1, &[(&bug, verdict)]).is_err());
        }
        let partial = summary(2, &[(&bug, Verdict::Detected)]).unwrap_err().to_string();
        assert!(partial.contains("1 of 2") && partial.contains("1 not planted"), "{partial}");
    }

    #[test]
    fn the_rest_takes_as_long_as_what_is_done() {
        assert_eq!(eta(Duration::from_secs(10), 2, 6), Duration::from_secs(20));
        assert_eq!(eta(Duration::from_secs(10), 0, 0), Duration::ZERO);
    }
}
