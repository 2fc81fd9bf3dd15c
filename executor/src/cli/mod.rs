//! The command line: arguments in, an exit code out.
//!
//! Data goes to standard output, everything else to standard error. Each verb has a file of its own; nothing here knows
//! how a migration works.

mod adopt;
mod args;
mod asked;
mod check;
mod client;
mod error;
mod explore;
mod facts;
mod fidelity;
mod fleet;
mod fuzz;
mod interrupt;
mod migrate;
mod removed;
mod replay;
mod roles;
mod rule;
mod serve;
mod simulate;
mod simulated;
mod unix;

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use self::args::{Arguments, Verb};
pub use self::error::CliError;
use clap::Parser;
use whimbrel_drive::private;

/// The meaning of the exit code. Scripts depend on the numbers, so they never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// 0: success.
    Done,
    /// 1: an error without a number of its own; no guest was touched.
    Unexpected,
    /// 2: invalid arguments, or an unusable file named by them.
    BadInput,
    /// 3: the migration failed, and the guest is on the source.
    StayedOnSource,
    /// 4: the migration was cancelled, and the guest is on the source.
    Cancelled,
    /// 5: the guest's location is unknown, or the guest is in neither host's memory.
    InDoubt,
    /// 6: the operator detached; the migration continues.
    Detached,
    /// 7: a rule refused the migration; nothing was changed.
    Refused,
    /// 8: the guest was moved to the destination and is not running there, although it was running before.
    ArrivedStopped,
}

/// Runs the command line of this process.
#[must_use]
pub fn main() -> ExitCode {
    // `ssh` starts this program as its askpass helper, with its question as the only argument.
    if let Some(socket) = std::env::var_os(whimbrel_service::SOCKET_VARIABLE) {
        return if whimbrel_service::answer(&socket).is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    let arguments = Arguments::try_parse().unwrap_or_else(|error| removed::explained(error).exit());
    // The files of a new rule are made to be shared.
    if !matches!(arguments.verb, Verb::Rule(_)) {
        private::restrict_new_files();
    }
    let result = match arguments.verb {
        Verb::Simulate(arguments) => simulate::run(&arguments),
        Verb::Migrate(arguments) => migrate::run(&arguments),
        Verb::Adopt(arguments) => adopt::run(&arguments),
        Verb::Resolve(arguments) => adopt::resolve(&arguments),
        Verb::Serve(arguments) => serve::run(&arguments),
        Verb::Token(arguments) => serve::token(&arguments),
        Verb::List(arguments) => client::list(&arguments),
        Verb::Show(arguments) => client::show(&arguments),
        Verb::Watch(arguments) => client::watch(&arguments),
        Verb::Cancel(arguments) => client::cancel(&arguments),
        Verb::Tune(arguments) => client::tune(&arguments),
        Verb::SimServer(arguments) => simulated::serve(&arguments),
        Verb::Replay(arguments) => replay::run(&arguments),
        Verb::Fidelity(arguments) => fidelity::run(&arguments),
        Verb::Rule(verb) => rule::run(&verb),
        Verb::Facts(verb) => facts::run(&verb),
        Verb::Check(arguments) => check::run(&arguments),
        Verb::Explore(arguments) => explore::run(&arguments),
        Verb::Fuzz(arguments) => fuzz::run(&arguments),
    };
    let exit = result.unwrap_or_else(|error| {
        say(&error.rendered());
        error.exit()
    });
    ExitCode::from(exit.code())
}

impl Exit {
    const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Unexpected => 1,
            Self::BadInput => 2,
            Self::StayedOnSource => 3,
            Self::Cancelled => 4,
            Self::InDoubt => 5,
            Self::Detached => 6,
            Self::Refused => 7,
            Self::ArrivedStopped => 8,
        }
    }
}

/// Writes a message to standard error.
fn say(text: &str) {
    // There is no other place for a message when standard error is closed.
    let _ = writeln!(io::stderr(), "{text}");
}

/// This user's folder for files that outlive the process.
fn state_folder() -> PathBuf {
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/state"));
    let state = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from).or_else(home);
    state.unwrap_or_default().join("whimbrel")
}

/// This user's folder for files that do not outlive a reboot.
fn run_folder() -> PathBuf {
    let user = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    user.unwrap_or_else(|| PathBuf::from("/run")).join("whimbrel")
}

/// Writes a result to standard output. A closed pipe is no error: its reader needed no more.
fn give(result: &str) -> Result<(), CliError> {
    given(io::stdout().write_all(result.as_bytes()))
}

/// The result of writing to standard output; a closed pipe counts as success.
fn given(written: io::Result<()>) -> Result<(), CliError> {
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(unwritten(error)),
        _ => Ok(()),
    }
}

fn unwritten(source: io::Error) -> CliError {
    CliError::Unwritable { path: "standard output".into(), source }
}

fn stdout_is_terminal() -> bool {
    io::stdout().is_terminal()
}
