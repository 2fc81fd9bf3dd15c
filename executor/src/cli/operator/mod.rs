//! The verbs of builds with the feature `service`: they move guests, judge migrations, or talk to a service.
//!
//! They need the sandbox of the rules, the HTTP server and its store, which take most of the time that a build takes.

mod adopt;
pub(super) mod args;
mod asked;
mod beforehand;
mod check;
mod check_all;
mod client;
mod earlier;
mod error;
mod facts;
mod hosts;
mod migrate;
mod roles;
mod rule;
mod serve;
mod simulated;
mod unix;

use std::path::PathBuf;
use std::process::ExitCode;

use self::args::OperatorVerb;
pub use self::error::OperatorError;
use super::{CliError, Exit, give, input, interrupt, say, stdout_is_terminal};
use whimbrel_drive::private;

pub(super) fn run(verb: &OperatorVerb) -> Result<Exit, CliError> {
    // The files of a rule's author are meant for other users too; journals, stores and tokens are not.
    if !matches!(verb, OperatorVerb::Rule(_)) {
        private::restrict_new_files();
    }
    match verb {
        OperatorVerb::Migrate(arguments) => migrate::run(arguments),
        OperatorVerb::Adopt(arguments) => adopt::run(arguments),
        OperatorVerb::Resolve(arguments) => adopt::resolve(arguments),
        OperatorVerb::Serve(arguments) => serve::run(arguments),
        OperatorVerb::Token(arguments) => serve::token(arguments),
        OperatorVerb::List(arguments) => client::list(arguments),
        OperatorVerb::Show(arguments) => client::show(arguments),
        OperatorVerb::Watch(arguments) => client::watch(arguments),
        OperatorVerb::Cancel(arguments) => client::cancel(arguments),
        OperatorVerb::Tune(arguments) => client::tune(arguments),
        OperatorVerb::Rule(verb) => rule::run(verb),
        OperatorVerb::Facts(verb) => facts::run(verb),
        OperatorVerb::Check(arguments) => check::run(arguments),
        OperatorVerb::SimServer(arguments) => simulated::serve(arguments),
    }
}

/// Answers `ssh`, which starts this program with its question as the only argument. `None` when it was started by a person.
pub(super) fn answer_ssh() -> Option<ExitCode> {
    let socket = std::env::var_os(whimbrel_service::SOCKET_VARIABLE)?;
    Some(if whimbrel_service::answer(&socket).is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The folder of this program's lasting files, for this user. Never one below the current folder: what is kept there is not
/// found again from another one. Relative paths in the variables are ignored, as the XDG Base Directory Specification says.
fn state_folder() -> Result<PathBuf, CliError> {
    let folder = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let home = || folder("HOME").map(|home| home.join(".local/state"));
    folder("XDG_STATE_HOME")
        .or_else(home)
        .map(|state| state.join("whimbrel"))
        .ok_or_else(|| OperatorError::NoStateFolder.into())
}

/// The folder of this program's files that end with the machine's uptime, for this user.
fn run_folder() -> PathBuf {
    let user = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    user.unwrap_or_else(|| PathBuf::from("/run")).join("whimbrel")
}
