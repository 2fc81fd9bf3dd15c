//! The routes of Kimchi that a migration needs, with the service's own progress as additional fields. Errors are documents
//! with `code` and `reason`.
//!
//! Kimchi knows a single host, "this host": the first of the service. Kimchi's client finds its migration by a filter on the
//! task's `target_uri`, takes the guest's name out of that address, and may delete the guest of that name: an address must
//! never name a guest of this host for a migration from another host.

use axum::body::Body;
use axum::extract::{Extension, FromRequest, Request, State};
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;
use whimbrel_core::{GuestRun, Spec};

use super::cancels;
use super::documents::{Migration, migration};
use super::extract::{GuestName, Number, read_body};
use super::filters::Requested;
use super::native::read;
use super::problem::Problem;
use super::serialize::escaped;
use crate::AppState;
use crate::auth::Caller;
use crate::secret::Password;
use crate::store::MigrationRow;
use crate::supervisor::Order;
use crate::tunnel::NewTunnel;
use whimbrel_drive::hosts::Route;
use whimbrel_drive::inventory::GuestEntry;

/// Prefix of every route of Kimchi's plug-in.
const ROOT: &str = "/plugins/kimchi";
/// Tasks in a list at most, beside those that run.
const MOST_TASKS: i64 = 200;
/// Fields by which guests can be filtered.
const VM_FILTERS: [&str; 3] = ["name", "uuid", "state"];
/// Fields by which tasks can be filtered.
const TASK_FILTERS: [&str; 4] = ["id", "status", "message", "target_uri"];

/// A guest in Kimchi's format.
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
    /// Not in Kimchi: the task that runs for it.
    task: Option<String>,
}

/// A task in Kimchi's format.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Task {
    /// Its number.
    id: String,
    /// `running`, `finished` or `failed`.
    status: String,
    /// Its phase, or how it ended.
    message: String,
    /// The guest's own route, its name unescaped, and `/migrate`. It begins with `/plugins/kimchi/vms/` for guests of
    /// this host only.
    target_uri: String,
    /// Not in Kimchi: the whole migration.
    migration: Migration,
}

/// The body of Kimchi's request.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Migrate {
    /// Address of the destination; `remote_host` is the later name of this field.
    #[serde(alias = "remote_host")]
    #[schema(min_length = 1, max_length = 1024, pattern = "[!-~]")]
    destination: String,
    /// The account for the connection.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 255, pattern = "^[A-Za-z0-9._][A-Za-z0-9._-]*$")]
    user: Option<String>,
    /// Password for the ssh connection; used once, and not stored.
    #[serde(default)]
    #[schema(value_type = Option<String>, max_length = 1024, pattern = "^[^\\u0000-\\u001f\\u007f]*$", write_only)]
    password: Option<Password>,
    /// Migration over RDMA, which is not supported: it must be false.
    #[serde(default)]
    enable_rdma: bool,
}

/// An error in Kimchi's format.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct KimchiError {
    /// Status and its phrase, for example `404 Not Found`.
    code: String,
    /// The problem's code, and what happened.
    reason: String,
}

impl From<Problem> for KimchiError {
    fn from(problem: Problem) -> Self {
        Self { code: problem.status().to_string(), reason: problem.reason() }
    }
}

pub(super) struct Unkind(Problem);

impl From<Problem> for Unkind {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

impl IntoResponse for Unkind {
    fn into_response(self) -> Response {
        (self.0.status(), Json(KimchiError::from(self.0))).into_response()
    }
}

/// The body of Kimchi's request, whatever its content type.
pub(super) struct Call(Migrate);

impl<S: Sync> FromRequest<S> for Call {
    type Rejection = Unkind;

