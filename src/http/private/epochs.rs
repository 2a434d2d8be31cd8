//! `POST /admin/v1/modules/{module}/epoch`: a new epoch of a module's log, because somebody knows that positions were
//! lost.

use axum::{Json, extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    PrivateState,
    access::Actor,
    acts::{self, ActQuery},
    database_problem, known_module,
    query::QueryOf,
};
use crate::{
    cutover::check_words,
    domain::{Cursor, ModuleName},
    http::{Problem, body::BodyOf, path::PathOf},
    log::EpochAsked,
    store::EpochMark,
};

/// The body.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"reason": "restored from a backup"}))]
pub struct EpochBody {
    /// Goes into the audit. Without control characters.
    #[serde(default)]
    #[schema(required = true, pattern = "\\S", max_length = 1024)]
    reason: String,
}

/// The log before and after.
#[derive(Debug, Serialize, ToSchema)]
pub struct EpochAnswer {
    dry_run: bool,
    #[schema(value_type = String)]
    module: ModuleName,
    #[schema(value_type = MarkView)]
    before: EpochMark,
    #[schema(value_type = MarkView)]
    after: EpochMark,
}

/// Where a log stands.
#[derive(ToSchema)]
#[schema(as = EpochMark)]
#[expect(dead_code, reason = "it only describes how an `EpochMark` is written")]
struct MarkView {
    epoch: u32,
    /// The last position given.
    head: u64,
    /// The oldest position that the log promises to hold.
    retained_from: u64,
}

/// Begins an epoch, or tells with `?dry_run=true` which it would be.
#[utoipa::path(
    post, path = "/admin/v1/modules/{module}/epoch", operation_id = "bumpEpoch", tag = "Log",
    params(
        ("module" = String, Path, description = "a configured module"),
        ActQuery,
        ("Changeover-Actor" = Option<String>, Header, description = "for whom the token's bearer acts, by their own word"),
    ),
    request_body = EpochBody,
    responses(
        (status = 200, description = "the log before and after", body = EpochAnswer),
        (status = 400, description = "the query or the body is not as it should be, or there is no reason"),
        (status = 404, description = "no such module"),
        (status = 413, description = "the body is too large"),
        (status = 415, description = "the body is not `application/json`"),
        (status = 500, description = "the database failed in an unexpected way"),
        (status = 503, description = "the database does not answer"),
    )
)]
pub async fn bump(
    State(state): State<PrivateState>,
    PathOf(module): PathOf<String>,
    QueryOf(query): QueryOf<ActQuery>,
    Actor(actor): Actor,
    body: Result<BodyOf<EpochBody>, Problem>,
) -> Result<Json<EpochAnswer>, Problem> {
    let module = known_module(&state.flags, &module)?;
    let BodyOf(EpochBody { reason }) = body?;
    check_words(&actor, &reason).map_err(|refused| acts::problem(&refused))?;
    let asked = EpochAsked {
        mirrored: mirrored(&state, &module),
        module: module.clone(),
        actor,
        reason,
        dry_run: query.dry_run,
    };
    // Whoever asked may go away while a large state is moved: it is done all the same.
    let epochs = std::sync::Arc::clone(&state.epochs);
    let bumped = tokio::spawn(async move { epochs.bump(asked).await }).await;
    let bumped = bumped.map_err(|_panic| {
        Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the epoch was not begun, see the log",
        )
    })?;
    let bumped = bumped.map_err(|error| database_problem(&error))?;
    Ok(Json(EpochAnswer {
        dry_run: query.dry_run,
        module,
        before: bumped.before,
        after: bumped.after,
    }))
}

/// The furthest that a target of this replica has acknowledged.
fn mirrored(state: &PrivateState, module: &ModuleName) -> Option<Cursor> {
    let targets = state.mirror.targets().iter();
    let acknowledged = |target: &std::sync::Arc<crate::mirror::TargetStatus>| {
        target.module(module).map(|status| status.acknowledged)
    };
    targets.filter_map(acknowledged).max()
}
