//! The routes of Kimchi that a migration needs, such that a client written for it works unchanged; our own progress
//! stands beside its fields. Its errors are documents with `code` and `reason`.
//!
//! "This host", which Kimchi knows only one of, is the first that the service was given.

use axum::Json;
use axum::extract::{Extension, FromRequest, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;
use whimbrel_core::{GuestRun, Spec};

use super::documents::{Migration, migration};
use super::extract::{GuestName, Number, read_body};
use super::native::{cancelled, read};
use super::problem::Problem;
use super::words::escaped;
use crate::hosts::Route;
use crate::inventory::GuestEntry;
use crate::service::Desk;
use crate::service::access::Caller;
use crate::service::secret::Password;
use crate::service::supervisor::Order;
use crate::service::tunnel::Fresh;

/// What comes before every route of Kimchi's plug-in.
const ROOT: &str = "/plugins/kimchi";
/// Tasks in a list at most.
const MOST_TASKS: i64 = 200;

/// A guest in Kimchi's words.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Vm {
    /// Its name.
    name: String,
    /// Its UUID.
    uuid: String,
    /// `running`, `paused` or `shutoff`.
    state: String,
    /// MiB.
    memory: u64,
    /// Virtual CPUs.
    cpus: u32,
    /// Our own: the task that works on it.
    task: Option<String>,
}

/// A task in Kimchi's words.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Task {
    /// Its number.
    id: String,
    /// `running`, `finished` or `failed`.
    status: String,
    /// What it is at, or how it ended.
    message: String,
    /// The guest's own route.
    target_uri: String,
    /// Our own: the whole migration.
    migration: Migration,
}

/// Kimchi's call.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Migrate {
    /// Address of the host that the guest goes to; `remote_host` is its later name.
    #[serde(alias = "remote_host")]
    #[schema(min_length = 1, max_length = 1024)]
    destination: String,
    /// Who connects.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 255, pattern = "^[A-Za-z0-9._][A-Za-z0-9._-]*$")]
    user: Option<String>,
    /// For the ssh connection; used once, and kept nowhere.
    #[serde(default)]
    #[schema(value_type = Option<String>, max_length = 1024, pattern = "^[^\\u0000-\\u001f\\u007f]*$", write_only)]
    password: Option<Password>,
    /// Memory over RDMA, which is not offered: it must be false.
    #[serde(default)]
    enable_rdma: bool,
}

/// An error in Kimchi's words.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct KimchiError {
    /// Status and its words, for example `404 Not Found`.
    code: String,
    /// A code of ours, and what happened.
    reason: String,
}

pub(super) struct Unkind(Problem);

impl From<Problem> for Unkind {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

impl IntoResponse for Unkind {
    fn into_response(self) -> Response {
        let error = KimchiError { code: self.0.status().to_string(), reason: self.0.reason() };
        (self.0.status(), Json(error)).into_response()
    }
}

/// The body of Kimchi's call, whatever the client says of its kind.
pub(super) struct Call(Migrate);

impl<S: Sync> FromRequest<S> for Call {
    type Rejection = Unkind;

    async fn from_request(request: Request, _: &S) -> Result<Self, Unkind> {
        read_body(request).await.map(Self).map_err(Unkind)
    }
}

/// Guests of this host.
#[utoipa::path(get, path = "/plugins/kimchi/vms", tag = "kimchi",
    responses((status = 200, body = Vec<Vm>), (status = "default", body = KimchiError)))]
pub(super) async fn vms(State(desk): State<Desk>) -> Result<Json<Vec<Vm>>, Unkind> {
    let found = desk.inventory(desk.home()).await.map_err(Problem::from)?;
    Ok(Json(found.guests.into_iter().map(|guest| vm(&desk, guest)).collect()))
}

/// A guest of this host.
#[utoipa::path(get, path = "/plugins/kimchi/vms/{name}", tag = "kimchi", params(("name" = String, Path, description = "The guest's name", min_length = 1, max_length = 255,
        pattern = "^[^/\\u0000-\\u001f\\u007f-\\u009f]+$")),
    responses((status = 200, body = Vm), (status = "default", body = KimchiError)))]
pub(super) async fn one_vm(
    State(desk): State<Desk>,
    name: Result<GuestName, Problem>,
) -> Result<Json<Vm>, Unkind> {
    let guest = desk.find(&name?.0, Some(desk.home())).await?;
    Ok(Json(vm(&desk, guest)))
}

fn vm(desk: &Desk, guest: GuestEntry) -> Vm {
    let state = match guest.run {
        GuestRun::Running => "running",
        GuestRun::Paused => "paused",
        GuestRun::NotRunning => "shutoff",
    };
    Vm {
        task: desk.supervisor.busy(&guest.name, Some(&guest.uuid)).map(|id| id.to_string()),
        name: guest.name,
        uuid: guest.uuid,
        state: state.to_owned(),
        memory: guest.memory_bytes >> 20,
        cpus: guest.vcpus,
    }
}

