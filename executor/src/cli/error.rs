//! Errors of the command line, with causes, hints and exit codes.

use std::fmt::Write as _;
use std::io;
use std::path::PathBuf;

use whimbrel_core::journal::JournalError;
use whimbrel_sim::ScenarioError;
use whimbrel_sim::fleet::FleetError;
use whimbrel_study::GridError;
use whimbrel_verify::fidelity::RecordingError;

#[cfg(any(test, not(feature = "service")))]
use super::not_built::Feature;
#[cfg(feature = "service")]
use super::operator::OperatorError;
use super::{Exit, snippets};

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// A file that cannot be read.
    #[error("cannot read `{}`", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file that cannot be written.
    #[error("cannot write `{}`", path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A scenario file with mistakes.
    #[error("{error}")]
    Scenario {
        /// The mistakes.
        error: ScenarioError,
        /// The file's text, to show them in.
        text: String,
    },
    /// A scenario that is neither a file nor built in.
    #[error("`{0}` is neither a file nor a built-in scenario")]
    NoScenario(String),
    /// A scenario whose limits are out of bounds.
    #[error("the limits of the scenario are out of bounds")]
    Spec(#[from] whimbrel_core::SpecError),
    /// A fleet that cannot be simulated.
    #[error("the fleet cannot be simulated")]
    Fleet(#[from] FleetError),
    /// An option for a single migration, with a fleet file.
    #[error("`{option}` applies to a single migration, and the file describes a fleet")]
    NotForFleets {
        /// The option.
        option: &'static str,
    },
    /// A journal that cannot be replayed.
    #[error("cannot replay `{}`", path.display())]
    Journal {
        /// The file.
        path: PathBuf,
        /// The line and the reason.
        source: JournalError,
    },
    /// A slice of the exploration that does not exist.
    #[error("unknown slice; the slices are {}", names.join(", "))]
    Slice {
        /// The existing ones.
        names: Vec<&'static str>,
    },
    /// A convergence policy that does not exist.
    #[error("there is no policy `{name}`; there are {}", names.join(", "))]
    NoPolicy {
        /// The name.
        name: String,
        /// Those that exist.
        names: Vec<&'static str>,
    },
    /// A grid that is neither built in nor a file.
    #[error("there is no grid `{name}`, built in ({}) or as a file", names.join(", "))]
    NoGrid {
        /// The name.
        name: String,
        /// Those that are built in.
        names: Vec<&'static str>,
    },
    /// A grid that cannot be used.
    #[error("cannot use the grid `{}`", path.display())]
    Grid {
        /// The file, or the name of a built-in grid.
        path: PathBuf,
        /// Why.
        source: GridError,
    },
    /// Recorded migrations that cannot be read.
    #[error("cannot use the recordings in `{}`", path.display())]
    Recordings {
        /// The file.
        path: PathBuf,
        /// The line and the reason.
        source: RecordingError,
    },
    /// A verb that this build does not have.
    #[cfg(any(test, not(feature = "service")))]
    #[error("this build has no `{verb}`: it was compiled without the feature `{feature}`")]
    NotBuilt {
        /// The verb.
        verb: &'static str,
        /// The feature that enables it.
        feature: Feature,
    },
    /// An error of the verbs that the feature `service` enables.
    #[cfg(feature = "service")]
    #[error(transparent)]
    Operator(#[from] OperatorError),
    /// Signals could not be waited for.
    #[error("cannot wait for signals")]
    Signals(#[source] io::Error),
    /// The simulator broke the protocol of the port.
    #[error("the simulator broke the protocol of the port")]
    Misuse(#[from] whimbrel_core::Misuse),
}

impl CliError {
    /// The exit code for this error.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            #[cfg(feature = "service")]
            Self::Operator(error) => error.exit(),
            #[cfg(any(test, not(feature = "service")))]
            Self::NotBuilt { .. } => Exit::BadInput,
            Self::Unreadable { .. }
            | Self::Unwritable { .. }
            | Self::Scenario { .. }
            | Self::NoScenario(_)
            | Self::Spec(_)
            | Self::Journal { .. }
            | Self::Recordings { .. }
            | Self::Slice { .. }
            | Self::NoPolicy { .. }
            | Self::NoGrid { .. }
            | Self::Grid { .. }
            | Self::NotForFleets { .. }
            | Self::Fleet(FleetError::NoRoom(_) | FleetError::Spec(_)) => Exit::BadInput,
            Self::Signals(_) | Self::Misuse(_) | Self::Fleet(_) => Exit::Unexpected,
        }
    }

    /// The error with its chain of causes, and a hint where there is one.
    #[must_use]
    pub fn rendered(&self) -> String {
        if let Self::Scenario { error, text } = self {
            return snippets::rendered(error, text);
        }
        let mut rendered = format!("error: {}", self.with_causes());
        if let Some(hint) = self.hint() {
            let _ = write!(rendered, "\n\nhint: {hint}");
        }
        rendered
    }

    /// The error with its chain of causes, in one line.
    pub(super) fn with_causes(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            let _ = write!(text, ": {error}");
            cause = error.source();
        }
        text
    }

    fn hint(&self) -> Option<&'static str> {
        match self {
            #[cfg(feature = "service")]
            Self::Operator(error) => error.hint(),
            #[cfg(any(test, not(feature = "service")))]
            Self::NotBuilt { feature, .. } => Some(feature.command()),
            Self::NoScenario(_) => Some("`whimbrel simulate --list` lists the built-in scenarios"),
            Self::NoPolicy { .. } => Some("`whimbrel policy list` explains all policies"),
            Self::Unreadable { .. }
            | Self::Unwritable { .. }
            | Self::Scenario { .. }
            | Self::Spec(_)
            | Self::Journal { .. }
            | Self::Recordings { .. }
            | Self::Fleet(_)
            | Self::NotForFleets { .. }
            | Self::Slice { .. }
            | Self::NoGrid { .. }
            | Self::Grid { .. }
            | Self::Signals(_)
            | Self::Misuse(_) => None,
        }
    }
}

/// How a build gets the driver of real hosts.
pub(super) const BUILD_WITH_LIBVIRT: &str = "build with `cargo build --release --features libvirt`; it needs libvirt's \
     headers (Debian: `apt-get install libvirt-dev pkg-config`)";