    async fn from_request(request: Request, _: &S) -> Result<Self, Unkind> {
        read_body(request).await.map(Self).map_err(Unkind)
    }
}

/// Every route, with and without a slash at its end.
pub(super) fn routes() -> Router<AppState> {
    let routes = [
        ("/vms", get(vms)),
        ("/vms/{name}", get(one_vm)),
        ("/vms/{name}/migrate", post(migrate)),
        ("/tasks", get(tasks)),
        ("/tasks/{id}", get(one_task).merge(delete(end_task))),
    ];
    routes.into_iter().fold(Router::new(), |router, (path, methods)| {
        router.route(&format!("{ROOT}{path}"), methods.clone()).route(&format!("{ROOT}{path}/"), methods)
    })
}

/// Rewrites errors that occurred before one of Kimchi's routes was reached into its format too.
pub(super) async fn own_words(request: Request, next: Next) -> Response {
    let is_ours = request.uri().path().starts_with(ROOT);
    let mut response = next.run(request).await;
    let problem = if is_ours { response.extensions_mut().remove::<Problem>() } else { None };
    let Some(error) = problem.map(KimchiError::from) else { return response };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.remove(header::CONTENT_LENGTH);
    *response.body_mut() = Body::from(super::serialize::value(&error).to_string());
    response
}

/// The address that a task works on.
pub(super) fn target_uri(home: &str, source: &str, guest: &str) -> String {
    let other_host = if source == home { String::new() } else { format!("/hosts/{}", escaped(source)) };
    format!("{other_host}{ROOT}/vms/{guest}/migrate")
}

/// Guests of this host. `name`, `uuid` and `state` in the query filter them.
#[utoipa::path(get, path = "/plugins/kimchi/vms", tag = "kimchi",
    params(("name" = Option<String>, Query, format = "regex", description = "Equal to it, or a regular expression that matches its beginning"),
        ("uuid" = Option<String>, Query, format = "regex", description = "The same"), ("state" = Option<String>, Query, format = "regex", description = "The same")),
    responses((status = 200, body = Vec<Vm>), (status = "default", body = KimchiError)))]
pub(super) async fn vms(State(desk): State<AppState>, uri: Uri) -> Result<Json<Vec<Vm>>, Unkind> {
    let filters = Requested::of(&uri, &VM_FILTERS)?.compile()?;
    let found = desk.inventory(desk.home()).await.map_err(Problem::from)?;
    let mut vms: Vec<Vm> = found.guests.into_iter().map(|guest| vm(&desk, guest)).collect();
    vms.retain(|vm| filters.pass(&[("name", &vm.name), ("uuid", &vm.uuid), ("state", &vm.state)]));
    Ok(Json(vms))
}

/// A guest of this host.
#[utoipa::path(get, path = "/plugins/kimchi/vms/{name}", tag = "kimchi", params(("name" = String, Path, description = "The guest's name", min_length = 1, max_length = 255,
        pattern = "^[^/\\u0000-\\u001f\\u007f-\\u009f]+$")),
    responses((status = 200, body = Vm), (status = "default", body = KimchiError)))]
pub(super) async fn one_vm(
    State(desk): State<AppState>,
    name: Result<GuestName, Problem>,
) -> Result<Json<Vm>, Unkind> {
    let guest = desk.find(&name?.0, Some(desk.home())).await?;
    Ok(Json(vm(&desk, guest)))
}

fn vm(desk: &AppState, guest: GuestEntry) -> Vm {
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
    State(desk): State<AppState>,
    Extension(caller): Extension<Caller>,
    name: Result<GuestName, Problem>,
    Call(call): Call,
) -> Result<Response, Unkind> {
    let GuestName(name) = name?;
    let Migrate { destination: address, user, password, enable_rdma } = call;
    // As in the schema: an address needs a visible ASCII character, so that blanks of any alphabet are refused.
    if !address.bytes().any(|byte| byte.is_ascii_graphic()) {
        Err(Problem::bad_request("`remote_host` is empty: set it to the address of the destination"))?;
    }
    if enable_rdma {
        let remedy = "omit `enable_rdma`: memory is sent over TCP";
        Err(Problem::new(
            StatusCode::CONFLICT,
            "rdma.not-offered",
            "migration over RDMA is not supported",
            remedy,
        ))?;
    }
    let guest = desk.find_unique(&name, Some(desk.home())).await?;
    let password = password.filter(|password| !password.is_empty());
    let destination = desk.destination(&address, user.as_deref(), password.is_some())?;
    let tunnel = desk.open_tunnel(&guest.host, &destination, password).await?;
    let spec = Spec::new(name.as_str(), guest.host.as_str(), destination.as_str());
    let route = Route {
        tunnel: tunnel.as_ref().and_then(NewTunnel::near_end),
        uuid: Some(guest.uuid),
        ..Route::of(&spec)
    };
    let target_uri = target_uri(desk.home(), &route.source, &name);
    let order = Order { spec, route, asked_by: caller.name, target_uri, idempotency_key: None, tunnel };
    let (id, _) = desk.supervisor.begin(order).await.map_err(Problem::from)?;
    Ok((StatusCode::ACCEPTED, Json(task(&desk, id).await?)).into_response())
}

/// Tasks, the newest first: the last 200 and every one that runs. `id`, `status`, `message` and `target_uri` in the query
/// filter them.
#[utoipa::path(get, path = "/plugins/kimchi/tasks", tag = "kimchi",
    params(("id" = Option<String>, Query, format = "regex", description = "Equal to it, or a regular expression that matches its beginning"),
        ("status" = Option<String>, Query, format = "regex", description = "The same"), ("message" = Option<String>, Query, format = "regex", description = "The same"),
        ("target_uri" = Option<String>, Query, format = "regex", description = "The same; `^` and a task's own `target_uri` select that one to the letter")),
    responses((status = 200, body = Vec<Task>), (status = "default", body = KimchiError)))]
