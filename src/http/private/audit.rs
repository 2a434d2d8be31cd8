//! `GET /admin/v1/audit`: every act, on modules, targets and tokens.

use axum::{Json, extract::State};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    PrivateState, database_problem,
    history::{HistoryEntry, HistoryQuery},
    query::QueryOf,
};
use crate::{http::Problem, store::AuditEntry};

/// A page of all acts, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub struct Audit {
    entries: Vec<AuditView>,
}

/// An act, and on which module.
#[derive(Debug, Serialize, ToSchema)]
pub struct AuditView {
    /// The module; null for acts on all modules, on targets and on tokens.
    module: Option<String>,
    #[serde(flatten)]
    act: HistoryEntry,
}

impl From<AuditEntry> for AuditView {
    fn from(mut entry: AuditEntry) -> Self {
        Self {
            module: entry.module.take(),
            act: entry.into(),
        }
    }
}

/// Who did what when and why, on everything.
#[utoipa::path(
    get, path = "/admin/v1/audit", operation_id = "getAudit", tag = "Cutover",
    params(HistoryQuery),
    responses(
        (status = 200, description = "a page of it", body = Audit),
        (status = 400, description = "the query is not as it should be"),
        (status = 500, description = "the database failed in an unexpected way"),
        (status = 503, description = "the database does not answer"),
    )
)]
pub async fn audit(
    State(state): State<PrivateState>,
    QueryOf(page): QueryOf<HistoryQuery>,
) -> Result<Json<Audit>, Problem> {
    let (before, limit) = page.bounds();
    let entries = state.store.audit(None, before, limit).await;
    let entries = entries.map_err(|error| database_problem(&error))?;
    let entries = entries.into_iter().map(Into::into).collect();
    Ok(Json(Audit { entries }))
}
