//! `/admin/v1/outbox/rejected`: rows that could not be numbered.

use axum::{
    Json,
    extract::{State, rejection::JsonRejection},
    http::StatusCode,
};
use serde::{Deserialize, Serialize};

use super::{PrivateState, database_problem, query::QueryOf};
use crate::{http::Problem, store::RejectedRow};

/// Which page of the list.
#[derive(Debug, Deserialize)]
pub struct PageQuery {
    #[serde(default)]
    after: i64,
    #[serde(default = "page_rows")]
    limit: u32,
}

const fn page_rows() -> u32 {
    100
}

/// Most rows of one page.
const MOST_ROWS: u32 = 1_000;

/// A page of the list.
#[derive(Debug, Serialize)]
pub struct Rejected {
    rows: Vec<RejectedRow>,
}

/// Which rows an act is for, some ids or all, and why. The reason goes to the log.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Which {
    #[serde(default)]
    reason: String,
    #[serde(default)]
    ids: Vec<i64>,
    #[serde(default)]
    all: bool,
}

/// How many rows an act was done on.
#[derive(Debug, Serialize)]
pub struct Acted {
    rows: u64,
}

/// Lists parked rows with their reasons.
pub async fn list(
    State(state): State<PrivateState>,
    QueryOf(page): QueryOf<PageQuery>,
) -> Result<Json<Rejected>, Problem> {
    let limit = page.limit.clamp(1, MOST_ROWS);
    let rows = state.store.rejected(page.after, limit).await;
    let rows = rows.map_err(|error| database_problem(&error))?;
    Ok(Json(Rejected { rows }))
}

/// Moves parked rows back to the end of the outbox.
pub async fn retry(
    State(state): State<PrivateState>,
    which: Result<Json<Which>, JsonRejection>,
) -> Result<Json<Acted>, Problem> {
    let (ids, reason) = ids(which)?;
    let rows = state.store.retry_rejected(&ids).await;
    let rows = rows.map_err(|error| database_problem(&error))?;
    tracing::info!(rows, reason, "parked outbox rows are tried again");
    Ok(Json(Acted { rows }))
}

/// Deletes parked rows.
pub async fn discard(
    State(state): State<PrivateState>,
    which: Result<Json<Which>, JsonRejection>,
) -> Result<Json<Acted>, Problem> {
    let (ids, reason) = ids(which)?;
    let rows = state.store.drop_rejected(&ids).await;
    let rows = rows.map_err(|error| database_problem(&error))?;
    tracing::warn!(rows, reason, "parked outbox rows were dropped");
    Ok(Json(Acted { rows }))
}

/// The ids of the body; empty for all. Neither is refused, so that a slip does not mean all.
fn ids(which: Result<Json<Which>, JsonRejection>) -> Result<(Vec<i64>, String), Problem> {
    let bad = |detail: String| Problem::new(StatusCode::BAD_REQUEST, detail);
    let Json(which) =
        which.map_err(|rejection| Problem::new(rejection.status(), rejection.body_text()))?;
    match (which.ids.is_empty(), which.all) {
        (false, false) => Ok((which.ids, which.reason)),
        (true, true) => Ok((Vec::new(), which.reason)),
        (true, false) => Err(bad("say which: \"ids\" or \"all\": true".to_owned())),
        (false, true) => Err(bad("say either \"ids\" or \"all\", not both".to_owned())),
    }
}
