//! `POST /admin/v1/modules/{module}/compact`: a pass of retention over one log, now.

use std::time::Duration;

use axum::{Json, extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    PrivateState,
    access::Actor,
    acts::{self, ActQuery},
    database_problem,
    heads::heads_by_module,
    known_module,
    query::QueryOf,
};
use crate::{
    cutover::check_words,
    domain::ModuleName,
    http::{Problem, body::BodyOf, path::PathOf},
    log::{Compacted, HeldBack, NotDone, Outlook},
};

/// The body: why. A dry run needs no reason.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"reason": "the disk is full"}))]
pub struct CompactBody {
    /// Goes into the audit. Without control characters.
    #[serde(default)]
    #[schema(pattern = "\\S", max_length = 1024)]
    reason: String,
}

/// What has gone, or would.
#[derive(Debug, Serialize, ToSchema)]
pub struct CompactAnswer {
    #[schema(value_type = String)]
    module: ModuleName,
    dry_run: bool,
    /// All rows that went, or would.
    rows: u64,
    /// Those of them that were too old or too many, and up to which position all such rows go.
    pruned: u64,
    pruned_through: u64,
    /// Those that a later change of their key has replaced, and up to which position such rows go.
    superseded: u64,
    superseded_through: u64,
    /// Deleted keys that left the state; a dry run does not count them.
    tombstones: u64,
    /// Whether that is all: a long pass goes on in the background, a long count is given up.
    complete: bool,
    held_back: Option<HeldBackView>,
}

/// The target that holds back more.
#[derive(Debug, Serialize, ToSchema)]
pub struct HeldBackView {
    target: String,
    position: Option<u64>,
    behind: u64,
    lag_ms: u64,
}

/// How long a request works before the background goes on.
const PATIENCE: Duration = Duration::from_secs(20);

/// Prunes and compacts, or tells with `?dry_run=true` what would go.
#[utoipa::path(
    post, path = "/admin/v1/modules/{module}/compact", operation_id = "compactModule", tag = "Log",
    params(
        ("module" = String, Path, description = "a configured module"),
        ActQuery,
        ("Changeover-Actor" = Option<String>, Header, description = "for whom the token's bearer acts, by their own word"),
    ),
    request_body = CompactBody,
    responses(
        (status = 200, description = "what has gone, or would", body = CompactAnswer),
        (status = 400, description = "the query or the body is not as it should be, or there is no reason"),
        (status = 404, description = "no such module"),
        (status = 409, description = "another replica numbers the module, or it has no log yet"),
        (status = 413, description = "the body is too large"),
        (status = 415, description = "the body is not `application/json`"),
        (status = 500, description = "the database failed in an unexpected way"),
        (status = 503, description = "the database does not answer"),
    )
)]
pub async fn compact(
    State(state): State<PrivateState>,
    PathOf(module): PathOf<String>,
    QueryOf(query): QueryOf<ActQuery>,
    Actor(actor): Actor,
    body: Result<BodyOf<CompactBody>, Problem>,
) -> Result<Json<CompactAnswer>, Problem> {
    let module = known_module(&state.flags, &module)?;
    let BodyOf(body) = body?;
    if query.dry_run {
        let outlook = state.retention.outlook(&module).await;
        let outlook = outlook.map_err(|error| database_problem(&error))?;
        let outlook = outlook
            .ok_or_else(|| Problem::new(StatusCode::CONFLICT, "the module has no log yet"))?;
        return Ok(Json(would(module, outlook)));
    }
    check_words(&actor, &body.reason).map_err(|refused| acts::problem(&refused))?;
    let done = state
        .retention
        .compact(&module, &actor, &body.reason, PATIENCE)
        .await;
    match done {
        Ok(done) => Ok(Json(has(module, done))),
        Err(NotDone::NotOurs) => Err(not_ours(&state, &module).await?),
        Err(NotDone::Store(error)) => Err(database_problem(&error)),
    }
}

/// Whom to ask instead.
async fn not_ours(state: &PrivateState, module: &ModuleName) -> Result<Problem, Problem> {
    let heads = heads_by_module(state).await?;
    let holder = heads.get(module).and_then(|head| head.lease_holder.clone());
    let detail = match holder {
        Some(holder) => format!("{}: it is held by {holder}", NotDone::NotOurs),
        None => format!("{}: nobody holds it now", NotDone::NotOurs),
    };
    Ok(Problem::new(StatusCode::CONFLICT, detail))
}

fn would(module: ModuleName, outlook: Outlook) -> CompactAnswer {
    CompactAnswer {
        module,
        dry_run: true,
        rows: outlook.pruned + outlook.superseded,
        pruned: outlook.pruned,
        pruned_through: outlook.prune_through.get(),
        superseded: outlook.superseded,
        superseded_through: outlook.compact_through.get(),
        tombstones: 0,
        complete: outlook.counted,
        held_back: outlook.held_back.map(Into::into),
    }
}

fn has(module: ModuleName, done: Compacted) -> CompactAnswer {
    CompactAnswer {
        module,
        dry_run: false,
        rows: done.pruned + done.superseded,
        pruned: done.pruned,
        pruned_through: done.prune_through.get(),
        superseded: done.superseded,
        superseded_through: done.compact_through.get(),
        tombstones: done.tombstones,
        complete: done.finished,
        held_back: done.held_back.map(Into::into),
    }
}

impl From<HeldBack> for HeldBackView {
    fn from(held: HeldBack) -> Self {
        Self {
            target: held.target,
            position: held.position.map(crate::domain::Position::get),
            behind: held.behind,
            lag_ms: u64::try_from(held.lag.as_millis()).unwrap_or(u64::MAX),
        }
    }
}
