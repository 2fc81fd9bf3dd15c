//! Why a verb failed. Each says what to do about it.

use std::error::Error as _;
use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;

use whimbrel_lab::LabError;
use whimbrel_lab::record::RecordError;
use xtask::TreeError;

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("cannot run `{job}`")]
    Start { job: String, source: io::Error },
    #[error("`{job}` failed: {status}")]
    Failed { job: String, status: ExitStatus },
    #[error("cannot understand what cargo says about what it built")]
    Cargo(#[source] io::Error),
    #[error("cargo says nothing of {0}")]
    NotBuilt(&'static str),
    #[error("the step `{name}` failed; alone it is run with\n\n    {alone}\n")]
    Step { name: &'static str, alone: String, source: Box<Error> },
    #[error(
        "missing on this system, which is not Debian 12: {what}; install what provides them \
         (the packages of Debian 12 are: {packages})"
    )]
    OtherSystem { what: String, packages: String },
    #[error("still missing after the installation: {0}; see above what the package manager said")]
    StillMissing(String),
    #[error("complaints, see above: {0}")]
    Untidy(usize),
    #[error(transparent)]
    Tree(#[from] TreeError),
    #[error("the lab failed")]
    Lab(#[from] LabError),
    #[error("no scenario `{0}`: give a file, or one of {1}")]
    NoScenario(String, String),
    #[error("no generation of hosts `{0}`: give one of {1}")]
    NoGeneration(String, String),
    #[error("cannot read the scenario `{}`", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("the scenario is not valid:\n{0}")]
    BadScenario(String),
    #[error("cannot record")]
    Record(#[from] RecordError),
    #[error("cannot read the plan `{}`", path.display())]
    UnreadablePlan { path: PathBuf, source: io::Error },
    #[error("the plan has no case `{0}`: `cargo xtask record --list` names them")]
    NoCase(String),
    #[error("{0} runs could not be recorded, see above; the same command tries them again")]
    NotRecorded(u32),
    #[error("no QEMU at `{}`", path.display())]
    NoQemu { path: PathBuf, source: io::Error },
    #[error(
        "NOT RECORDED: after {0} min of waiting other programs still used {1} % of the processors; the same command \
         continues on a quiet machine"
    )]
    NotRecordedBusy(u64, u32),
    #[error("cannot use the recordings `{}`", path.display())]
    Recordings { path: PathBuf, source: io::Error },
    #[error(
        "the simulator has drifted away from QEMU: {0}; `whimbrel fidelity` shows each case of the file above"
    )]
    Drifted(String),
    #[error("NOT CHECKED against QEMU: {0}; `cargo xtask record --check` does it on a quiet machine")]
    NotChecked(String),
    #[error("the package manager knows no kernel: `{0}` depends on none")]
    NoKernel(&'static str),
    #[error(
        "built from source, these packs are others than the committed ones: {0}; `cargo xtask rules --write` puts them in place"
    )]
    OtherPacks(String),
    #[error("no PostgreSQL server is installed: `apt-get install postgresql`, for this alone")]
    NoPostgres,
    #[error("PostgreSQL makes no place for its data: {0}")]
    Postgres(String),
    #[error("the guest bore witness to damage; see above")]
    Damage,
    #[error("the process that ran as root reported the reason, see above")]
    Reported(u8),
    #[error("{0} migrations of the soak broke a promise, see above; --seed {1} draws the same rounds")]
    Soak(usize, u64),
    #[error("a planted bug cannot be used: {0}")]
    BadBug(String),
    #[error("no planted bug `{0}`: the files of `xtask/planted/` name them")]
    NoBug(String),
    #[error("{0}")]
    Planted(String),
    #[error("interrupted, so this is partial: {0}")]
    Interrupted(String),
    #[error("UNKNOWN whether the guest's memory is sound: {0}")]
    HealthUnknown(String),
}

/// The exit code of a check that could not be made: it neither passed nor failed.
pub(crate) const NOT_CHECKED: u8 = 3;

/// The exit code of a process that Ctrl-C has ended, as shells report it.
const INTERRUPTED: u8 = 130;

impl Error {
    /// The exit code of this program.
    pub(crate) const fn exit_code(&self) -> u8 {
        match self {
            Self::NotChecked(_) | Self::NotRecordedBusy(..) | Self::HealthUnknown(_) => NOT_CHECKED,
            Self::Reported(code) => *code,
            Self::Interrupted(_) => INTERRUPTED,
            _ => 1,
        }
    }

    /// The error with all its causes, on standard error.
    #[expect(clippy::print_stderr, reason = "standard error is for errors")]
    pub(crate) fn print(&self) {
        eprintln!("error: {self}");
        let mut cause = self.source();
        while let Some(error) = cause {
            eprintln!("  because {error}");
            cause = error.source();
        }
    }
}
