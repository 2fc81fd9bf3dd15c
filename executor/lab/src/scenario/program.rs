//! The program while it migrates: started, interrupted, killed, and followed by another one that adopts its journal.
//!
//! It ends no process but those that it started, by their ids.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::Show;
use crate::{Lab, LabError};

/// One program after the other, for one migration.
#[derive(Debug)]
pub(super) struct Program<'a> {
    lab: &'a Lab,
    path: &'a Path,
    journal: PathBuf,
    /// What the programs write, unless somebody looks on.
    log: Option<PathBuf>,
    now: Now,
}

#[derive(Debug)]
enum Now {
    Runs(Child),
    /// Killed; the next one starts then.
    Gone(Instant),
}

impl<'a> Program<'a> {
    /// Starts the first one with these arguments.
    pub(super) fn start(
        (lab, path): (&'a Lab, &'a Path),
        arguments: &[String],
        journal: &Path,
        log: &Path,
        show: Show,
    ) -> Result<Self, LabError> {
        let log = (show == Show::Quiet).then(|| log.to_owned());
        let child = spawn(lab, path, arguments, log.as_deref())?;
        Ok(Self { lab, path, journal: journal.to_owned(), log, now: Now::Runs(child) })
    }

    /// As Ctrl-C. One that has ended already, or is gone, is not there to be interrupted.
    pub(super) fn interrupt(&self) {
        let Now::Runs(child) = &self.now else { return };
        if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, Signal::INT);
        }
    }

    /// Kills it at once; another one adopts its journal after so long. One that has ended already is left in peace.
    pub(super) fn restart(&mut self, gone: Duration) -> Result<(), LabError> {
        let Now::Runs(child) = &mut self.now else { return Ok(()) };
        let ended = child.try_wait().map_err(LabError::io("wait for the program"))?;
        if ended.is_none() {
            child.kill().map_err(LabError::io("kill the program"))?;
            child.wait().map_err(LabError::io("wait for the program"))?;
            self.now = Now::Gone(Instant::now() + gone);
        }
        Ok(())
    }

    /// How the last one ended, when it has; starts the next one when its time has come.
    pub(super) fn ended(&mut self) -> Result<Option<ExitStatus>, LabError> {
        match &mut self.now {
            Now::Runs(child) => child.try_wait().map_err(LabError::io("wait for the program")),
            Now::Gone(until) if Instant::now() >= *until => {
                let arguments = ["adopt".to_owned(), self.journal.to_string_lossy().into_owned()];
                self.now = Now::Runs(spawn(self.lab, self.path, &arguments, self.log.as_deref())?);
                Ok(None)
            }
            Now::Gone(_) => Ok(None),
        }
    }

    /// Kills it for good.
    pub(super) fn end(&mut self) {
        if let Now::Runs(child) = &mut self.now {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn spawn(lab: &Lab, path: &Path, arguments: &[String], log: Option<&Path>) -> Result<Child, LabError> {
    let program = path.to_string_lossy();
    let mut command: Command = lab.operator_command(&program);
    command.args(arguments);
    if let Some(log) = log {
        let open = OpenOptions::new().create(true).append(true).open(log);
        let log = open.map_err(LabError::io("create the program's log"))?;
        let errors = log.try_clone().map_err(LabError::io("create the program's log"))?;
        command.stdin(Stdio::null()).stdout(log).stderr(errors);
    }
    command.spawn().map_err(LabError::io(format!("start `{program}`")))
}
