//! Guests that are migrated back and forth between hosts of several generations, with faults, for hours.
//!
//! Pairs of hosts, ways, faults and their times are drawn from a seed; what happens after a fault is up to real daemons and
//! is not repeatable. Each round is one migration by the program, and is judged by the oracle from the guest's own
//! record: which copy ran when, whether one ran that was out of date, and whether the guest is where the program reported
//! it. A round of which too little is known is counted as unjudged, never as good. The soak must never end a process that it
//! did not start.

mod draw;
mod judge;
mod round;
mod usage;

use std::path::Path;
use std::time::{Duration, Instant};

use whimbrel_sim::random::Random;

pub use judge::Verdict;

use crate::cleanup::stand_still_if_interrupted;
use crate::roots::Root;
use crate::{Lab, LabError, LabOptions};
use round::Soaked;
use usage::Usage;

/// Rounds of one pair of hosts: enough for a daemon's growth to show.
const ROUNDS_OF_A_PAIR: u32 = 12;

/// A kind of host that takes part.
#[derive(Clone, Debug)]
pub struct Kind {
    /// Its name in reports.
    pub name: String,
    /// Its system; without one the machine's.
    pub root: Option<Root>,
}

/// A soak: between which hosts, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The program that migrates.
    pub program: &'a Path,
    /// Hosts are of these kinds; at least one.
    pub kinds: &'a [Kind],
    /// No round is begun after this time.
    pub lasts: Duration,
    /// Pairs, ways, faults and times follow from it.
    pub seed: u64,
    /// Where the use of memory, threads and descriptors is written, as CSV.
    pub usage: &'a Path,
}

/// The result of all rounds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Migrations.
    pub rounds: u32,
    /// In which the fault came before the program had ended.
    pub faults: u32,
    /// After which the guest ran on the destination, as reported.
    pub moved: u32,
    /// After which it ran on the source, as reported.
    pub stayed: u32,
    /// After which it was gone, as reported, because its QEMU was killed.
    pub lost: u32,
    /// Of which not everything is known, each with the reason.
    pub unjudged: Vec<String>,
    /// In which the guest was harmed, or was not where the program reported it.
    pub violations: Vec<String>,
}

/// Migrates until the time is over. `tell` gets a line for people about every round.
///
/// # Errors
/// [`LabError::BadOptions`] without a kind of host, and what keeps the lab from working. A violation is no error here: it
/// is in the report.
pub fn soak(request: &Request<'_>, tell: &mut dyn FnMut(&str)) -> Result<Report, LabError> {
    let mut random = Random::from_seed(request.seed);
    let mut usage = Usage::create(request.usage)?;
    let mut report = Report::default();
    let began = Instant::now();
    while began.elapsed() < request.lasts {
        let (source, destination) = draw::pair(&mut random, request.kinds)
            .ok_or(LabError::BadOptions("give at least one kind of host"))?;
        let options = LabOptions {
            alpha_root: source.root.clone(),
            beta_root: destination.root.clone(),
            ..LabOptions::default()
        };
        let lab = Lab::build(&options)?;
        tell(&format!("{} hosts {} and {}", stamp(began.elapsed()), source.name, destination.name));
        let mut soaked = Soaked::new(&lab, request.program);
        for _ in 0..ROUNDS_OF_A_PAIR {
            if began.elapsed() >= request.lasts {
                break;
            }
            let plan = draw::plan(&mut random);
            report.rounds += 1;
            let title = format!("round {}, {plan}", report.rounds);
            // While an interrupt removes the lab, whatever fails fails for that reason.
            let round = soaked.round(&plan, report.rounds, &mut usage);
            let (verdict, has_failed) = round.inspect_err(|_| stand_still_if_interrupted())?;
            report.faults += u32::from(has_failed);
            let late = if plan.has_fault() && !has_failed { " (the fault came too late)" } else { "" };
            let why = soaked.why.as_deref().map_or_else(String::new, |why| format!(" ({why})"));
            tell(&format!("{} {title}{late}: {verdict}{why}", stamp(began.elapsed())));
            report.count(&title, verdict);
        }
        drop(soaked);
        lab.remove()?;
    }
    Ok(report)
}

/// The time since the beginning.
fn stamp(elapsed: Duration) -> String {
    format!("[{} min {:>2} s]", elapsed.as_secs() / 60, elapsed.as_secs() % 60)
}

impl Report {
    fn count(&mut self, title: &str, verdict: Verdict) {
        match verdict {
            Verdict::Moved => self.moved += 1,
            Verdict::Stayed => self.stayed += 1,
            Verdict::Lost => self.lost += 1,
            Verdict::Unjudged(reason) => self.unjudged.push(format!("{title}: {reason}")),
            Verdict::Violation(reason) => self.violations.push(format!("{title}: {reason}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Report, Verdict};

    #[test]
    fn what_is_not_known_is_counted_apart() {
        let mut report = Report::default();
        for verdict in [Verdict::Moved, Verdict::Unjudged("silent".into()), Verdict::Violation("two".into())]
        {
            report.count("round 1", verdict);
        }
        assert_eq!((report.moved, report.stayed, report.lost), (1, 0, 0));
        assert_eq!(
            (report.unjudged, report.violations),
            (vec!["round 1: silent".into()], vec!["round 1: two".into()])
        );
    }
}
