//! The command line: arguments in, an exit code out.
//!
//! Data goes to standard output, everything else to standard error. Each verb has a file of its own; nothing here knows
//! how a migration works.

mod args;
mod error;
mod explore;
mod fidelity;
mod fleet;
mod fuzz;
mod input;
#[cfg(feature = "service")]
mod interrupt;
#[cfg(any(test, not(feature = "service")))]
mod not_built;
#[cfg(feature = "service")]
mod operator;
mod policy;
mod progress;
mod removed;
mod replay;
mod simulate;
mod snippets;
mod stop;

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use self::args::{Arguments, Verb};
pub use self::error::CliError;
#[cfg(feature = "service")]
pub use self::operator::OperatorError;
use clap::Parser;

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
    /// 130: Ctrl-C stopped a verb that moves no guest; its result is partial.
    Interrupted,
}

/// Runs the command line of this process.
#[must_use]
pub fn main() -> ExitCode {
    #[cfg(feature = "service")]
    if let Some(code) = operator::answer_ssh() {
        return code;
    }
    let arguments = Arguments::try_parse().unwrap_or_else(|error| removed::explained(error).exit());
    let result = match arguments.verb {
        Verb::Simulate(arguments) => simulate::run(&arguments),
        #[cfg(feature = "service")]
        Verb::Operator(verb) => operator::run(&verb),
        #[cfg(not(feature = "service"))]
        Verb::NotBuilt(verb) => Err(verb.error()),
        Verb::Replay(arguments) => replay::run(&arguments),
        Verb::Fidelity(arguments) => fidelity::run(&arguments),
        Verb::Policy(arguments) => policy::run(&arguments),
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
            Self::Interrupted => stop::INTERRUPTED,
        }
    }
}

/// Writes a message to standard error.
fn say(text: &str) {
    // There is no other place for a message when standard error is closed.
    let _ = writeln!(io::stderr(), "{text}");
}

/// Writes a result to standard output. A reader that went away has seen enough.
fn give(result: &str) -> Result<(), CliError> {
    let mut output = io::stdout().lock();
    // What stays in the buffer would be lost without an error.
    given(output.write_all(result.as_bytes()).and_then(|()| output.flush()))
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
