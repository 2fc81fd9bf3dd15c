//! Records migrations of real QEMU, for simulators to be held against.
//!
//! A [`Plan`] names set-ups; [`record`] migrates a guest in each of them, as often as it says, and writes a line for
//! every run: what was set, what the guest did before, every sync of the dirty bitmap, every rate window, and QEMU's own
//! figures at the end. The format is in `docs/recording.md`. A figure must never be computed here that QEMU, the guest
//! or the kernel did not give.

mod archive;
mod arguments;
mod case;
mod direct;
mod driver;
mod emulator;
mod endpoint;
mod environment;
mod error;
mod follow;
mod libvirt_driver;
mod lines;
mod linux;
mod load;
mod memory;
mod plan;
mod profile;
mod qmp;
mod recordings;
mod row;
mod run;
mod stamp;
mod trace;
mod writer;

use std::path::Path;
use std::time::Duration;

pub use emulator::Emulator;
pub use error::RecordError;
pub use plan::Plan;

use case::Guest;
use load::Quiet;
use recordings::Recordings;
use run::Workshop;

use crate::cleanup::{say_if_interrupted, stand_still_if_interrupted};
use crate::pace::Pace;

/// What of a plan is recorded, and how.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Only these cases; all of them when there is none.
    pub only: &'a [String],
    /// Repeats of each case, instead of what the plan says.
    pub repeats: Option<u32>,
    /// Where lines are added. Cases of which there are enough already are passed over.
    pub out: &'a Path,
    /// The QEMU that is recorded. A file of recordings has those of one.
    pub emulator: &'a Emulator,
    /// A folder with the extracted packages of a Linux guest, for cases that have one; see [`Plan::needs_linux`].
    pub linux: Option<&'a Path>,
    /// How long all runs together wait for a quiet machine; no more is recorded when that is over and the machine still
    /// busy. Each run waits as long as the plan says, and is recorded on a busy machine then, but not with another QEMU than
    /// the installed one: with that it waits for all of the time. Without a limit for all runs, each is recorded in the end.
    pub quiet_wait_at_most: Option<Duration>,
}

/// What came of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Lines that were added.
    pub recorded: u32,
    /// Runs that were there already.
    pub skipped: u32,
    /// Runs that failed; each was reported.
    pub failed: u32,
    /// Runs after which the guest missed writes, or did not live.
    pub damaged: u32,
    /// How long was waited for a quiet machine.
    pub waited: Duration,
    /// Per cent of the processors that others used, when runs were left out for that.
    pub too_busy_percent: Option<u32>,
}

impl Plan {
    /// Whether any of these cases (all, when there is none) has a Linux guest.
    #[must_use]
    pub fn needs_linux(&self, only: &[String]) -> bool {
        let mut cases = self.cases.iter().filter(|case| is_asked(&case.name, only));
        cases.any(|case| matches!(case.guest, Guest::Linux { .. }))
    }

    /// The first of these names that the plan does not have.
    #[must_use]
    pub fn unknown<'a>(&self, only: &'a [String]) -> Option<&'a str> {
        let has = |name: &String| self.cases.iter().any(|case| case.name == *name);
        only.iter().find(|name| !has(name)).map(String::as_str)
    }
}

/// Records what is missing: first one repeat of every case, then the next, so that what disturbs the machine for a
/// while does not fall on one case alone. `tell` gets a line for people before and after every run. A run that fails
/// is reported, and the others continue.
///
/// # Errors
/// [`RecordError::Recordings`] for a file that cannot be added to, and whatever keeps all runs from being made.
pub fn record(
    plan: &Plan,
    request: &Request<'_>,
    tell: &mut dyn FnMut(&str),
) -> Result<Outcome, RecordError> {
    if !rustix::process::geteuid().is_root() {
        return Err(crate::LabError::NotRoot.into());
    }
    let mut recordings = Recordings::open(request.out)?;
    let mut workshop = Workshop::open(request.linux, request.emulator)?;
    let qemu = workshop.qemu_version()?;
    recordings.require_qemu(&qemu)?;
    tell(&format!("{}: {qemu}", request.emulator));
    let mut outcome = Outcome::default();
    let mut runs = Vec::new();
    for case in plan.cases.iter().filter(|case| is_asked(&case.name, request.only)) {
        let repeats = request.repeats.or(case.repeats).unwrap_or(plan.repeats);
        let missing = recordings.missing(&case.name, &case.setup(), repeats)?;
        outcome.skipped += repeats.saturating_sub(u32::try_from(missing.len()).unwrap_or(repeats));
        runs.extend((0..).zip(missing).map(|(round, rep)| (round, case, rep)));
    }
    runs.sort_by_key(|(round, ..): &(u32, _, _)| *round);
    let pace = Pace::new(runs.len());
    let mut quiet = match (request.emulator, request.quiet_wait_at_most) {
        (Emulator::Binary(_) | Emulator::Root(_), Some(all)) => Quiet::strict(plan.quiet_busy_at_most, all),
        (_, all) => Quiet::new(plan.quiet_busy_at_most, plan.quiet_wait, all),
    };
    for (number, (_, case, rep)) in (1..).zip(runs) {
        tell(&format!("{} {} #{rep}: {}", pace.before(number), case.name, case.summary()));
        say_if_interrupted(format!(
            "{}; `{}` has what was recorded, and the same command goes on",
            pace.stopped_before(number, "runs"),
            request.out.display()
        ));
        match workshop.run(case, rep, &mut quiet) {
            Ok(row) => {
                recordings.add(&row)?;
                outcome.recorded += 1;
                outcome.damaged += u32::from(row.is_damaged());
                tell(&format!("    {}", row.summary()));
            }
            Err(RecordError::Busy(percent)) => {
                outcome.too_busy_percent = Some(percent);
                break;
            }
            Err(error) => {
                stand_still_if_interrupted();
                outcome.failed += 1;
                tell(&format!("    FAILED: {error}"));
            }
        }
    }
    outcome.waited = quiet.waited();
    Ok(outcome)
}

fn is_asked(name: &str, only: &[String]) -> bool {
    only.is_empty() || only.iter().any(|asked| asked == name)
}
