//! The faults of a scenario, done to real hosts when their moment has come.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use whimbrel_core::journal::Record;
use whimbrel_core::{Answer, Input, Observation};
use whimbrel_sim::Scenario;
use whimbrel_sim::scenario::{Fault, FaultAction, Trigger};

use crate::{Lab, LabError};

/// What is still to be done, and what the journal has told so far.
pub(super) struct Faults {
    waiting: Vec<(Fault, Option<Duration>)>,
    journal: Tail,
    iteration: u64,
}

impl Faults {
    pub(super) fn of(scenario: &Scenario, journal: &Path) -> Self {
        let waiting = scenario.faults.iter().map(|fault| (*fault, None)).collect();
        Self { waiting, journal: Tail::new(journal), iteration: 0 }
    }

    /// Does what is due, in the order of the file.
    pub(super) fn do_due(
        &mut self,
        lab: &Lab,
        guest: &str,
        program: &Child,
        elapsed: Duration,
    ) -> Result<(), LabError> {
        self.iteration = self.iteration.max(self.journal.newest_iteration());
        let mut due = Vec::new();
        self.waiting.retain_mut(|(fault, at)| {
            let reached = match fault.trigger {
                Trigger::AtMs(ms) => elapsed >= Duration::from_millis(ms),
                Trigger::AtIteration(iteration) => self.iteration >= iteration,
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

/// Reads a journal while it is being written.
struct Tail {
    path: PathBuf,
    file: Option<BufReader<File>>,
    partial: String,
    iteration: u64,
}

impl Tail {
    fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), file: None, partial: String::new(), iteration: 0 }
    }

    /// The newest dirty-bitmap sync that the journal tells of.
    fn newest_iteration(&mut self) -> u64 {
        if self.file.is_none() {
            self.file = File::open(&self.path).ok().map(BufReader::new);
        }
        let Some(file) = &mut self.file else { return self.iteration };
        while file.read_line(&mut self.partial).is_ok_and(|read| read > 0) && self.partial.ends_with('\n') {
            let iteration = serde_json::from_str(&self.partial).ok().and_then(|record| iteration(&record));
            self.iteration = self.iteration.max(iteration.unwrap_or(0));
            self.partial.clear();
        }
        self.iteration
    }
}

fn iteration(record: &Record) -> Option<u64> {
    match &record.input {
        Input::Hypervisor(Observation::Answer { answer: Answer::Job(Ok(report)), .. }) => {
            Some(report.statistics.iteration)
        }
        Input::Hypervisor(_) | Input::Operator(_) | Input::Timer => None,
    }
}
