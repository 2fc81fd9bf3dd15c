//! Errors of the verbs that the feature `service` enables.

use whimbrel_plugins::build::BuildError;
use whimbrel_service::auth::TokenError;
use whimbrel_service::{ServiceError, StoreError};

use crate::cli::Exit;
use crate::cli::error::hint_on;

/// Why a service could not be run, or a token or pack not be made.
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
    /// A token could not be made.
    #[error(transparent)]
    Token(#[from] TokenError),
}

impl OperatorError {
    pub(in crate::cli) const fn exit(&self) -> Exit {
        match self {
            Self::Build(_)
            | Self::NoStateFolder
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
            ) => Exit::BadInput,
            Self::Service(_) | Self::Token(_) => Exit::Unexpected,
        }
    }

    pub(in crate::cli) fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NoStateFolder => Some(
                "set HOME or XDG_STATE_HOME, or name the file: `--journal FILE` of a migration, `--store FILE` of the service",
            ),
            Self::Service(ServiceError::Hosts(error)) => hint_on(error),
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
            Self::Build(_) | Self::Service(_) | Self::Token(_) => None,
        }
    }
}
