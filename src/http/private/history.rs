//! `GET /admin/v1/modules/{module}/history`: who did what when and why.

use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    PrivateState, database_problem, known_module,
    moment::rfc3339,
    query::{PageSize, QueryOf},
};
use crate::{
    http::{Problem, path::PathOf},
    store::AuditEntry,
};

/// Which page of the history.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct HistoryQuery {
    /// The id of the last entry of the page before.
    before: Option<i64>,
    /// Most entries of the page.
    #[serde(default)]
    #[param(value_type = u32, required = false, default = 50, minimum = 1, maximum = 1000)]
    limit: PageSize<50>,
}

impl HistoryQuery {
    /// Before which entry, and how many at most.
    pub(super) fn bounds(self) -> (Option<i64>, u32) {
        (self.before, self.limit.get())
    }
}

/// A page of the history, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub struct History {
    entries: Vec<HistoryEntry>,
}

/// An audit entry, with its time for people.
#[derive(Debug, Serialize, ToSchema)]
pub struct HistoryEntry {
    id: i64,
    at: String,
    actor: String,
    action: String,
    reason: String,
    before: serde_json::Value,
    after: serde_json::Value,
}

impl From<AuditEntry> for HistoryEntry {
    fn from(entry: AuditEntry) -> Self {
        Self {
            id: entry.id,
            at: rfc3339(entry.at),
            actor: entry.actor,
            action: entry.action,
            reason: entry.reason,
            before: entry.before,
            after: entry.after,
        }
    }
}

/// Who did what when and why.
#[utoipa::path(
    get, path = "/admin/v1/modules/{module}/history", operation_id = "getHistory", tag = "Cutover",
    params(
        ("module" = String, Path, description = "a configured module"),
        HistoryQuery,
    ),
    responses(
        (status = 200, description = "a page of it", body = History),
        (status = 400, description = "the query is not as it should be"),
        (status = 404, description = "no such module"),
        (status = 500, description = "the database failed in an unexpected way"),
        (status = 503, description = "the database does not answer"),
    )
)]
pub async fn history(
    State(state): State<PrivateState>,
    PathOf(module): PathOf<String>,
    QueryOf(page): QueryOf<HistoryQuery>,
) -> Result<Json<History>, Problem> {
    let module = known_module(&state.flags, &module)?;
    let (before, limit) = page.bounds();
    let entries = state.store.audit(Some(&module), before, limit).await;
    let entries = entries.map_err(|error| database_problem(&error))?;
    let entries = entries.into_iter().map(Into::into).collect();
    Ok(Json(History { entries }))
}
