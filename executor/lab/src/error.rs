//! What can go wrong in the lab, said so that the reader knows what to do about it.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::Snapshot;

/// Why the lab could not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LabError {
    /// Namespaces, bridges and system daemons need root.
    #[error("the lab makes namespaces and needs root: run it as root, or with sudo")]
    NotRoot,
    /// Programs that the lab runs are not installed.
    #[error("these programs are not installed: {0}; install libvirt, QEMU, iproute2, util-linux and gcc")]
    MissingPrograms(String),
    /// A program that the lab ran failed. `message` is what it wrote on its standard error.
    #[error("`{command}` failed: {message}")]
    Command {
        /// The command line, as typed.
        command: String,
        /// Its standard error, trimmed.
        message: String,
    },
    /// The operating system refused something.
    #[error("cannot {what}: {source}")]
    Io {
        /// What was tried, as a verb and its object.
        what: String,
        /// The operating system's answer.
        source: io::Error,
    },
    /// The options contradict what the daemons accept.
    #[error("these lab options cannot work: {0}")]
    BadOptions(&'static str),
    /// A guest was described in a way that cannot run.
    #[error("guest `{name}`: {reason}")]
    BadGuest {
        /// The guest's name.
        name: String,
        /// What is wrong, and what would be right.
        reason: String,
    },
    /// A scenario requires what real hosts cannot do.
    #[error("only the simulator can do all of the scenario `{scenario}`; real hosts cannot do: {what}")]
    OnlySimulated {
        /// The scenario's name.
        scenario: String,
        /// Everything that they cannot do, by its key or word.
        what: String,
    },
    /// A process that should run on a host does not.
    #[error("no {what} runs on host `{host}`")]
    NotRunning {
        /// What was looked for.
        what: String,
        /// The host's name.
        host: String,
    },
    /// A daemon was started and does not answer.
    #[error("the daemon of host `{host}` does not answer: {reason}; its log ends:\n{log}")]
    Daemon {
        /// The host's name.
        host: String,
        /// What a client says.
        reason: String,
        /// The last lines of the daemon's log.
        log: String,
    },
    /// Something did not happen in the time allowed.
    #[error("{what} did not happen within {} s", .allowed.as_secs_f64())]
    Timeout {
        /// What was waited for.
        what: String,
        /// For how long.
        allowed: Duration,
    },
    /// A guest's witness did not show what was waited for.
    #[error("the guest's witness did not show it within {} s: {last:?}", .allowed.as_secs_f64())]
    Witness {
        /// For how long it was watched.
        allowed: Duration,
        /// What it showed last.
        last: Box<Snapshot>,
    },
    /// A journal does not replay to the states that were recorded.
    #[error("the journal `{}` does not replay", .path.display())]
    Journal {
        /// The journal.
        path: PathBuf,
        /// The line and the reason.
        source: whimbrel_core::journal::JournalError,
    },
    /// A root of another generation cannot be used.
    #[error("no root `{name}` for a host: {reason}; `cargo xtask lab roots` makes what is missing")]
    Root {
        /// The root's name.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// No mirror provides a release of Debian.
    #[error(
        "no mirror provides Debian `{suite}` ({tried}); check the network and the package manager's sources and proxy"
    )]
    NoMirror {
        /// The release.
        suite: String,
        /// Each mirror and what happened there.
        tried: String,
    },
    /// Something of the lab could not be removed.
    #[error("left behind at {}: {reason}", .path.display())]
    LeftBehind {
        /// Where the lab lives.
        path: PathBuf,
        /// What could not be removed and why.
        reason: String,
    },
}

impl LabError {
    /// For `map_err`: what was tried when the operating system refused.
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}
