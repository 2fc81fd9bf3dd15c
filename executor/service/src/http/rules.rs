//! The active rules, and their reload.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;
use whimbrel_plugins::RuleSet;

use super::problem::Problem;
use crate::AppState;

/// The set of rules that the next migration starts with.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Rules {
    /// Digest of the packs and of the operator's policy.
    set: String,
    /// In the order of evaluation.
    packs: Vec<Pack>,
}

/// One pack of rules.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct Pack {
    /// Its name.
    name: String,
    /// Its version.
    version: String,
    /// SHA-256 of the component, in hexadecimal digits.
    sha256: String,
    /// The codes of its rules.
    rules: Vec<String>,
}

/// The result of a reload of the rules.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Reloaded {
    /// Whether they differ from the previous ones.
    changed: bool,
    /// The active rules.
    rules: Rules,
}

/// The rules that validate the next migration.
#[utoipa::path(get, path = "/api/v1/rules", tag = "rules",
    responses((status = 200, body = Rules), (status = "default", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn show(State(desk): State<AppState>) -> Json<Rules> {
    Json(document(&desk.rules.get()))
}

/// Reload the rules. When they cannot be used, the previous ones remain active; a migration keeps the set that it started
/// with in either case. For administrators.
#[utoipa::path(post, path = "/api/v1/rules/reload", tag = "rules",
    responses((status = 200, body = Reloaded), (status = "default", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn reload(State(desk): State<AppState>) -> Result<Json<Reloaded>, Problem> {
    let rules = desk.rules.clone();
    let loaded = tokio::task::spawn_blocking(move || rules.reload()).await;
    let changed = loaded.map_err(|error| Problem::internal(error.to_string()))?.map_err(|reason| {
        Problem::new(
            StatusCode::CONFLICT,
            "rules.unusable",
            "rule reload failed; the previous rules remain active",
            "fix the problem named in `detail`, then reload",
        )
        .detail(reason)
    })?;
    Ok(Json(Reloaded { changed, rules: document(&desk.rules.get()) }))
}

fn document(set: &RuleSet) -> Rules {
    let pack = |pack: &whimbrel_plugins::host::Pack| Pack {
        name: pack.about().name.clone(),
        version: pack.about().version.clone(),
        sha256: pack.digest().to_owned(),
        rules: pack.about().rules.iter().map(|rule| rule.code.clone()).collect(),
    };
    Rules { set: set.digest().to_owned(), packs: set.packs().map(pack).collect() }
}
