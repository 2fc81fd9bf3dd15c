//! Errors of the verbs that the feature `service` enables.

use std::io;
use std::path::PathBuf;

use whimbrel_drive::host_key::RefusedKey;
use whimbrel_drive::hosts::HostsError;
use whimbrel_drive::{DriveError, JournalFileError, ResumptionError};
use whimbrel_plugins::build::BuildError;
use whimbrel_preflight::matrix::MatrixError;
use whimbrel_service::auth::TokenError;
use whimbrel_service::{ServiceError, StoreError};

use crate::cli::error::BUILD_WITH_LIBVIRT;
use crate::cli::{CliError, Exit};

/// Why one of these verbs failed.
#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    /// A pack that does not build.
    #[error("the pack cannot be built")]
    Build(#[source] BuildError),
    /// The service could not be started, or stopped early.
    #[error(transparent)]
    Service(#[from] ServiceError),
    /// Neither variable names a folder for lasting files.
    #[error("the folder for lasting files is not known: neither XDG_STATE_HOME nor HOME is an absolute path")]
    NoStateFolder,
    /// The address of a service without a scheme.
    #[error("`{0}` is not the address of a service: write http://HOST:PORT, https://HOST:PORT or unix:PATH")]
    NoAddress(String),
    /// A request out of bounds.
    #[error("the migration cannot be requested: {0}")]
    Spec(whimbrel_core::SpecError),
    /// A token could not be made.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// A journal that cannot be written.
    #[error(transparent)]
    JournalFile(#[from] JournalFileError),
    /// A journal from which a migration cannot be resumed.
    #[error("cannot resume from `{}`", path.display())]
    Resumption {
        /// The file.
        path: PathBuf,
        /// Why.
        source: ResumptionError,
    },
    /// A journal of a migration that is not in doubt.
    #[error("the migration of `{}` did not end in doubt", .0.display())]
    NotInDoubt(PathBuf),
    /// A pack of rules that cannot be used.
    #[error("cannot use the pack `{}`: {reason}", path.display())]
    Pack {
        /// The component.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// Facts, or expected findings, that cannot be read.
    #[error("cannot read `{}` as a document: {reason}", path.display())]
    Facts {
        /// The file.
        path: PathBuf,
        /// The place and the reason.
        reason: String,
    },
    /// Rules that cannot be evaluated.
    #[error("{0}")]
    Rules(String),
    /// A code that no rule has.
    #[error("there is no rule `{code}`{}", .near.as_ref().map(|near| format!("; did you mean `{near}`?")).unwrap_or_default())]
    NoRule {
        /// The code.
        code: String,
        /// A code that is written almost so.
        near: Option<String>,
    },
    /// A host that cannot be queried.
    #[error(transparent)]
    Hosts(#[from] HostsError),
    /// Many guests that cannot be checked at once.
    #[error(transparent)]
    Matrix(MatrixError),
    /// The simulated hosts could not be started.
    #[error("cannot start the simulated hosts")]
    World(#[source] io::Error),
    /// A Unix socket that cannot be served on.
    #[error("cannot serve on `{}`", path.display())]
    Socket {
        /// The socket.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A service does not answer.
    #[error("the service does not answer: {0}")]
    Unanswered(String),
    /// A service refused a request.
    #[error("the service refused the request: {what}; {remedy}")]
    Refused {
        /// What happened.
        what: String,
        /// What to do.
        remedy: String,
    },
    /// An adjustment with a value that it does not take, or without one that it needs.
    #[error("{0}")]
    Adjustment(&'static str),
    /// The migration could not be driven to its end.
    #[error("the driver stopped before the end of the migration")]
    Drive(#[from] DriveError),
}

impl OperatorError {
    pub(in crate::cli) const fn exit(&self) -> Exit {
        match self {
            Self::Build(_)
            | Self::NoStateFolder
            | Self::NoAddress(_)
            | Self::Spec(_)
            | Self::Service(
                ServiceError::Unprotected(_)
                | ServiceError::Open(_)
                | ServiceError::NoHost
                | ServiceError::Transport(_)
                | ServiceError::Hosts(_)
                | ServiceError::Uri(_)
                | ServiceError::Tokens { .. }
                | ServiceError::Tls(_)
                | ServiceError::Store { source: StoreError::Driven, .. },
            )
            | Self::Resumption { .. }
            | Self::NotInDoubt(_)
            | Self::Pack { .. }
            | Self::Facts { .. }
            | Self::Rules(_)
            | Self::NoRule { .. }
            | Self::Hosts(
                HostsError::Uri(_)
                | HostsError::MigrateUri(_)
                | HostsError::NoWorld(_)
                | HostsError::NoDriver(_)
                | HostsError::Mixed(..),
            )
            | Self::Matrix(_)
            | Self::JournalFile(_)
            | Self::Adjustment(_)
            // The first line of the journal is written before any command: nothing was done.
            | Self::Drive(DriveError::Spec(_) | DriveError::Journal(_)) => Exit::BadInput,
            // The hypervisors may continue without a driver: a script must not take this for a failure that left the guest alone.
            Self::Drive(DriveError::Misuse(_) | DriveError::JudgedTwice | DriveError::PortGone) => Exit::InDoubt,
            // The rules are evaluated before anything is changed.
            Self::Drive(DriveError::Rules(_))
            | Self::Service(_)
            | Self::Token(_)
            | Self::Hosts(HostsError::World(_) | HostsError::Refused { .. })
            | Self::World(_)
            | Self::Unanswered(_)
            | Self::Refused { .. }
            | Self::Socket { .. } => Exit::Unexpected,
        }
    }

    pub(in crate::cli) fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NoStateFolder => Some(
                "set HOME or XDG_STATE_HOME, or name the file: `--journal FILE` of a migration, `--store FILE` of the service",
            ),
            Self::Service(ServiceError::Hosts(error)) | Self::Hosts(error) => hint_on(error),
            Self::Service(ServiceError::Unprotected(_)) => Some(
                "set --certificate, --key and --tokens, or listen on 127.0.0.1 and forward the port with ssh",
            ),
            Self::Service(ServiceError::Open(_)) => Some(
                "set --tokens FILE (`whimbrel token` creates an entry), listen on --listen unix:PATH, which is for root and this user, \
                 or accept it with --no-auth",
            ),
            Self::Service(ServiceError::Store { source: StoreError::Driven, .. }) => Some(
                "another service uses this store: use that one, stop it first (its migrations continue, and are adopted), or \
                 set another file with --store",
            ),
            Self::Build(BuildError::NoCompiler) => Some(
                "install the target with `rustup target add wasm32-unknown-unknown`, or on Debian with `apt-get install rustc-web \
                 rust-web-src`",
            ),
            Self::NotInDoubt(_) => Some(
                "`whimbrel replay` shows how it ended; `whimbrel adopt` continues one that has not ended",
            ),
            Self::JournalFile(JournalFileError::Unwritable { source, .. })
                if source.kind() == io::ErrorKind::AlreadyExists =>
            {
                Some("a migration writes a new journal: choose another name")
            }
            Self::Service(ServiceError::Listen { source, .. })
                if source.kind() == io::ErrorKind::AddrInUse =>
            {
                Some(
                    "another program listens there, perhaps another service: stop it, or choose another place with --listen",
                )
            }
            Self::JournalFile(JournalFileError::Kept(_)) => {
                Some("the migration is being driven: detach that process first, with Ctrl-C twice")
            }
            Self::Drive(DriveError::Journal(_)) => Some(
                "nothing was done: no host was queried, and the guest is where it was; make space, or name another file with \
                 --journal",
            ),
            Self::Drive(DriveError::Rules(_)) => Some(
                "nothing was changed: the guest is on its source; end other programs, then start it again",
            ),
            Self::Drive(DriveError::Misuse(_) | DriveError::JudgedTwice | DriveError::PortGone) => Some(
                "the guest may be on either host, and the hypervisors may continue the migration: check it with `virsh domjobinfo` and \
                 `virsh list` on both hosts",
            ),
            Self::NoRule { .. } => Some("`whimbrel rule list` lists all rules"),
            Self::Build(_)
            | Self::NoAddress(_)
            | Self::Spec(_)
            | Self::Service(_)
            | Self::Token(_)
            | Self::Pack { .. }
            | Self::Facts { .. }
            | Self::Rules(_)
            | Self::Matrix(_)
            | Self::JournalFile(_)
            | Self::Resumption { .. }
            | Self::Drive(_)
            | Self::World(_)
            | Self::Unanswered(_)
            | Self::Refused { .. }
            | Self::Adjustment(_)
            | Self::Socket { .. } => None,
        }
    }
}

fn hint_on(error: &HostsError) -> Option<&'static str> {
    match error {
        HostsError::Uri(_) => Some(
            "use qemu+ssh://HOST/system, qemu+tls://HOST/system, qemu:///system for this host, or sim://HOST",
        ),
        HostsError::NoDriver(_) => Some(BUILD_WITH_LIBVIRT),
        HostsError::Mixed(..) => Some("use two simulated hosts, or two real ones"),
        HostsError::Refused { reason, .. } => match RefusedKey::of(reason) {
            Some(RefusedKey::Unknown) => Some(
                "compare the host's key with the one shown at the host itself (ssh-keygen -lf \
                 /etc/ssh/ssh_host_ed25519_key.pub), and add it to the known hosts of this user (~/.ssh/known_hosts), and for \
                 the copy to those of root on the source",
            ),
            Some(RefusedKey::Changed) => Some(
                "the host is another machine, or was reinstalled: find out which of the two, and only then replace its line in \
                 the known hosts of this user",
            ),
            None => None,
        },
        HostsError::MigrateUri(_) | HostsError::NoWorld(_) | HostsError::World(_) => None,
    }
}

impl From<HostsError> for CliError {
    fn from(error: HostsError) -> Self {
        OperatorError::from(error).into()
    }
}

impl From<MatrixError> for CliError {
    fn from(error: MatrixError) -> Self {
        match error {
            MatrixError::Hosts(error) => error.into(),
            other => OperatorError::Matrix(other).into(),
        }
    }
}

impl From<DriveError> for CliError {
    fn from(error: DriveError) -> Self {
        OperatorError::from(error).into()
    }
}

impl From<JournalFileError> for CliError {
    fn from(error: JournalFileError) -> Self {
        OperatorError::from(error).into()
    }
}
