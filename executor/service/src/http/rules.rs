//! The rules that are in force: which they are, and loading them anew.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;
use whimbrel_plugins::RuleSet;

use super::problem::Problem;
use crate::Desk;

/// The set of rules that the next migration begins with.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Rules {
    /// Digest of the packs and of what the operator decided about them.
    set: String,
    /// In the order in which they are asked.
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

/// What came of loading the rules anew.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Reloaded {
    /// Whether they differ from those before.
    changed: bool,
    /// The rules in force now.
    rules: Rules,
}

/// The rules that the next migration is judged by.
#[utoipa::path(get, path = "/api/v1/rules", tag = "rules",
    responses((status = 200, body = Rules), (status = "default", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn show(State(desk): State<Desk>) -> Json<Rules> {
    Json(document(&desk.rules.get()))
}

/// Load the rules anew. When they cannot be used, those before stay in force; a migration keeps the set that it began
/// with either way. For administrators.
#[utoipa::path(post, path = "/api/v1/rules/reload", tag = "rules",
    responses((status = 200, body = Reloaded), (status = "default", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn reload(State(desk): State<Desk>) -> Result<Json<Reloaded>, Problem> {
    let rules = desk.rules.clone();
    let loaded = tokio::task::spawn_blocking(move || rules.reload()).await;
    let changed = loaded.map_err(|error| Problem::internal(error.to_string()))?.map_err(|reason| {
        Problem::new(
            StatusCode::CONFLICT,
            "rules.unusable",
            "the rules cannot be loaded anew; those before stay in force",
            "mend what is named, then load them again",
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
