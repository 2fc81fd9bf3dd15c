//! The faults of a scenario, done to real hosts when their moment has come.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::time::Duration;

use whimbrel_core::journal::{Header, Record};
use whimbrel_core::{Migration, PhaseName, Side};
use whimbrel_sim::Scenario;
use whimbrel_sim::scenario::{Fault, Trigger};
use whimbrel_sim::world::Milestone;

use super::capabilities::{LabFault, lab_fault};
use super::program::Program;
use crate::{Host, Lab, LabError};

/// The remaining faults, and the milestones in the journal so far.
pub(super) struct Faults {
    waiting: Vec<Waiting>,
    journal: Tail,
}

struct Waiting {
    fault: Fault,
    delay: Duration,
    /// When it is to happen, once its trigger was seen.
    at: Option<Duration>,
}

impl Faults {
    /// The seed draws the delays.
    pub(super) fn of(scenario: &Scenario, seed: u64, journal: &Path) -> Self {
        let delays = scenario.delays_ms(seed).into_iter().map(Duration::from_millis);
        let each = |(fault, delay): (&Fault, Duration)| Waiting { fault: *fault, delay, at: None };
        Self { waiting: scenario.faults.iter().zip(delays).map(each).collect(), journal: Tail::new(journal) }
    }

    /// Does what is due, in the order of the file.
    pub(super) fn do_due(
        &mut self,
        lab: &Lab,
        guest: &str,
        program: &mut Program<'_>,
        elapsed: Duration,
    ) -> Result<(), LabError> {
        self.journal.catch_up(elapsed);
        let iteration_now = self.journal.iteration();
        let copying = self.journal.copying_since.map(|since| elapsed.saturating_sub(since));
        let journal = &self.journal;
        let mut due = Vec::new();
        self.waiting.retain_mut(|Waiting { fault, delay, at }| {
            let reached = at.is_some()
                || match fault.trigger {
                    Trigger::AtMs(ms) => copying.is_some_and(|copying| copying >= Duration::from_millis(ms)),
                    Trigger::AtIteration(iteration) => iteration_now >= iteration,
                    Trigger::At(Milestone::Preparing) => lab.beta().qemu_pid(guest).is_ok(),
                    Trigger::At(milestone) => journal.has_seen(milestone),
                };
            if reached && at.is_none() {
                *at = Some(elapsed + *delay);
            }
            let now = at.is_some_and(|at| elapsed >= at);
            if now {
                // What cannot be done here was refused before the guest was started.
                due.extend(lab_fault(fault.action));
            }
            !now
        });
        for lab_fault in due {
            if let LabFault::RestartDriver { gone_ms } = lab_fault {
                program.restart(Duration::from_millis(gone_ms))?;
                self.journal.reread();
            } else {
                perform(lab_fault, lab, guest, program)?;
            }
        }
        Ok(())
    }
}

fn perform(lab_fault: LabFault, lab: &Lab, guest: &str, program: &mut Program<'_>) -> Result<(), LabError> {
    let host = |side: Side| -> &Host { if side == Side::Source { lab.alpha() } else { lab.beta() } };
    match lab_fault {
        LabFault::Interrupt => {
            program.interrupt();
            Ok(())
        }
        LabFault::RestartDriver { gone_ms } => program.restart(Duration::from_millis(gone_ms)),
        LabFault::CutLink => lab.cut_link(),
        LabFault::RestoreLink => lab.restore_link(),
        LabFault::BreakStream => lab.break_stream(),
        LabFault::KillDaemon(side) => host(side).kill_daemon(),
        LabFault::StartDaemon(side) => host(side).start_daemon(),
        LabFault::KillGuest(side) => host(side).kill_qemu(guest),
        LabFault::LoseHost(side) => lab.lose_host(host(side), guest),
        LabFault::StartHost(side) => lab.start_host(host(side)),
        LabFault::Suspend(side) => host(side).virsh(&["suspend", guest]).map(drop),
        LabFault::Resume(side) => host(side).virsh(&["resume", guest]).map(drop),
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

    /// Begins again at the first line: an adoption of the journal removes a torn line.
    fn reread(&mut self) {
        self.file = None;
        self.migration = None;
        self.partial.clear();
    }

    /// Reads what is new. The clock of the scenario starts with the copy: how long a host takes to answer the
    /// query for facts is no part of it.
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

    /// Whether the migration has come so far, according to the journal.
    fn has_seen(&self, milestone: Milestone) -> bool {
        let phase = match milestone {
            // The phase begins with the call, the copy later.
            Milestone::Copying => return self.iteration() > 0,
            Milestone::Stopped => PhaseName::SwitchingOver,
            Milestone::Postcopy => PhaseName::Postcopy,
            // These are between the two daemons; a scenario that waits for them is refused. The first one the processes
            // tell.
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
