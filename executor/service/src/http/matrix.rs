//! Guests of the service's hosts against destinations, in one request: which of them may go where, and whether they fit
//! there together.
//!
//! Nothing is migrated. Lists, guests, pairs and the time are bounded, and one such check runs at a time: it queries many
//! hosts, and a client that does not wait must not make the service query them without end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa::openapi::schema::{Array, ArrayBuilder, ObjectBuilder, Type};
use whimbrel_preflight::matrix::{self, Matrix, MatrixError, Wanted};

use super::extract::{Body, check_name};
use super::problem::Problem;
use crate::AppState;

/// Hosts in a list at most.
const HOSTS_MOST: usize = 16;
/// Guests at most, named or found.
const GUESTS_MOST: usize = 200;
/// How long one check may take.
const PATIENCE: Duration = Duration::from_mins(1);

/// Guests and destinations to be compared.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct MatrixWanted {
    /// URIs of hosts of this service: their running and paused guests are checked, at most 200 of them.
    #[schema(min_items = 1, max_items = 16)]
    sources: Vec<String>,
    /// URIs or addresses of the destinations, the preferred one first.
    #[schema(min_items = 1, max_items = 16)]
    destinations: Vec<String>,
    /// Only the guests of these names; without the list, every guest.
    #[serde(default)]
    #[schema(schema_with = guest_names)]
    guests: Vec<String>,
    /// Whether disks that are not shared are to be copied. Then shared storage is proven for each pair by a file that is
    /// created and removed again; otherwise nothing is written.
    #[serde(default)]
    copy_disks: bool,
}

/// A list of names as [`check_name`] accepts them, which an attribute cannot say of the names in a list.
fn guest_names() -> Array {
    let name = ObjectBuilder::new()
        .schema_type(Type::String)
        .min_length(Some(1))
        .max_length(Some(255))
        .pattern(Some("^[^/\\u0000-\\u001f\\u007f-\\u009f]+$"));
    ArrayBuilder::new()
        .description(Some("Only the guests of these names; without the list, every guest."))
        .items(name)
        .max_items(Some(GUESTS_MOST))
        .build()
}

/// Guests against destinations.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Matrix)]
pub(super) struct MatrixAnswer {
    /// Whether the guests fit on their destinations together: `pass`, `warn`, `unknown`, or `fail` where a guest has no
    /// destination.
    together: String,
    /// Every guest with every destination.
    pairs: Vec<MatrixPair>,
    /// What each destination would take, in the order of the request.
    placement: Vec<Placement>,
    /// Guests for which no destination remains.
    unplaced: Vec<MatrixGuest>,
    /// Digest of the set of rules that was evaluated.
    rules: String,
}

/// A guest on its host.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct MatrixGuest {
    /// Its name.
    guest: String,
    /// Its UUID.
    uuid: String,
    /// URI of its host.
    source: String,
}

/// One guest and one destination.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct MatrixPair {
    /// The guest's name.
    guest: String,
    /// The guest's UUID.
    uuid: String,
    /// URI of its host.
    source: String,
    /// URI of the destination.
    destination: String,
    /// Whether the rules allow the migration.
    allowed: bool,
    /// Number of findings that warn.
    #[schema(minimum = 0)]
    warn: usize,
    /// Number of findings that are unknown.
    #[schema(minimum = 0)]
    unknown: usize,
    /// Why it is not allowed.
    reasons: Vec<MatrixReason>,
}

/// Why a guest cannot go to a destination.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct MatrixReason {
    /// The code of the rule; `host` where a host could not be queried, `guest.running_twice` where two hosts run the guest.
    code: String,
    /// JSON pointer into the facts, as in a preflight; empty where it is not about a fact.
    subject: String,
    /// What was found.
    message: String,
    /// What to do.
    remediation: String,
}

/// What one destination would take.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Placement {
    /// URI of the destination.
    destination: String,
    /// The guests.
    guests: Vec<MatrixGuest>,
    /// What they cannot have there together, or may not have.
    shortages: Vec<MatrixShortage>,
}

/// Something of a host that guests need together.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct MatrixShortage {
    /// `warn` or `unknown`: where it would be `fail`, a guest is placed elsewhere or not at all.
    verdict: String,
    /// `memory`, `huge-pages`, `cpus`, `pinning`, `pool`, `device`, `path` or `name`.
    resource: String,
    /// What is too little, or wanted twice.
    message: String,
}

