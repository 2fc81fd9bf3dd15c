//! Errors as problem documents (RFC 9457): a code, what happened, where the guest is, and what to do.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Serialize;
use utoipa::ToSchema;

use super::serialize::word;
use crate::auth::Role;
use crate::destinations::NotThere;
use crate::store::StoreError;
use crate::supervisor::Refused;
use crate::tunnel::TunnelError;
use whimbrel_drive::host_key::RefusedKey;
use whimbrel_drive::hosts::HostsError;
use whimbrel_drive::inventory::GuestEntry;
use whimbrel_drive::uri::without_password;

/// Prefix of the URI that identifies a kind of problem.
const TYPES: &str = "https://whimbrel.invalid/problems/";

/// A problem.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub(crate) struct Problem {
    /// Identifies the kind of problem, as a URI that is not meant to be fetched.
    r#type: String,
    /// The status of the answer.
    status: u16,
    /// Stable name of the kind of problem, for example `guest.busy`.
    pub(crate) code: &'static str,
    /// What happened.
    title: &'static str,
    /// The details of this case.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) detail: Option<String>,
    /// Effect of this request on the guest, or where the guest is.
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
            guest: "unchanged by this request",
            remedy,
        }
    }

    pub(crate) fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// Sets where the guest is, when this request could have changed that.
    pub(crate) fn guest(mut self, guest: &'static str) -> Self {
        self.guest = guest;
        self
    }

    pub(crate) fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// The text that a client written for Kimchi shows.
    pub(crate) fn reason(&self) -> String {
        let detail = self.detail.as_deref().unwrap_or(self.title);
        format!("{}: {detail}", self.code)
    }

    pub(crate) fn no_guest(name: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "guest.unknown",
            "guest not found",
            "list the guests and check the name",
        )
        .detail(format!("no guest `{}` on any reachable host", name.escape_debug()))
    }

    /// Two copies of one guest run: an emergency, and not an ambiguous name.
    pub(crate) fn running_twice(copies: &[GuestEntry]) -> Self {
        let (name, uuid) = copies.first().map_or(("", ""), |copy| (copy.name.as_str(), copy.uuid.as_str()));
        let places: Vec<_> = copies.iter().map(|copy| format!("`{}`", copy.host.escape_debug())).collect();
        let (name, uuid) = (name.escape_debug(), uuid.escape_debug());
        Self {
            guest: "running on more than one host at once; unchanged by this request",
            ..Self::new(
                StatusCode::CONFLICT,
                "guest.running_twice",
                "the guest runs on more than one host, and its copies corrupt the disks that they share",
                "suspend one copy immediately and destroy none; follow docs/in-doubt.md, which this service has at /page/in-doubt.md",
            )
        }
        .detail(format!("`{name}` with UUID {uuid} runs on {}", places.join(" and on ")))
    }

    /// Guests on several hosts have the name.
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
            "select one: put the host's URI into the request as `source`, or into the address as `?host=URI`",
        )
        .detail(format!("`{}` is {}", name.escape_debug(), places.join("; and ")))
    }

    pub(crate) fn no_host(uri: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "host.unknown", "host not found", "list the hosts and check the URI")
            .detail(format!("no host `{}`", without_password(uri).escape_debug()))
    }

    pub(crate) fn no_migration() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "migration.unknown",
            "migration not found",
            "list the migrations and check the number",
        )
    }

    pub(crate) fn role_too_low(needed: Role, role: Role) -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "role.too-low",
            "the caller's role does not allow this",
            "use a token or an account with that role; an administrator can create one",
        )
        .detail(format!("`{needed}` is needed, and the caller has `{role}`"))
    }

    /// The tunnel that a password opens is on this machine, and the source's daemon must be able to use it.
    pub(crate) fn password_elsewhere(source: &str) -> Self {
        Self::new(
            StatusCode::CONFLICT,
            "password.source-elsewhere",
            "a password can only be used for guests of this machine",
            "run a service on the source, or set up keys between the hosts and omit the password",
        )
        .detail(format!("`{}` is reached over the network", source.escape_debug()))
    }

    pub(crate) fn password_without_ssh(destination: &str) -> Self {
        Self::new(
            StatusCode::CONFLICT,
            "password.not-ssh",
            "a password requires ssh, and the destination is not reached over ssh",
            "write the destination as an address or as qemu+ssh://USER@HOST/system, or omit the password",
        )
        .detail(format!("`{}` is not an ssh connection to a host", destination.escape_debug()))
    }

    /// ssh refused a host's key: not an outage, and never to be accepted without a look at the key.
    fn refused_key(key: RefusedKey) -> Self {
        match key {
            RefusedKey::Unknown => Self::new(
                StatusCode::CONFLICT,
                "host-key.unknown",
                "unknown ssh host key: the host may be another machine",
                "read the key's fingerprint at the host itself (ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub), \
                 compare it with what ssh-keyscan gives, and add that line to the known hosts of the user that this \
                 service runs as; for the copy, root on the source needs it too",
            ),
            RefusedKey::Changed => Self::new(
                StatusCode::CONFLICT,
                "host-key.changed",
                "changed ssh host key: the host is another machine, or was reinstalled",
                "find out which of the two; only then replace its line in the known hosts of the user that this service \
                 runs as",
            ),
        }
    }

    pub(crate) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "request.malformed",
            "malformed request",
            "correct the request according to /api/v1/openapi.json",
        )
        .detail(detail)
    }

    pub(crate) fn invalid(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "request.invalid",
            "invalid request",
            "correct the field named in `detail`",
        )
        .detail(detail)
    }

    pub(crate) fn internal(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "internal error",
            "see the log of the service; running migrations are not affected",
        )
        .detail(detail)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.status();
        let kind = [(header::CONTENT_TYPE, "application/problem+json")];
        // Kimchi's routes rewrite it into their own format.
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
        if let HostsError::Refused { reason, .. } = &error
            && let Some(key) = RefusedKey::of(reason)
        {
            return Self::refused_key(key).detail(detail);
        }
        match error {
            HostsError::Uri(_)
            | HostsError::MigrateUri(_)
            | HostsError::NoWorld(_)
            | HostsError::NoDriver(_)
            | HostsError::Mixed(..) => Self::new(
                // Whether a host can be used is this service's state, not the request's form.
                StatusCode::CONFLICT,
                "host.unusable",
                "unusable host",
                "write it as qemu+ssh://HOST/system, or sim://HOST for a simulated host",
            ),
            HostsError::World(_) | HostsError::Refused { .. } => Self::new(
                StatusCode::BAD_GATEWAY,
                "host.unreachable",
                "a host does not answer",
                "check that libvirtd is running there and reachable from this service",
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
                "this destination is not allowed",
                "choose one of the hosts in /api/v1/hosts, or restart the service with `--host URI` or \
                 `--allow-destination PATTERN` for this one",
            )
            .detail(detail),
        }
    }
}

