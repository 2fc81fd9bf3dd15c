//! The native API, version 1: hosts, guests, preflight, migrations, adjustments.

use std::time::Duration;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Extension, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use whimbrel_core::{GuestRun, Spec};

use super::cancels::{self, CancelRefused, CancelReply};
use super::documents::{
    DryRun, Guest, GuestList, Host, HostList, Migration, MigrationList, OnHost, Page, Preflight, Wanted,
    migration,
};
use super::extract::{Body, GuestName, Number, check_name};
use super::integer;
use super::kimchi::target_uri;
use super::problem::Problem;
use super::reactions::{self, ReactionAnswer, ReactionRefused, ReactionWanted};
use super::serialize::{value, word};
use super::stream;
use crate::AppState;
use crate::auth::Caller;
use crate::guest_lookup::copies;
use crate::store::Audit;
use crate::supervisor::{Order, Supervisor};
use crate::tunnel::NewTunnel;
use whimbrel_drive::hosts::Route;
use whimbrel_drive::inventory::GuestEntry;
use whimbrel_drive::uri::without_password;

/// How long a reader of the audit record waits for entries on their way into the store.
const LAST_ENTRIES: Duration = Duration::from_secs(2);
/// Characters of an idempotency key at most.
const MOST_KEY: usize = 255;

