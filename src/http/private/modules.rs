//! `GET /admin/v1/modules` and `…/{module}`: where modules are. Operators look there when something is wrong, so what a replica knows
//! from memory is answered without a database too, and says so.

use axum::{
    Json,
    extract::State,
    http::{HeaderName, header},
};
use serde::Serialize;
use tokio::time::timeout;
use utoipa::ToSchema;

use super::{
    PrivateState, database_problem,
    gates::GateView,
    heads::{Heads, PATIENCE},
    known_module,
    module_view::ModuleView,
    query::{NoQuery, QueryOf},
};
use crate::{
    http::{Problem, path::PathOf},
    store::StageRecord,
};

/// All modules.
#[derive(Debug, Serialize, ToSchema)]
pub struct Modules {
    modules: Vec<ModuleView>,
}

/// Lists the configured modules by name.
#[utoipa::path(
    get, path = "/admin/v1/modules", operation_id = "listModules", tag = "Cutover",
    responses(
        (status = 200, description = "where they are; as far as this replica remembers, while the database does not answer", body = Modules),
        (status = 400, description = "it takes no query"),
        (status = 500, description = "the database failed in an unexpected way"),
        (status = 503, description = "the database does not answer, and has not since the start"),
    )
)]
pub async fn list(
    State(state): State<PrivateState>,
    QueryOf(NoQuery {}): QueryOf<NoQuery>,
) -> Result<Json<Modules>, Problem> {
    let heads = Heads::known(&state).await?;
    let mut names: Vec<_> = state.tail.modules().cloned().collect();
    names.sort_unstable();
    let records = names.iter().filter_map(|name| state.flags.record(name));
    let modules = records
        .map(|record| ModuleView::new(&state, &record, &heads))
        .collect();
    Ok(Json(Modules { modules }))
}

/// One module, with its version as `ETag`.
#[utoipa::path(
    get, path = "/admin/v1/modules/{module}", operation_id = "getModule", tag = "Cutover",
    params(("module" = String, Path, description = "a configured module")),
    responses(
        (status = 200, description = "where it is; as far as this replica remembers, while the database does not answer", body = ModuleView,
            headers(("ETag" = String, description = "its version, for `If-Match`"))),
        (status = 400, description = "it takes no query"),
        (status = 404, description = "no such module"),
        (status = 500, description = "the database failed in an unexpected way"),
        (status = 503, description = "the database does not answer, and has not since the start"),
    )
)]
pub async fn one(
    State(state): State<PrivateState>,
    PathOf(module): PathOf<String>,
    QueryOf(NoQuery {}): QueryOf<NoQuery>,
) -> Result<([(HeaderName, String); 1], Json<ModuleView>), Problem> {
    let module = known_module(&state.flags, &module)?;
    let heads = Heads::known(&state).await?;
    let record = state.flags.record(&module);
    let record = record
        .ok_or_else(|| Problem::new(axum::http::StatusCode::NOT_FOUND, "the module is gone"))?;
    let tag = format!("\"{}\"", record.version);
    let gate = gate(&state, &heads, &record).await?;
    let view = ModuleView::new(&state, &record, &heads).asking(gate);
    Ok(([(header::ETAG, tag)], Json(view)))
}

/// The gate of the next step, if there is one and it can be told at once: what it asks for may cost the database more than everything else
/// that is shown.
async fn gate(
    state: &PrivateState,
    heads: &Heads,
    record: &StageRecord,
) -> Result<Option<GateView>, Problem> {
    if heads.memory().is_some() {
        return Ok(None);
    }
    match timeout(PATIENCE, state.gatekeeper.ahead(record)).await {
        Ok(Ok(gate)) => Ok(gate.as_ref().map(GateView::new)),
        Ok(Err(error)) if error.is_transient() => {
            tracing::warn!(module = %record.module, error = ?error, "a gate cannot be told");
            Ok(None)
        }
        Ok(Err(error)) => Err(database_problem(&error)),
        Err(_elapsed) => {
            tracing::warn!(module = %record.module, "a gate cannot be told in time");
            Ok(None)
        }
    }
}
