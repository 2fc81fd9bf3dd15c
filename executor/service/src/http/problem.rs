//! Errors as problem documents (RFC 9457): a code, what happened, where the guest is, what to do.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Serialize;
use utoipa::ToSchema;

use super::words::word;
use crate::access::Role;
use crate::destinations::NotThere;
use crate::store::StoreError;
use crate::supervisor::Refused;
use crate::tunnel::TunnelError;
use whimbrel_drive::hosts::HostsError;
use whimbrel_drive::inventory::GuestEntry;
use whimbrel_drive::uri::without_password;

/// Where a problem's code is explained.
const TYPES: &str = "https://whimbrel.invalid/problems/";

/// A problem.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub(crate) struct Problem {
    /// Names the kind of problem, as a URI that is not looked up.
    r#type: String,
    /// The status of the answer.
    status: u16,
    /// Stable name, for example `guest.busy`.
    pub(crate) code: &'static str,
    /// What happened.
    title: &'static str,
    /// More about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) detail: Option<String>,
    /// Where the guest is, as far as this request is concerned.
    guest: &'static str,
    /// What to do.
    remedy: &'static str,
}

impl Problem {
    pub(crate) fn new(
        status: StatusCode,
        code: &'static str,
        title: &'static str,
        remedy: &'static str,
    ) -> Self {
        Self {
            r#type: format!("{TYPES}{code}"),
            status: status.as_u16(),
            code,
            title,
            detail: None,
            guest: "where it was: this request did nothing to it",
            remedy,
        }
    }

    pub(crate) fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// Where the guest is, when this request could have changed that.
    pub(crate) fn guest(mut self, guest: &'static str) -> Self {
        self.guest = guest;
        self
    }

    pub(crate) fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// In Kimchi's words: what a client written for it shows.
    pub(crate) fn reason(&self) -> String {
        let detail = self.detail.as_deref().unwrap_or(self.title);
        format!("{}: {detail}", self.code)
    }

    pub(crate) fn no_guest(name: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "guest.unknown",
            "there is no such guest",
            "list the guests and look for a mistake in the name",
        )
        .detail(format!("no guest `{}` on any host that answers", name.escape_debug()))
    }

    /// Two copies of one guest run. That is an emergency of its own, and no question of which was meant.
    pub(crate) fn running_twice(copies: &[GuestEntry]) -> Self {
        let (name, uuid) = copies.first().map_or(("", ""), |copy| (copy.name.as_str(), copy.uuid.as_str()));
        let places: Vec<_> = copies.iter().map(|copy| format!("`{}`", copy.host.escape_debug())).collect();
        let (name, uuid) = (name.escape_debug(), uuid.escape_debug());
        Self {
            guest: "running on more than one host at once: this request did nothing to it",
            ..Self::new(
                StatusCode::CONFLICT,
                "guest.running_twice",
                "the guest runs on more than one host, and its copies spoil the disks that they share",
                "suspend one copy at once and end none, as docs/in-doubt.md says, which this service has at /page/in-doubt.md",
            )
        }
        .detail(format!("`{name}` with UUID {uuid} runs on {}", places.join(" and on ")))
    }

    /// Several guests have the name.
    pub(crate) fn ambiguous(guests: &[GuestEntry]) -> Self {
        let place = |guest: &GuestEntry| {
            let (uuid, host) = (guest.uuid.escape_debug(), guest.host.escape_debug());
            format!("on `{host}` with UUID {uuid}, {}", word(&guest.run))
        };
        let name = guests.first().map_or("", |guest| guest.name.as_str());
        let places: Vec<_> = guests.iter().map(place).collect();
        Self::new(
            StatusCode::CONFLICT,
            "guest.ambiguous",
            "more than one host has a guest of this name",
            "say which: put the host's URI into the request as `source`, or into the address as `?host=URI`",
        )
        .detail(format!("`{}` is {}", name.escape_debug(), places.join("; and ")))
    }

    pub(crate) fn no_host(uri: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "host.unknown",
            "this service has no such host",
            "list the hosts and look for a mistake in the URI",
        )
        .detail(format!("no host `{}`", without_password(uri).escape_debug()))
    }

    pub(crate) fn no_migration() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "migration.unknown",
            "there is no such migration",
            "list the migrations",
        )
    }

    pub(crate) fn role_too_low(needed: Role, role: Role) -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "role.too-low",
            "the caller's role does not allow this",
            "ask an administrator for a token or an account with that role",
        )
        .detail(format!("`{needed}` is needed, and the caller has `{role}`"))
    }

    /// The tunnel that a password opens is on this machine, and the source's daemon has to go through it.
    pub(crate) fn password_elsewhere(source: &str) -> Self {
        Self::new(
            StatusCode::CONFLICT,
            "password.source-elsewhere",
            "a password works for guests of this machine only",
            "run a service on the source, or set up keys between the hosts and leave the password out",
        )
        .detail(format!("`{}` is reached over the network", source.escape_debug()))
    }

    pub(crate) fn password_without_ssh(destination: &str) -> Self {
        Self::new(
            StatusCode::CONFLICT,
            "password.not-ssh",
            "a password is for ssh, and the destination is reached otherwise",
            "write the destination as an address or as qemu+ssh://USER@HOST/system, or leave the password out",
        )
        .detail(format!("`{}` is no ssh connection to a host", destination.escape_debug()))
    }

    pub(crate) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "request.malformed",
            "the request cannot be read",
            "correct it as the API's description says",
        )
        .detail(detail)
    }

    pub(crate) fn invalid(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "request.invalid",
            "the request asks for what cannot be",
            "correct the field that is named",
        )
        .detail(detail)
    }

    pub(crate) fn internal(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "the service could not do this",
            "see its log; migrations that run are not harmed by it",
        )
        .detail(detail)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.status();
        let kind = [(header::CONTENT_TYPE, "application/problem+json")];
        // Kimchi's routes put it into their own words.
        let problem = Extension(self.clone());
        (status, kind, problem, Json(self)).into_response()
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        Self::internal(error.to_string())
    }
}

