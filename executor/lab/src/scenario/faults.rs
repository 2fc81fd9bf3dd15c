//! The faults of a scenario, done to real hosts when their moment has come.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use whimbrel_core::journal::{Header, Record};
use whimbrel_core::{Migration, PhaseName};
use whimbrel_sim::Scenario;
use whimbrel_sim::scenario::{Fault, FaultAction, Trigger};

use crate::{Lab, LabError};

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
        let mut due = Vec::new();
        self.waiting.retain_mut(|(fault, at)| {
            let reached = match fault.trigger {
                Trigger::AtMs(ms) => copying.is_some_and(|copying| copying >= Duration::from_millis(ms)),
                Trigger::AtIteration(iteration) => iteration_now >= iteration,
            };
            if reached && at.is_none() {
                *at = Some(elapsed + Duration::from_millis(fault.after_ms));
            }
            let now = at.is_some_and(|at| elapsed >= at);
            if now {
                due.push(fault.action);
            }
            !now
        });
        due.into_iter().try_for_each(|action| perform(action, lab, guest, program))
    }
}

fn perform(action: FaultAction, lab: &Lab, guest: &str, program: &Child) -> Result<(), LabError> {
    match action {
        FaultAction::Cancel => {
            let pid = i32::try_from(program.id()).ok().and_then(Pid::from_raw);
            // A program that has ended already is not there to be interrupted.
            if let Some(pid) = pid {
                let _ = kill_process(pid, Signal::INT);
            }
            Ok(())
        }
        FaultAction::CutLink => lab.cut_link(),
        FaultAction::RestoreLink => lab.restore_link(),
        FaultAction::KillSourceDaemon => lab.alpha().kill_daemon(),
        FaultAction::StartSourceDaemon => lab.alpha().start_daemon(),
        FaultAction::KillDestinationDaemon => lab.beta().kill_daemon(),
        FaultAction::StartDestinationDaemon => lab.beta().start_daemon(),
        FaultAction::KillSourceGuest => lab.alpha().kill_qemu(guest),
        FaultAction::KillDestinationGuest => lab.beta().kill_qemu(guest),
    }
}

/// Follows a journal while it is being written, by going through the same migration.
struct Tail {
    path: PathBuf,
    file: Option<BufReader<File>>,
    partial: String,
    migration: Option<Migration>,
    copying_since: Option<Duration>,
}

impl Tail {
    fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            file: None,
            partial: String::new(),
            migration: None,
            copying_since: None,
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

    /// The newest dirty-bitmap sync.
    fn iteration(&self) -> u64 {
        let latest = self.migration.as_ref().and_then(|migration| migration.view().convergence.latest());
        latest.map_or(0, |(_, statistics)| statistics.iteration)
    }
}