/// Evaluate the rules for every guest of some hosts and every given destination, and whether the guests fit there together.
/// Each host is queried for itself once. Nothing is changed.
#[utoipa::path(post, path = "/api/v1/preflight/matrix", tag = "migrations", request_body = MatrixWanted,
    responses((status = 200, body = MatrixAnswer), (status = "default", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn preflight_matrix(
    State(desk): State<AppState>,
    Body(wanted): Body<MatrixWanted>,
) -> Result<Json<MatrixAnswer>, Problem> {
    let wanted = wanted.resolved(&desk)?;
    let permit = Arc::clone(&desk.supervisor.matrices).try_acquire_owned().map_err(|_| busy())?;
    let (hosts, set) = (desk.drivers.clone(), desk.rules.get());
    let is_over = Over::default();
    let seen = Arc::clone(&is_over.0);
    let task = tokio::task::spawn_blocking(move || {
        // It is held for as long as hosts are queried, also when the client is gone.
        let _permit = permit;
        matrix::matrix(&hosts, &set, &wanted, &|| seen.load(Ordering::SeqCst))
    });
    let result = tokio::time::timeout(PATIENCE, task).await.map_err(|_| late())?;
    let result = result.map_err(|error| Problem::internal(error.to_string()))?;
    result.map(|matrix| Json(matrix.into())).map_err(Problem::from)
}

/// Ends the check when the request is over, in time or not.
#[derive(Default)]
struct Over(Arc<AtomicBool>);

impl Drop for Over {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl MatrixWanted {
    /// The request with the URIs of hosts that this service may connect to.
    fn resolved(self, desk: &AppState) -> Result<Wanted, Problem> {
        for (name, list) in [("sources", &self.sources), ("destinations", &self.destinations)] {
            if list.is_empty() || list.len() > HOSTS_MOST {
                return Err(Problem::invalid(format!("`{name}` has 1 to {HOSTS_MOST} hosts")));
            }
        }
        if self.guests.len() > GUESTS_MOST {
            return Err(Problem::invalid(format!("`guests` has at most {GUESTS_MOST} names")));
        }
        self.guests.iter().try_for_each(|name| check_name(name))?;
        let source =
            |uri: &String| desk.source(Some(uri))?.map(str::to_owned).ok_or_else(|| Problem::no_host(uri));
        let destination = |uri: &String| Ok(desk.destination(uri, None, false)?.to_string());
        Ok(Wanted {
            sources: self.sources.iter().map(source).collect::<Result<_, Problem>>()?,
            destinations: self.destinations.iter().map(destination).collect::<Result<_, Problem>>()?,
            guests: self.guests,
            copy_disks: self.copy_disks,
            guests_most: GUESTS_MOST,
        })
    }
}

fn busy() -> Problem {
    Problem::new(
        StatusCode::TOO_MANY_REQUESTS,
        "preflight.busy",
        "another check of many guests is running",
        "wait until it has ended, then send the request again",
    )
}

fn late() -> Problem {
    Problem::new(
        StatusCode::GATEWAY_TIMEOUT,
        "preflight.late",
        "the guests were not checked in time",
        "name fewer guests or hosts, and omit hosts that /api/v1/hosts shows as not reachable",
    )
    .detail(format!("a check of many guests has {} s", PATIENCE.as_secs()))
}

impl From<MatrixError> for Problem {
    fn from(error: MatrixError) -> Self {
        let detail = error.to_string();
        match error {
            MatrixError::Hosts(error) => error.into(),
            MatrixError::TooMany { .. } => Self::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "preflight.too-many-guests",
                "the sources have too many guests for one request",
                "name fewer sources, or the guests in `guests`",
            )
            .detail(detail),
            MatrixError::NoGuest(name) => Self::no_guest(&name).detail(detail),
            MatrixError::SameHost(..) => Self::invalid(detail),
            MatrixError::Ended => late(),
        }
    }
}

impl From<Matrix> for MatrixAnswer {
    fn from(matrix: Matrix) -> Self {
        Self {
            together: matrix.together.name().to_owned(),
            pairs: matrix.pairs.into_iter().map(pair).collect(),
            placement: matrix.placement.into_iter().map(placement).collect(),
            unplaced: matrix.unplaced.into_iter().map(guest).collect(),
            rules: matrix.rules,
        }
    }
}

fn guest(guest: matrix::Guest) -> MatrixGuest {
    MatrixGuest { guest: guest.guest, uuid: guest.uuid, source: guest.source }
}

fn pair(pair: matrix::Pair) -> MatrixPair {
    let reason = |one: matrix::Reason| MatrixReason {
        code: one.code,
        subject: one.subject,
        message: one.message,
        remediation: one.remediation,
    };
    MatrixPair {
        guest: pair.guest.guest,
        uuid: pair.guest.uuid,
        source: pair.guest.source,
        destination: pair.destination,
        allowed: pair.allowed,
        warn: pair.warn,
        unknown: pair.unknown,
        reasons: pair.reasons.into_iter().map(reason).collect(),
    }
}

fn placement(load: matrix::Load) -> Placement {
    let shortage = |one: whimbrel_preflight::together::Shortage| MatrixShortage {
        verdict: one.verdict.name().to_owned(),
        resource: one.resource.to_owned(),
        message: one.message,
    };
    Placement {
        destination: load.destination,
        guests: load.guests.into_iter().map(guest).collect(),
        shortages: load.shortages.into_iter().map(shortage).collect(),
    }
}
