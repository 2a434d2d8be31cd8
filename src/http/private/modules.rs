//! `GET /admin/v1/modules` and `…/{module}`: where modules are.

use axum::{
    Json,
    extract::State,
    http::{HeaderName, header},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    PrivateState, database_problem,
    gates::GateView,
    heads::heads_by_module,
    known_module,
    module_view::ModuleView,
    query::{NoQuery, QueryOf},
};
use crate::http::{Problem, path::PathOf};

/// All modules.
#[derive(Debug, Serialize, ToSchema)]
pub struct Modules {
    modules: Vec<ModuleView>,
}

/// Lists the configured modules by name.
#[utoipa::path(
    get, path = "/admin/v1/modules", operation_id = "listModules", tag = "Cutover",
    responses(
        (status = 200, description = "where they are", body = Modules),
        (status = 400, description = "it takes no query"),
        (status = 500, description = "the database failed in an unexpected way"),
        (status = 503, description = "the database does not answer"),
    )
)]
pub async fn list(
    State(state): State<PrivateState>,
    QueryOf(NoQuery {}): QueryOf<NoQuery>,
) -> Result<Json<Modules>, Problem> {
    let heads = heads_by_module(&state).await?;
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
        (status = 200, description = "where it is", body = ModuleView,
            headers(("ETag" = String, description = "its version, for `If-Match`"))),
        (status = 400, description = "it takes no query"),
        (status = 404, description = "no such module"),
        (status = 500, description = "the database failed in an unexpected way"),
        (status = 503, description = "the database does not answer"),
    )
)]
pub async fn one(
    State(state): State<PrivateState>,
    PathOf(module): PathOf<String>,
    QueryOf(NoQuery {}): QueryOf<NoQuery>,
) -> Result<([(HeaderName, String); 1], Json<ModuleView>), Problem> {
    let module = known_module(&state.flags, &module)?;
    let heads = heads_by_module(&state).await?;
    let record = state.flags.record(&module);
    let record = record
        .ok_or_else(|| Problem::new(axum::http::StatusCode::NOT_FOUND, "the module is gone"))?;
    let tag = format!("\"{}\"", record.version);
    let gate = state.gatekeeper.ahead(&record).await;
    let gate = gate.map_err(|error| database_problem(&error))?;
    let view = ModuleView::new(&state, &record, &heads).asking(gate.as_ref().map(GateView::new));
    Ok(([(header::ETAG, tag)], Json(view)))
}
