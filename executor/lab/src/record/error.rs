//! Why something could not be recorded.

use std::path::PathBuf;

use crate::LabError;

/// What went wrong, and what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// The system, a program or the lab refused.
    #[error(transparent)]
    Lab(#[from] LabError),
    /// A plan that cannot be carried out.
    #[error("the plan `{}`: {reason}", .path.display())]
    Plan {
        /// The file.
        path: PathBuf,
        /// The place and what is wrong there.
        reason: String,
    },
    /// Recordings of before that this one cannot be added to.
    #[error("the recordings in `{}`: {reason}; name another file with --out", .path.display())]
    Recordings {
        /// The file.
        path: PathBuf,
        /// The line and what is wrong with it.
        reason: String,
    },
    /// QEMU did not accept a command.
    #[error("QEMU refused `{command}`: {message}")]
    Refused {
        /// The command of its monitor.
        command: String,
        /// Its own words.
        message: String,
    },
    /// QEMU went away while it was still needed.
    #[error("{0} closed before it was done")]
    Closed(&'static str),
    /// QEMU ended instead of starting.
    #[error("QEMU did not start: {0}")]
    NotStarted(String),
    /// QEMU or the guest said something that was not expected.
    #[error("cannot understand {0}")]
    Answer(String),
    /// The migration neither completed nor ran into its timeout.
    #[error("the migration ended as `{status}`: {reason}")]
    Migration {
        /// The state that QEMU gives.
        status: String,
        /// QEMU's or libvirt's own words.
        reason: String,
    },
    /// Others used so many per cent of the processors for as long as all runs may wait for a quiet machine.
    #[error("others use {0} % of the processors")]
    Busy(u32),
    /// A case with a Linux guest, and there is none.
    #[error("the case `{0}` needs a Linux guest, which was not prepared: record with `cargo xtask record`")]
    NoLinux(String),
}
