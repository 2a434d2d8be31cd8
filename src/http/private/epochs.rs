//! `POST /admin/v1/modules/{module}/epoch`: a new epoch of a module's log, because somebody knows that positions were
//! lost.

use axum::{
    Json,
    extract::{Path, State, rejection::JsonRejection},
    http::{HeaderMap, StatusCode},
};
use serde::{Deserialize, Serialize};

use super::{
    PrivateState,
    acts::{self, ActQuery},
    database_problem, known_module,
    query::QueryOf,
};
use crate::{
    cutover::check_words,
    domain::{Cursor, ModuleName},
    http::Problem,
    log::EpochAsked,
    store::EpochMark,
};

/// The body.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EpochBody {
    #[serde(default)]
    reason: String,
}

/// The log before and after.
#[derive(Debug, Serialize)]
pub struct EpochAnswer {
    dry_run: bool,
    module: ModuleName,
    before: EpochMark,
    after: EpochMark,
}

/// Begins an epoch, or tells with `?dry_run=true` which it would be.
pub async fn bump(
    State(state): State<PrivateState>,
    Path(module): Path<String>,
    QueryOf(query): QueryOf<ActQuery>,
    headers: HeaderMap,
    body: Result<Json<EpochBody>, JsonRejection>,
) -> Result<Json<EpochAnswer>, Problem> {
    let module = known_module(&state.flags, &module)?;
    let Json(EpochBody { reason }) = body.map_err(|rejection| {
        let detail = format!("the body: {}", rejection.body_text());
        Problem::new(rejection.status(), detail)
    })?;
    let actor = acts::actor(&headers);
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
