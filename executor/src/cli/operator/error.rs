//! Errors of the verbs that the feature `service` enables.

use whimbrel_plugins::build::BuildError;
use whimbrel_service::access::TokenError;
use whimbrel_service::{ServiceError, StoreError};

use crate::cli::Exit;
use crate::cli::error::hint_on;

/// Why a service could not be run, or a token or pack not be made.
#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    /// A pack that does not build.
    #[error("the pack cannot be built")]
    Build(#[source] BuildError),
    /// The service could not be started, or ended early.
    #[error(transparent)]
    Service(#[from] ServiceError),
    /// A token could not be made.
    #[error(transparent)]
    Token(#[from] TokenError),
}

impl OperatorError {
    pub(in crate::cli) const fn exit(&self) -> Exit {
        match self {
            Self::Build(_)
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
            Self::Service(ServiceError::Hosts(error)) => hint_on(error),
            Self::Service(ServiceError::Unprotected(_)) => Some(
                "give --certificate, --key and --tokens, or listen at 127.0.0.1 and let ssh forward the port",
            ),
            Self::Service(ServiceError::Open(_)) => Some(
                "give --tokens FILE (`whimbrel token` makes one), listen at --listen unix:PATH, which is for root and this user, \
                 or accept it with --no-auth",
            ),
            Self::Service(ServiceError::Store { source: StoreError::Driven, .. }) => Some(
                "a service works with this store already: talk to that one, stop it first (its migrations go on, and are \
                 adopted), or name another file with --store",
            ),
            Self::Build(BuildError::NoCompiler) => Some(
                "`rustup target add wasm32-unknown-unknown` brings what is missing; on Debian `apt-get install rustc-web \
                 rust-web-src` does",
            ),
            Self::Build(_) | Self::Service(_) | Self::Token(_) => None,
        }
    }
}