/// The hosts of this service.
#[utoipa::path(get, path = "/api/v1/hosts", tag = "hosts",
    responses((status = 200, body = HostList), (status = "default", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn hosts(State(desk): State<AppState>) -> Json<HostList> {
    let mut hosts = Vec::new();
    for (uri, found) in desk.inventories().await {
        let host = found.as_ref().ok().map(|found| &found.host);
        hosts.push(Host {
            uri,
            reachable: host.is_some(),
            name: host.map(|host| host.name.clone()),
            hypervisor: host.map(|host| host.hypervisor.clone()),
            architecture: host.map(|host| host.architecture.clone()),
            hypervisor_version: host.map(|host| host.hypervisor_version.clone()),
            library_version: host.map(|host| host.library_version.clone()),
            free_memory_bytes: host.and_then(|host| host.free_memory_bytes),
            reason: found.err().map(|error| error.to_string()),
        });
    }
    Json(HostList { hosts })
}

/// The guests of every host that answers.
#[utoipa::path(get, path = "/api/v1/guests", tag = "guests",
    responses((status = 200, body = GuestList), (status = "default", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn guests(State(desk): State<AppState>) -> Json<GuestList> {
    let (mut guests, mut unreachable) = (Vec::new(), Vec::new());
    for (uri, found) in desk.inventories().await {
        match found {
            Ok(found) => guests.extend(found.guests),
            Err(_) => unreachable.push(uri),
        }
    }
    let documents = guests.iter().map(|guest| {
        let mut running = copies(&guests, &guest.uuid);
        running.retain(|copy| guest.run == GuestRun::Running && copy.host != guest.host);
        let also_runs_on = running.into_iter().map(|copy| copy.host).collect();
        Guest { also_runs_on, ..document(guest.clone(), &desk.supervisor) }
    });
    Json(GuestList { guests: documents.collect(), unreachable })
}

fn document(guest: GuestEntry, supervisor: &Supervisor) -> Guest {
    Guest {
        also_runs_on: Vec::new(),
        migration: supervisor.busy(&guest.name, Some(&guest.uuid)).map(|id| id.to_string()),
        name: guest.name,
        uuid: guest.uuid,
        host: guest.host,
        run: word(&guest.run),
        memory_bytes: guest.memory_bytes,
        vcpus: guest.vcpus,
    }
}

/// One guest. Where several hosts have a guest of this name, `host` selects one.
#[utoipa::path(get, path = "/api/v1/guests/{name}", tag = "guests", params(OnHost, ("name" = String, Path, description = "The guest's name", min_length = 1, max_length = 255,
        pattern = "^[^/\\u0000-\\u001f\\u007f-\\u009f]+$")),
    responses((status = 200, body = Guest), (status = "default", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn guest(
    State(desk): State<AppState>,
    GuestName(name): GuestName,
    query: Result<Query<OnHost>, QueryRejection>,
) -> Result<Json<Guest>, Problem> {
    let Query(OnHost { host }) = query.map_err(|error| Problem::bad_request(error.body_text()))?;
    // The role of a viewer must not suffice to make this service connect to an arbitrary host.
    if let Some(uri) = host.as_ref().filter(|uri| !desk.hosts.contains(uri)) {
        return Err(Problem::no_host(uri));
    }
    let found = desk.find(&name, host.as_deref()).await?;
    Ok(Json(document(found, &desk.supervisor)))
}

/// Query the hosts and evaluate the rules, without changing anything. Returns all findings.
#[utoipa::path(post, path = "/api/v1/preflight", tag = "migrations", request_body = Wanted,
    responses((status = 200, body = Preflight), (status = "default", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn preflight(
    State(desk): State<AppState>,
    Extension(caller): Extension<Caller>,
    Body(wanted): Body<Wanted>,
) -> Result<Json<Preflight>, Problem> {
    try_out(&desk, &caller, wanted).await.map(Json)
}

async fn try_out(desk: &AppState, caller: &Caller, wanted: Wanted) -> Result<Preflight, Problem> {
    wanted.permit(caller)?;
    // The tunnel is closed when this request ends.
    let (spec, route, _tunnel) = parts(desk, wanted).await?;
    let (facts, judgement) = desk.supervisor.preflight(spec, route).await?;
    Ok(Preflight {
        allowed: judgement.allows(),
        findings: value(&judgement.findings),
        rules: judgement.set,
        facts: value(&facts),
    })
}

/// The requested spec and route, with the tunnel that the password opened.
async fn parts(desk: &AppState, mut wanted: Wanted) -> Result<(Spec, Route, Option<NewTunnel>), Problem> {
    check_name(&wanted.guest)?;
    let password = wanted.password.take().filter(|password| !password.is_empty());
    let destination = desk.destination(&wanted.destination, None, password.is_some())?;
    // The service connects to its own hosts only, and never to one that a request describes.
    let source = desk.source(wanted.source.as_deref())?;
    let guest = desk.find_unique(&wanted.guest, source).await?;
    let (spec, mut route) = wanted.parts(&guest.host, destination.as_str())?;
    let tunnel = desk.open_tunnel(&guest.host, &destination, password).await?;
    route.uuid = Some(guest.uuid);
    route.tunnel = tunnel.as_ref().and_then(NewTunnel::near_end);
    Ok((spec, route, tunnel))
}

/// Start a migration. With `Idempotency-Key`, a request that is sent twice starts one migration.
#[utoipa::path(post, path = "/api/v1/migrations", tag = "migrations", request_body = Wanted,
    params(DryRun, ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible ASCII characters", min_length = 1, max_length = 255, pattern = "^[!-~]+$")),
    responses((status = 202, body = Migration, description = "It was started, now or before with the same key"), (status = 200, body = Preflight, description = "A dry run"),
        (status = "default", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn begin(
    State(desk): State<AppState>,
    Extension(caller): Extension<Caller>,
    query: Result<Query<DryRun>, QueryRejection>,
    headers: HeaderMap,
    Body(wanted): Body<Wanted>,
) -> Result<Response, Problem> {
    let Query(DryRun { dry_run }) = query.map_err(|error| Problem::bad_request(error.body_text()))?;
    if dry_run {
        return Ok(Json(try_out(&desk, &caller, wanted).await?).into_response());
    }
    wanted.permit(&caller)?;
    let idempotency_key = key(&headers)?;
    // A known key is answered even when the guest has been migrated in the meantime.
    let known = match &idempotency_key {
        Some(key) => desk.supervisor.store.migration_by_key(key).await?,
        None => None,
    };
    let (spec, route, tunnel) = match known.and_then(|row| serde_json::from_str::<Route>(&row.route).ok()) {
        Some(route) => {
            let destination = desk.destination(&wanted.destination, None, route.tunnel.is_some())?;
            let source = desk.source(wanted.source.as_deref())?.unwrap_or(&route.source);
            let (spec, route) = wanted.parts(source, destination.as_str())?;
            (spec, route, None)
        }
        None => parts(&desk, wanted).await?,
    };
    let target_uri = target_uri(desk.home(), &route.source, &route.guest);
    let order = Order { spec, route, asked_by: caller.name, target_uri, idempotency_key, tunnel };
    let (id, _) = desk.supervisor.begin(order).await?;
    let location = [(header::LOCATION, format!("/api/v1/migrations/{id}"))];
    Ok((StatusCode::ACCEPTED, location, Json(read(&desk, id).await?)).into_response())
}

fn key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(key) = headers.get("idempotency-key") else { return Ok(None) };
    let key = key.to_str().ok().filter(|key| {
        !key.is_empty() && key.len() <= MOST_KEY && key.bytes().all(|byte| byte.is_ascii_graphic())
    });
    key.map(|key| Some(key.to_owned()))
        .ok_or_else(|| Problem::bad_request("`Idempotency-Key` has 1 to 255 visible ASCII characters"))
}

/// Migrations, the newest first.
#[utoipa::path(get, path = "/api/v1/migrations", tag = "migrations", params(Page),
    responses((status = 200, body = MigrationList), (status = "default", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn list(
    State(desk): State<AppState>,
    query: Result<Query<Page>, QueryRejection>,
) -> Result<Json<MigrationList>, Problem> {
    let Query(page) = query.map_err(|error| Problem::bad_request(error.body_text()))?;
    let limit = page.limit.unwrap_or(50);
    let most = i64::try_from(integer::MOST).unwrap_or(i64::MAX);
    if !(1..=200).contains(&limit) || !page.before.is_none_or(|before| (1..=most).contains(&before)) {
        return Err(Problem::bad_request(format!("`limit` is 1 to 200, and `before` 1 to {most}")));
    }
    let mut migrations = Vec::new();
    for row in desk.supervisor.store.migrations(page.before.unwrap_or(i64::MAX), limit).await? {
        migrations.push(migration(&desk.supervisor, row, false).await?);
    }
    Ok(Json(MigrationList { migrations }))
}

/// One migration, with its whole account.
#[utoipa::path(get, path = "/api/v1/migrations/{id}", tag = "migrations", params(("id" = String, Path, description = "Its number")),
    responses((status = 200, body = Migration), (status = "default", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn show(
    State(desk): State<AppState>,
    Number(id): Number,
) -> Result<Json<Migration>, Problem> {
    read(&desk, id).await.map(Json)
}

pub(super) async fn read(desk: &AppState, id: i64) -> Result<Migration, Problem> {
    let row = desk.supervisor.store.migration(id).await?.ok_or_else(Problem::no_migration)?;
    migration(&desk.supervisor, row, true).await
}

/// Cancel a migration. The status is the result; the body contains where the guest is and what was restored.
#[utoipa::path(post, path = "/api/v1/migrations/{id}/cancel", tag = "migrations", params(("id" = String, Path, description = "Its number")),
    responses((status = 200, body = CancelReply, description = "`cancelled`"), (status = 202, body = CancelReply, description = "`in_doubt`: not known yet; follow the events"),
        (status = 409, body = CancelRefused, content_type = "application/problem+json", description = "`too_late`, `refused` or `unresolved`: not cancelled, or not known to be"), (status = "default", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn cancel(State(desk): State<AppState>, Number(id): Number) -> Result<Response, Problem> {
    let (answer, reply) = cancels::cancel(&desk, id).await?;
    Ok(cancels::respond(answer, reply))
}

/// Resolve a migration again that ended in doubt, or could not be driven further. Both hosts are queried again, and the
/// migration ends with those observations; no migration is started. Follow its events to the end.
#[utoipa::path(post, path = "/api/v1/migrations/{id}/resolve", tag = "migrations", params(("id" = String, Path, description = "Its number")),
    responses((status = 202, body = Migration, description = "It is being resolved"),
        (status = "default", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn resolve(State(desk): State<AppState>, Number(id): Number) -> Result<Response, Problem> {
    let row = desk.supervisor.store.migration(id).await?.ok_or_else(Problem::no_migration)?;
    desk.supervisor.resolve(row).await?;
    Ok((StatusCode::ACCEPTED, Json(read(&desk, id).await?)).into_response())
}

/// Adjust a running migration. An adjustment that was not made is an error whose code is the reason.
#[utoipa::path(post, path = "/api/v1/migrations/{id}/reactions", tag = "migrations", request_body = ReactionWanted,
    params(("id" = String, Path, description = "Its number")),
    responses((status = 200, body = ReactionAnswer, description = "It was made"), (status = 202, body = ReactionAnswer, description = "It was sent, and the hypervisor has not answered yet"),
        (status = 409, body = ReactionRefused, description = "It was not made", content_type = "application/problem+json"),
        (status = "default", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn react(
    State(desk): State<AppState>,
    Number(id): Number,
    Body(ReactionWanted(wish)): Body<ReactionWanted>,
) -> Result<Response, Problem> {
    desk.supervisor.store.migration(id).await?.ok_or_else(Problem::no_migration)?;
    if !wish.is_within_bounds() {
        return Err(Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "reaction.out-of-bounds",
            "the value is out of the hypervisor's bounds, and the migration continues unchanged",
            "set a downtime limit of 1 to 2000000 ms, or a bandwidth limit of at least 1048576 bytes per second",
        ));
    }
    let result = desk.supervisor.react(id, wish).await;
    let result = result.unwrap_or(whimbrel_core::control::AdjustmentResult::TooLate);
    Ok(reactions::respond(result))
}

/// How a migration ended.
#[utoipa::path(get, path = "/api/v1/migrations/{id}/outcome", tag = "migrations", params(("id" = String, Path, description = "Its number")),
    responses((status = 200, body = Object), (status = "default", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn outcome(State(desk): State<AppState>, Number(id): Number) -> Result<Response, Problem> {
    match read(&desk, id).await?.outcome {
        Some(outcome) => Ok(Json(outcome).into_response()),
        None => Err(Problem::new(
            // The migration exists, but has not ended.
            StatusCode::CONFLICT,
            "migration.no-outcome",
            "the migration has no outcome yet",
            "follow its events, or retry later",
        )),
    }
}

/// A migration's journal, as `whimbrel replay` reads it.
#[utoipa::path(get, path = "/api/v1/migrations/{id}/journal", tag = "migrations", params(("id" = String, Path, description = "Its number")),
    responses((status = 200, body = String, content_type = "application/x-ndjson"), (status = "default", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn journal(State(desk): State<AppState>, Number(id): Number) -> Result<Response, Problem> {
    let store = &desk.supervisor.store;
    let row = store.migration(id).await?.ok_or_else(Problem::no_migration)?;
    let mut spec: Spec =
        serde_json::from_str(&row.spec).map_err(|error| Problem::internal(error.to_string()))?;
    // A store of an earlier version may hold a password here.
    spec.source = without_password(&spec.source);
    spec.destination = without_password(&spec.destination);
    let header = whimbrel_core::journal::header_line(&spec, None) + "\n";
    let text = stream::journal(store.clone(), id, header);
    let headers = [
        (header::CONTENT_TYPE, "application/x-ndjson".to_owned()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"migration-{id}.journal\"")),
    ];
    Ok((headers, text).into_response())
}

/// The audit record of requests, newest first. For administrators.
#[utoipa::path(get, path = "/api/v1/audit", tag = "service",
    responses((status = 200, body = Vec<Audit>), (status = "default", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn audit(State(desk): State<AppState>) -> Result<Json<Vec<Audit>>, Problem> {
    // Entries are written with delay: wait for the pending ones, so that a reader sees every earlier request. The wait has a
    // bound, because a store that hangs must not block the answer; entries that are still pending are missing then.
    desk.supervisor.settle(LAST_ENTRIES).await;
    Ok(Json(desk.supervisor.store.audits(500).await?))
}
