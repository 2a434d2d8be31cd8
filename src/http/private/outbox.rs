//! `/admin/v1/outbox/rejected`: rows that could not be numbered.

use axum::{Json, extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    PrivateState, database_problem,
    query::{PageSize, QueryOf},
};
use crate::{
    http::{Problem, body::BodyOf},
    store::RejectedRow,
};

/// Which page of the list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// The id of the last row of the page before.
    #[serde(default)]
    #[param(required = false)]
    after: i64,
    /// Most rows of the page.
    #[serde(default)]
    #[param(value_type = u32, required = false, default = 100, minimum = 1, maximum = 1000)]
    limit: PageSize<100>,
}

/// A page of the list.
#[derive(Debug, Serialize, ToSchema)]
pub struct Rejected {
    #[schema(value_type = Vec<RowView>)]
    rows: Vec<RejectedRow>,
}

/// An outbox row that could not be numbered.
#[derive(ToSchema)]
#[schema(as = RejectedRow)]
#[expect(dead_code, reason = "it only describes how a `RejectedRow` is written")]
struct RowView {
    /// Its own id, not the outbox row's.
    id: i64,
    module: String,
    #[schema(required = true)]
    audience: Option<String>,
    #[schema(required = true)]
    key: Option<String>,
    #[schema(required = true)]
    op: Option<String>,
    /// The text of the value, which may be no JSON.
    #[schema(required = true)]
    value: Option<String>,
    #[schema(required = true)]
    change_id: Option<String>,
    /// In microseconds since 1970, as the producer wrote it.
    #[schema(required = true)]
    occurred_at: Option<i64>,
    /// A stable word, a colon, an explanation.
    reason: String,
    /// In microseconds since 1970.
    rejected_at: i64,
}

/// Which rows an act is for, some ids or all, and why. The reason goes to the log.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"reason": "the producer was mended", "ids": [7]}))]
pub struct Which {
    #[serde(default)]
    reason: String,
    #[serde(default)]
    ids: Vec<i64>,
    #[serde(default)]
    all: bool,
}

/// How many rows an act was done on.
#[derive(Debug, Serialize, ToSchema)]
pub struct Acted {
    rows: u64,
}

/// Lists parked rows with their reasons.
#[utoipa::path(
    get, path = "/admin/v1/outbox/rejected", operation_id = "listRejected", tag = "Outbox",
    params(PageQuery),
    responses(
        (status = 200, description = "a page of them, by id", body = Rejected),
        (status = 400, description = "the query is not as it should be"),
        (status = 500, description = "the database failed in an unexpected way"),
        (status = 503, description = "the database does not answer"),
    )
)]
pub async fn list(
    State(state): State<PrivateState>,
    QueryOf(page): QueryOf<PageQuery>,
) -> Result<Json<Rejected>, Problem> {
    let rows = state.store.rejected(page.after, page.limit.get()).await;
    let rows = rows.map_err(|error| database_problem(&error))?;
    Ok(Json(Rejected { rows }))
}

/// Moves parked rows back to the end of the outbox.
#[utoipa::path(
    post, path = "/admin/v1/outbox/rejected/retry", operation_id = "retryRejected", tag = "Outbox",
    request_body = Which,
    responses(
        (status = 200, description = "how many", body = Acted),
        (status = 400, description = "the body is not as it should be, or names no rows"),
        (status = 413, description = "the body is too large"),
        (status = 415, description = "the body is not `application/json`"),
        (status = 500, description = "the database failed in an unexpected way"),
        (status = 503, description = "the database does not answer"),
    )
)]
pub async fn retry(
    State(state): State<PrivateState>,
    BodyOf(which): BodyOf<Which>,
) -> Result<Json<Acted>, Problem> {
    let (ids, reason) = ids(which)?;
    let rows = state.store.retry_rejected(&ids).await;
    let rows = rows.map_err(|error| database_problem(&error))?;
    tracing::info!(rows, reason, "parked outbox rows are tried again");
    Ok(Json(Acted { rows }))
}

/// Deletes parked rows.
#[utoipa::path(
    post, path = "/admin/v1/outbox/rejected/drop", operation_id = "dropRejected", tag = "Outbox",
    request_body = Which,
    responses(
        (status = 200, description = "how many", body = Acted),
        (status = 400, description = "the body is not as it should be, or names no rows"),
        (status = 413, description = "the body is too large"),
        (status = 415, description = "the body is not `application/json`"),
        (status = 500, description = "the database failed in an unexpected way"),
        (status = 503, description = "the database does not answer"),
    )
)]
pub async fn discard(
    State(state): State<PrivateState>,
    BodyOf(which): BodyOf<Which>,
) -> Result<Json<Acted>, Problem> {
    let (ids, reason) = ids(which)?;
    let rows = state.store.drop_rejected(&ids).await;
    let rows = rows.map_err(|error| database_problem(&error))?;
    tracing::warn!(rows, reason, "parked outbox rows were dropped");
    Ok(Json(Acted { rows }))
}

/// The ids of the body; empty for all. Neither is refused, so that a slip does not mean all.
fn ids(which: Which) -> Result<(Vec<i64>, String), Problem> {
    let bad = |detail: String| Problem::new(StatusCode::BAD_REQUEST, detail);
    match (which.ids.is_empty(), which.all) {
        (false, false) => Ok((which.ids, which.reason)),
        (true, true) => Ok((Vec::new(), which.reason)),
        (true, false) => Err(bad("say which: \"ids\" or \"all\": true".to_owned())),
        (false, true) => Err(bad("say either \"ids\" or \"all\", not both".to_owned())),
    }
}