pub(super) async fn tasks(State(desk): State<AppState>, uri: Uri) -> Result<Json<Vec<Task>>, Unkind> {
    let mut requested = Requested::of(&uri, &TASK_FILTERS)?;
    let rows = listed(&desk).await?;
    requested.prefer_literal("target_uri", rows.iter().map(|(target, _)| target.as_str()));
    let filters = requested.compile()?;
    let mut tasks = Vec::new();
    for (target, row) in rows {
        // First the fields that are known without reading the migration: they exclude most tasks.
        if filters.pass(&[("id", &row.id.to_string()), ("target_uri", &target)]) {
            let task = task_of(target, migration(&desk.supervisor, row, false).await?);
            if filters.pass(&[("status", &task.status), ("message", &task.message)]) {
                tasks.push(task);
            }
        }
    }
    Ok(Json(tasks))
}

/// The rows that can be tasks, with their addresses.
async fn listed(desk: &AppState) -> Result<Vec<(String, MigrationRow)>, Problem> {
    let mut rows = desk.supervisor.store.migrations(i64::MAX, MOST_TASKS).await?;
    let oldest = rows.last().map_or(0, |row| row.id);
    let older = desk.supervisor.store.unfinished().await?.into_iter().filter(|row| row.id < oldest);
    rows.extend(older.rev());
    Ok(rows.into_iter().map(|row| (target(desk, &row), row)).collect())
}

fn target(desk: &AppState, row: &MigrationRow) -> String {
    match serde_json::from_str::<Route>(&row.route) {
        Ok(route) => target_uri(desk.home(), &route.source, &route.guest),
        Err(_) => row.target_uri.clone(),
    }
}

/// One task.
#[utoipa::path(get, path = "/plugins/kimchi/tasks/{id}", tag = "kimchi", params(("id" = String, Path, description = "Its number")),
    responses((status = 200, body = Task), (status = "default", body = KimchiError)))]
pub(super) async fn one_task(
    State(desk): State<AppState>,
    id: Result<Number, Problem>,
) -> Result<Json<Task>, Unkind> {
    Ok(Json(task(&desk, id?.0).await?))
}

/// Cancel a task. Returns the task with the result and what was restored. A task that was not cancelled is an error (409)
/// with the same fields.
#[utoipa::path(delete, path = "/plugins/kimchi/tasks/{id}", tag = "kimchi", params(("id" = String, Path, description = "Its number")),
    responses((status = 200, body = Object, description = "`cancelled`"), (status = 202, body = Object, description = "`in_doubt`: not known yet"),
        (status = 409, body = Object, description = "`too_late`, `refused` or `unresolved`"), (status = "default", body = KimchiError)))]
pub(super) async fn end_task(
    State(desk): State<AppState>,
    id: Result<Number, Problem>,
) -> Result<Response, Unkind> {
    let Number(id) = id?;
    let (answer, reply) = cancels::cancel(&desk, id).await?;
    let task = task(&desk, id).await?;
    let error = cancels::problem(answer, &reply).map(KimchiError::from);
    let mut document = json!({
        "id": task.id,
        "status": task.status,
        "message": reply.description,
        "target_uri": task.target_uri,
        "answer": reply.answer,
        "recovery": reply.recovery,
        "migration": reply.migration,
    });
    if let (Some(error), Some(fields)) = (error, document.as_object_mut()) {
        fields.insert("code".to_owned(), Value::String(error.code));
        fields.insert("reason".to_owned(), Value::String(error.reason));
    }
    Ok((cancels::status(answer), Json(document)).into_response())
}

async fn task(desk: &AppState, id: i64) -> Result<Task, Problem> {
    let row = desk.supervisor.store.migration(id).await?.ok_or_else(Problem::no_migration)?;
    Ok(task_of(target(desk, &row), read(desk, id).await?))
}

fn task_of(target_uri: String, migration: Migration) -> Task {
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

#[cfg(test)]
mod tests {
    use super::target_uri;

    #[test]
    fn an_address_names_guests_of_this_host_only_and_as_they_are_called() {
        let of = |source: &str, guest: &str| target_uri("sim://alpha", source, guest);
        assert_eq!(of("sim://alpha", "web"), "/plugins/kimchi/vms/web/migrate");
        assert_eq!(of("sim://alpha", "k\u{e4}se 100%41"), "/plugins/kimchi/vms/k\u{e4}se 100%41/migrate");
        assert_eq!(of("sim://beta", "web"), "/hosts/sim%3A%2F%2Fbeta/plugins/kimchi/vms/web/migrate");
    }
}