/// Migrate a guest of this host.
#[utoipa::path(post, path = "/plugins/kimchi/vms/{name}/migrate", tag = "kimchi", request_body = Migrate,
    params(("name" = String, Path, description = "The guest's name", min_length = 1, max_length = 255,
        pattern = "^[^/\\u0000-\\u001f\\u007f-\\u009f]+$")),
    responses((status = 202, body = Task), (status = "default", body = KimchiError)))]
pub(super) async fn migrate(
    State(desk): State<Desk>,
    Extension(caller): Extension<Caller>,
    name: Result<GuestName, Problem>,
    Call(call): Call,
) -> Result<Response, Unkind> {
    let GuestName(name) = name?;
    let Migrate { destination: address, user, password, enable_rdma } = call;
    if enable_rdma {
        let remedy = "leave `enable_rdma` out: memory goes over TCP";
        Err(Problem::new(StatusCode::CONFLICT, "rdma.not-offered", "memory cannot go over RDMA", remedy))?;
    }
    let guest = desk.find_alone(&name, Some(desk.home())).await?;
    let password = password.filter(|password| !password.is_empty());
    let destination = desk.destination(&address, user.as_deref(), password.is_some())?;
    let tunnel = desk.let_in(&guest.host, &destination, password).await?;
    let spec = Spec::new(name.as_str(), guest.host.as_str(), destination.as_str());
    let route = Route {
        guest: name.clone(),
        source: guest.host,
        destination,
        migrate_uri: None,
        ways: spec.ways,
        destination_xml: None,
        allow_unsafe: false,
        tunnel: tunnel.as_ref().and_then(Fresh::near_end),
        uuid: Some(guest.uuid),
    };
    let target_uri = format!("{ROOT}/vms/{}", escaped(&name));
    let order = Order { spec, route, asked_by: caller.name, target_uri, idempotency_key: None, tunnel };
    let (id, _) = desk.supervisor.begin(order).await.map_err(Problem::from)?;
    Ok((StatusCode::ACCEPTED, Json(task(&desk, id).await?)).into_response())
}

/// Every task, the newest first.
#[utoipa::path(get, path = "/plugins/kimchi/tasks", tag = "kimchi",
    responses((status = 200, body = Vec<Task>), (status = "default", body = KimchiError)))]
pub(super) async fn tasks(State(desk): State<Desk>) -> Result<Json<Vec<Task>>, Unkind> {
    let rows = desk.supervisor.store.migrations(i64::MAX, MOST_TASKS).await.map_err(Problem::from)?;
    let mut tasks = Vec::with_capacity(rows.len());
    for row in rows {
        let target_uri = row.target_uri.clone();
        tasks.push(told(target_uri, migration(&desk.supervisor, row, false).await?));
    }
    Ok(Json(tasks))
}

/// One task.
#[utoipa::path(get, path = "/plugins/kimchi/tasks/{id}", tag = "kimchi", params(("id" = String, Path, description = "Its number")),
    responses((status = 200, body = Task), (status = "default", body = KimchiError)))]
pub(super) async fn one_task(
    State(desk): State<Desk>,
    id: Result<Number, Problem>,
) -> Result<Json<Task>, Unkind> {
    Ok(Json(task(&desk, id?.0).await?))
}

/// Cancel a task. Answers with what really came of it and what was put right, beside the task.
#[utoipa::path(delete, path = "/plugins/kimchi/tasks/{id}", tag = "kimchi", params(("id" = String, Path, description = "Its number")),
    responses((status = 200, body = Object), (status = "default", body = KimchiError)))]
pub(super) async fn end_task(
    State(desk): State<Desk>,
    id: Result<Number, Problem>,
) -> Result<Json<Value>, Unkind> {
    let Number(id) = id?;
    let reply = cancelled(&desk, id).await?;
    let task = task(&desk, id).await?;
    Ok(Json(json!({
        "id": task.id,
        "status": task.status,
        "message": reply.description,
        "target_uri": task.target_uri,
        "answer": reply.answer,
        "recovery": reply.recovery,
        "migration": reply.migration,
    })))
}

async fn task(desk: &Desk, id: i64) -> Result<Task, Problem> {
    let row = desk.supervisor.store.migration(id).await?.ok_or_else(Problem::no_migration)?;
    Ok(told(row.target_uri, read(desk, id).await?))
}

fn told(target_uri: String, migration: Migration) -> Task {
    let status = match migration.state.as_str() {
        "running" => "running",
        "completed" => "finished",
        _ => "failed",
    };
    let phase =
        || migration.account.as_ref().and_then(|account| account.get("phase")?.as_str()).unwrap_or("begun");
    let message = migration.description.clone().or_else(|| migration.trouble.clone());
    Task {
        id: migration.id.clone(),
        status: status.to_owned(),
        message: message.unwrap_or_else(|| phase().to_owned()),
        target_uri,
        migration,
    }
}
