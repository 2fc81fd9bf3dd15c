//! HTTP: the native API, Kimchi's routes, the page, metrics. Requests in, documents out; no decision about a migration is
//! made here.

mod cancels;
mod documents;
mod extract;
mod filters;
mod guard;
mod history;
mod integer;
mod kimchi;
mod matrix;
mod native;
mod page;
mod problem;
mod reactions;
mod rules;
mod serialize;
mod stream;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use utoipa::OpenApi;

pub(super) use self::guard::{Peer, Rates};
pub(super) use self::problem::Problem;
use super::AppState;

/// The machine-readable description of every route.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Whimbrel",
        description = "Live migrations that can be followed, tuned and cancelled.",
        license(name = "Apache-2.0 OR MIT")
    ),
    paths(
        native::hosts,
        native::guests,
        native::guest,
        native::preflight,
        matrix::preflight_matrix,
        native::begin,
        native::list,
        native::show,
        native::cancel,
        native::react,
        native::resolve,
        native::outcome,
        native::journal,
        native::audit,
        rules::show,
        rules::reload,
        stream::of_one,
        history::history,
        stream::of_all,
        kimchi::vms,
        kimchi::one_vm,
        kimchi::migrate,
        kimchi::tasks,
        kimchi::one_task,
        kimchi::end_task,
        metrics,
        health
    )
)]
struct Description;

/// The routes and the middleware of the service.
pub(super) fn router(desk: AppState) -> Router {
    Router::new()
        .route("/api/v1/openapi.json", get(description))
        .route("/api/v1/hosts", get(native::hosts))
        .route("/api/v1/guests", get(native::guests))
        .route("/api/v1/guests/{name}", get(native::guest))
        .route("/api/v1/preflight", post(native::preflight))
        .route("/api/v1/preflight/matrix", post(matrix::preflight_matrix))
        .route("/api/v1/migrations", get(native::list).post(native::begin))
        .route("/api/v1/migrations/{id}", get(native::show))
        .route("/api/v1/migrations/{id}/cancel", post(native::cancel))
        .route("/api/v1/migrations/{id}/reactions", post(native::react))
        .route("/api/v1/migrations/{id}/resolve", post(native::resolve))
        .route("/api/v1/migrations/{id}/outcome", get(native::outcome))
        .route("/api/v1/migrations/{id}/journal", get(native::journal))
        .route("/api/v1/migrations/{id}/events", get(stream::of_one))
        .route("/api/v1/migrations/{id}/history", get(history::history))
        .route("/api/v1/events", get(stream::of_all))
        .route("/api/v1/audit", get(native::audit))
        .route("/api/v1/rules", get(rules::show))
        .route("/api/v1/rules/reload", post(rules::reload))
        .merge(kimchi::routes())
        .route("/metrics", get(metrics))
        .route("/healthz", get(health))
        .route("/", get(page::index))
        .route("/page/{file}", get(page::file))
        .fallback(nothing_here)
        .method_not_allowed_fallback(not_so)
        .layer(from_fn_with_state(desk.clone(), guard::guard))
        .layer(from_fn(kimchi::own_words))
        .with_state(desk)
}

async fn description() -> Json<utoipa::openapi::OpenApi> {
    Json(Description::openapi())
}

/// Metrics in Prometheus' text form.
#[utoipa::path(get, path = "/metrics", tag = "service", responses((status = 200, body = String, content_type = "application/openmetrics-text")))]
async fn metrics(State(desk): State<AppState>) -> Response {
    let text = desk.supervisor.metrics.text(&desk.supervisor.present(), &desk.supervisor.health);
    ([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text)
        .into_response()
}

/// Whether the service runs and its store answers.
#[utoipa::path(get, path = "/healthz", tag = "service", responses((status = 200, body = String, content_type = "text/plain"), (status = "default", body = Problem, content_type = "application/problem+json")))]
async fn health(State(desk): State<AppState>) -> Result<&'static str, Problem> {
    desk.supervisor.store.last_event().await?;
    Ok("ok\n")
}

async fn nothing_here() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "route.unknown", "unknown address", "see /api/v1/openapi.json")
}

async fn not_so() -> Problem {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method.not-allowed",
        "this address does not accept that method",
        "see /api/v1/openapi.json",
    )
}
