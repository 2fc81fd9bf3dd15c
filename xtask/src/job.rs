//! A program to be run, which can be shown as one would type it.

use std::ffi::OsString;
use std::fmt;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::error::Error;

/// A program, its arguments and what is added to its environment. It runs in the current folder.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    program: OsString,
    arguments: Vec<OsString>,
    environment: Vec<(&'static str, OsString)>,
    root: bool,
}

impl Job {
    /// A program with arguments, split at white space.
    pub(crate) fn new(program: impl Into<OsString>, arguments: &str) -> Self {
        Self {
            program: program.into(),
            arguments: arguments.split_whitespace().map(OsString::from).collect(),
            environment: Vec::new(),
            root: false,
        }
    }

    /// Cargo, the one that runs this program.
    pub(crate) fn cargo(arguments: &str) -> Self {
        Self::new("cargo", arguments)
    }

    /// Fetches what the `package.json` of its folder names.
    pub(crate) fn npm_install() -> Self {
        Self::new("npm", "install --no-audit --no-fund --loglevel=error")
    }

    /// One more argument, taken as it is.
    pub(crate) fn argument(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// More arguments, split at white space.
    pub(crate) fn arguments(mut self, arguments: &str) -> Self {
        self.arguments.extend(arguments.split_whitespace().map(OsString::from));
        self
    }

    /// A variable of its environment.
    pub(crate) fn variable(mut self, name: &'static str, value: impl Into<OsString>) -> Self {
        self.environment.push((name, value.into()));
        self
    }

    /// As root: through `sudo` for other users.
    pub(crate) fn privileged(mut self) -> Self {
        self.root = !is_root();
        self
    }

    /// Runs it at the terminal.
    pub(crate) fn run(&self) -> Result<(), Error> {
        let status = self.command(None).status().map_err(|source| self.not_started(source))?;
        if status.success() { Ok(()) } else { Err(Error::Failed { job: self.to_string(), status }) }
    }

    /// Runs it in a folder, at the terminal.
    pub(crate) fn run_in(&self, folder: &Path) -> Result<(), Error> {
        let status = self.command(Some(folder)).status().map_err(|source| self.not_started(source))?;
        if status.success() { Ok(()) } else { Err(Error::Failed { job: self.to_string(), status }) }
    }

    /// Runs it in a folder, and gives all that it writes, whether it succeeds or not.
    pub(crate) fn captured_in(&self, folder: &Path) -> (String, Result<(), Error>) {
        match self.command(Some(folder)).output() {
            Err(source) => (String::new(), Err(self.not_started(source))),
            Ok(output) => {
                let text =
                    [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
                let failed = || Error::Failed { job: self.to_string(), status: output.status };
                (text.concat(), output.status.success().then_some(()).ok_or_else(failed))
            }
        }
    }

    /// Runs it with its errors at the terminal, and gives what it writes.
    pub(crate) fn output(&self) -> Result<Vec<u8>, Error> {
        let output = self
            .command(None)
            .stderr(Stdio::inherit())
            .output()
            .map_err(|source| self.not_started(source))?;
        if output.status.success() {
            Ok(output.stdout)
        } else {
            Err(Error::Failed { job: self.to_string(), status: output.status })
        }
    }

    /// Runs it in silence; gives what it said when it failed.
    pub(crate) fn quietly(&self) -> Result<(), String> {
        let output = self.command(None).output().map_err(|error| error.to_string())?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(if said.is_empty() { output.status.to_string() } else { said })
    }

    fn command(&self, folder: Option<&Path>) -> Command {
        let mut command = if self.root {
            // `sudo` may keep none of our environment: `env` on its other side sets what matters.
            let mut command = Command::new("sudo");
            command.arg("env").args(self.environment.iter().map(|(name, value)| {
                let mut word = OsString::from(name);
                word.push("=");
                word.push(value);
                word
            }));
            command.arg(&self.program);
            command
        } else {
            let mut command = Command::new(&self.program);
            command.envs(self.environment.iter().map(|(name, value)| (name, value)));
            command
        };
        command.args(&self.arguments);
        if let Some(folder) = folder {
            command.current_dir(folder);
        }
        command
    }

    fn not_started(&self, source: std::io::Error) -> Error {
        Error::Start { job: self.to_string(), source }
    }
}

impl fmt::Display for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.root {
            write!(f, "sudo env ")?;
        }
        for (name, value) in &self.environment {
            write!(f, "{name}={} ", value.display())?;
        }
        write!(f, "{}", self.program.display())?;
        self.arguments.iter().try_for_each(|argument| write!(f, " {}", argument.display()))
    }
}

/// Whether this process is root's.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[cfg(test)]
mod tests {
    use super::Job;

    #[test]
    fn a_job_is_shown_as_one_would_type_it() {
        let job = Job::cargo("doc --no-deps").variable("RUSTDOCFLAGS", "-Dwarnings").argument("-q");
        assert_eq!(job.to_string(), "RUSTDOCFLAGS=-Dwarnings cargo doc --no-deps -q");
    }

    #[test]
    fn a_job_that_fails_says_so() {
        let failed = Job::new("false", "").run().unwrap_err();
        assert!(failed.to_string().starts_with("`false` failed"), "{failed}");
        assert!(Job::new("no-such-program", "").quietly().is_err());
        assert_eq!(Job::new("echo", "a b").output().unwrap(), b"a b\n");
    }
}