impl From<HostsError> for Problem {
    fn from(error: HostsError) -> Self {
        let detail = error.to_string();
        match error {
            HostsError::Uri(_)
            | HostsError::MigrateUri(_)
            | HostsError::NoWorld(_)
            | HostsError::NoDriver(_)
            | HostsError::Mixed(..) => Self::new(
                // Whether a host can be used is this service's state, not the request's form.
                StatusCode::CONFLICT,
                "host.unusable",
                "a host cannot be used",
                "write it as qemu+ssh://HOST/system, or sim://HOST for a simulated host",
            ),
            HostsError::World(_) | HostsError::Refused { .. } => Self::new(
                StatusCode::BAD_GATEWAY,
                "host.unreachable",
                "a host does not answer",
                "see to it that its daemon runs and that this service reaches it",
            ),
        }
        .detail(detail)
    }
}

impl From<NotThere> for Problem {
    fn from(refused: NotThere) -> Self {
        let detail = refused.to_string();
        match refused {
            NotThere::Uri(error) => HostsError::from(error).into(),
            NotThere::User => Self::invalid(detail),
            NotThere::NotAllowed(_) => Self::new(
                StatusCode::FORBIDDEN,
                "destination.not-allowed",
                "this service migrates no guests to that destination",
                "choose one of the hosts in /api/v1/hosts, or start the service with `--host URI` or \
                 `--allow-destination PATTERN` for it",
            )
            .detail(detail),
        }
    }
}

impl From<TunnelError> for Problem {
    fn from(error: TunnelError) -> Self {
        let detail = error.to_string();
        let problem = match error {
            TunnelError::KeyUnknown { .. } => Self::new(
                StatusCode::CONFLICT,
                "host-key.unknown",
                "the destination's ssh host key is not known, so it may be another machine",
                "read the key's fingerprint at the destination itself (ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub), \
                 compare it with what ssh-keyscan gives, and add that line to the known hosts of this service",
            ),
            TunnelError::KeyChanged(_) => Self::new(
                StatusCode::CONFLICT,
                "host-key.changed",
                "the destination shows another ssh host key than before: it is another machine, or was set up anew",
                "find out which; only then replace its line in the known hosts of this service",
            ),
            TunnelError::Refused(_) => Self::new(
                StatusCode::CONFLICT,
                "password.refused",
                "the destination does not let this account in with this password",
                "check the account and its password, and whether the destination's ssh daemon takes passwords",
            ),
            TunnelError::NoKey(_) => Self::new(
                StatusCode::CONFLICT,
                "key.refused",
                "the destination lets no key of this service's user in",
                "let one in (ssh-copy-id, as the user that the service runs as), or give the account's password",
            ),
            TunnelError::NoDaemon(_) => Self::new(
                StatusCode::BAD_GATEWAY,
                "host.no-daemon",
                "ssh let us in, and no libvirt daemon is there",
                "see to it that libvirt's daemon runs on the destination",
            ),
            TunnelError::Unreachable { .. } => Self::new(
                StatusCode::BAD_GATEWAY,
                "host.unreachable",
                "a host does not answer",
                "see to it that its ssh daemon runs and that this service reaches it",
            ),
            TunnelError::Machine(source) => return Self::internal(format!("{detail}: {source}")),
        };
        problem.detail(detail)
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        let detail = refused.to_string();
        let problem = match refused {
            Refused::Busy(_) => Self::new(
                StatusCode::CONFLICT,
                "guest.busy",
                "the guest is being migrated already",
                "wait for that migration, or cancel it",
            ),
            Refused::KeyReused(_) => Self::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "idempotency-key.reused",
                "the idempotency key was used for another request",
                "use a new key for a new request",
            ),
            Refused::Spec(_) => return Self::invalid(detail),
            Refused::Hosts(error) => return error.into(),
            Refused::Silent => Self::new(
                StatusCode::GATEWAY_TIMEOUT,
                "host.unreachable",
                "the hosts did not answer in time",
                "see to it that their daemons run and that this service reaches them",
            ),
            Refused::Store(_) => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "store.not-accepting",
                "the service's store accepts no writes, so no migration is begun",
                "make room on the disk of the store, or end the program that keeps it locked; then try again",
            ),
            Refused::Draining => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "service.draining",
                "the service is being drained: it ends when the last migration has, and begins none",
                "try again when it was started without `--drain`",
            ),
            Refused::NotInDoubt(_) => Self::new(
                StatusCode::CONFLICT,
                "migration.not-in-doubt",
                "the migration is not examined again",
                "see its state and its outcome",
            ),
            Refused::Unreadable(_) => return Self::internal(detail),
        };
        problem.detail(detail)
    }
}
