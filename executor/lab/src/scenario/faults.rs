//! The faults of a scenario, done to real hosts when their moment has come.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use whimbrel_core::journal::{Header, Record};
use whimbrel_core::{Migration, PhaseName, Side};
use whimbrel_sim::Scenario;
use whimbrel_sim::scenario::{Fault, Trigger};
use whimbrel_sim::world::Milestone;

use super::abilities::{Deed, deed};
use crate::{Host, Lab, LabError};

/// What is still to be done, and what the journal has told so far.
pub(super) struct Faults {
    waiting: Vec<(Fault, Option<Duration>)>,
    journal: Tail,
}

impl Faults {
    pub(super) fn of(scenario: &Scenario, journal: &Path) -> Self {
        let waiting = scenario.faults.iter().map(|fault| (*fault, None)).collect();
        Self { waiting, journal: Tail::new(journal) }
    }

    /// Does what is due, in the order of the file.
    pub(super) fn do_due(
        &mut self,
        lab: &Lab,
        guest: &str,
        program: &Child,
        elapsed: Duration,
    ) -> Result<(), LabError> {
        self.journal.catch_up(elapsed);
        let iteration_now = self.journal.iteration();
        let copying = self.journal.copying_since.map(|since| elapsed.saturating_sub(since));
        let journal = &self.journal;
        let mut due = Vec::new();
        self.waiting.retain_mut(|(fault, at)| {
            let reached = match fault.trigger {
                Trigger::AtMs(ms) => copying.is_some_and(|copying| copying >= Duration::from_millis(ms)),
                Trigger::AtIteration(iteration) => iteration_now >= iteration,
                Trigger::At(milestone) => journal.has_seen(milestone),
            };
            if reached && at.is_none() {
                *at = Some(elapsed + Duration::from_millis(fault.after_ms));
            }
            let now = at.is_some_and(|at| elapsed >= at);
            if now {
                // What cannot be done here was refused before the guest was started.
                due.extend(deed(fault.action));
            }
            !now
        });
        due.into_iter().try_for_each(|deed| perform(deed, lab, guest, program))
    }
}

fn perform(deed: Deed, lab: &Lab, guest: &str, program: &Child) -> Result<(), LabError> {
    let host = |side: Side| -> &Host { if side == Side::Source { lab.alpha() } else { lab.beta() } };
    match deed {
        Deed::Interrupt => {
            let pid = i32::try_from(program.id()).ok().and_then(Pid::from_raw);
            // A program that has ended already is not there to be interrupted.
            if let Some(pid) = pid {
                let _ = kill_process(pid, Signal::INT);
            }
            Ok(())
        }
        Deed::CutLink => lab.cut_link(),
        Deed::RestoreLink => lab.restore_link(),
        Deed::KillDaemon(side) => host(side).kill_daemon(),
        Deed::StartDaemon(side) => host(side).start_daemon(),
        Deed::KillGuest(side) => host(side).kill_qemu(guest),
        Deed::LoseHost(side) => {
            host(side).kill_daemon()?;
            match host(side).kill_qemu(guest) {
                // The guest need not be there.
                Ok(()) | Err(LabError::NotRunning { .. }) => Ok(()),
                Err(error) => Err(error),
            }
        }
        Deed::Suspend(side) => host(side).virsh(&["suspend", guest]).map(drop),
        Deed::Resume(side) => host(side).virsh(&["resume", guest]).map(drop),
    }
}

/// Follows a journal while it is being written, by going through the same migration.
struct Tail {
    path: PathBuf,
    file: Option<BufReader<File>>,
    partial: String,
    migration: Option<Migration>,
    copying_since: Option<Duration>,
    /// Phases that the migration was in at the end of any line.
    phases: Vec<PhaseName>,
}

impl Tail {
    fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            file: None,
            partial: String::new(),
            migration: None,
            copying_since: None,
            phases: Vec::new(),
        }
    }

    /// Reads what is new. The clock of the scenario starts with the copy: how long a host takes to be asked for the
    /// facts is no part of it.
    fn catch_up(&mut self, elapsed: Duration) {
        if self.file.is_none() {
            self.file = File::open(&self.path).ok().map(BufReader::new);
        }
        let Some(file) = &mut self.file else { return };
        while file.read_line(&mut self.partial).is_ok_and(|read| read > 0) && self.partial.ends_with('\n') {
            match &mut self.migration {
                None => {
                    let header: Option<Header> = serde_json::from_str(&self.partial).ok();
                    self.migration = header.and_then(|header| Migration::new(header.spec).ok());
                }
                Some(migration) => {
                    if let Ok(Record { at_ns, input, .. }) = serde_json::from_str(&self.partial) {
                        // What the outputs are is the program's business; here only the state counts.
                        let _ = migration.handle(at_ns, input).map(Iterator::count);
                        let phase = migration.view().phase;
                        if self.phases.last() != Some(&phase) {
                            self.phases.push(phase);
                        }
                    }
                }
            }
            self.partial.clear();
        }
        let copies =
            self.migration.as_ref().is_some_and(|migration| migration.view().phase >= PhaseName::Precopy);
        if copies {
            self.copying_since.get_or_insert(elapsed);
        }
    }

    /// Whether the migration has come so far, as the journal tells it.
    fn has_seen(&self, milestone: Milestone) -> bool {
        let phase = match milestone {
            Milestone::Copying => PhaseName::Precopy,
            Milestone::Stopped => PhaseName::SwitchingOver,
            Milestone::Postcopy => PhaseName::Postcopy,
            // These are between the two daemons; a scenario that waits for them is refused.
            Milestone::Preparing
            | Milestone::Mirroring
            | Milestone::Finishing
            | Milestone::Starting
            | Milestone::Started
            | Milestone::Confirming => return false,
        };
        self.phases.contains(&phase)
    }

    /// The newest dirty-bitmap sync.
    fn iteration(&self) -> u64 {
        let latest = self.migration.as_ref().and_then(|migration| migration.view().convergence.latest());
        latest.map_or(0, |(_, statistics)| statistics.iteration)
    }
}