impl From<TunnelError> for Problem {
    fn from(error: TunnelError) -> Self {
        let detail = error.to_string();
        let problem = match error {
            TunnelError::KeyUnknown { .. } => Self::refused_key(RefusedKey::Unknown),
            TunnelError::KeyChanged(_) => Self::refused_key(RefusedKey::Changed),
            TunnelError::Refused(_) => Self::new(
                StatusCode::CONFLICT,
                "password.refused",
                "the destination refused this account and password",
                "check the account and its password, and whether the destination's sshd accepts passwords",
            ),
            TunnelError::NoKey(_) => Self::new(
                StatusCode::CONFLICT,
                "key.refused",
                "the destination refused every key of this service's user",
                "install one (ssh-copy-id, as the user that the service runs as), or supply the account's password",
            ),
            TunnelError::NoDaemon(_) => Self::new(
                StatusCode::BAD_GATEWAY,
                "host.no-daemon",
                "ssh login succeeded, but libvirtd is not reachable",
                "check that libvirtd is running on the destination",
            ),
            TunnelError::Unreachable { .. } => Self::new(
                StatusCode::BAD_GATEWAY,
                "host.unreachable",
                "a host does not answer",
                "check that sshd is running there and reachable from this service",
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
                "the guest is already being migrated",
                "wait until that migration has ended, or cancel it",
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
                "check that libvirtd is running on both hosts and reachable from this service",
            ),
            Refused::Store(_) => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "store.not-accepting",
                "the store of the service accepts no writes, so no migration was started",
                "free space on the disk of the store, or stop the program that keeps it locked; then retry",
            ),
            Refused::Draining => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "service.draining",
                "the service is being drained: it starts no migration, and exits when the last one has ended",
                "retry after it was restarted without `--drain`",
            ),
            Refused::NotInDoubt(_) => Self::new(
                StatusCode::CONFLICT,
                "migration.not-in-doubt",
                "the migration cannot be resolved again",
                "read its state and its outcome",
            ),
            Refused::Unreadable(_) => return Self::internal(detail),
        };
        problem.detail(detail)
    }
}

#[cfg(test)]
mod tests {
    use super::{HostsError, Problem, StatusCode};

    #[test]
    fn a_refused_host_key_is_no_outage() {
        let problem = |reason: &str| {
            let uri = "qemu+ssh://root@192.0.2.1/system".to_owned();
            Problem::from(HostsError::Refused { uri, reason: reason.to_owned() })
        };
        let unknown = problem("Cannot recv data: Host key verification failed.: Connection reset by peer");
        assert_eq!((unknown.code, unknown.status()), ("host-key.unknown", StatusCode::CONFLICT));
        assert!(unknown.remedy.contains("known hosts of the user that this service runs as"), "{unknown:?}");
        assert!(unknown.remedy.contains("root on the source"), "{unknown:?}");
        assert!(unknown.detail.as_ref().unwrap().contains("192.0.2.1"), "{unknown:?}");
        assert_eq!(problem("Connection refused").code, "host.unreachable");
    }
}
