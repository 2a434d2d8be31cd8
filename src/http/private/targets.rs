//! `GET /admin/v1/targets`: the brokers that are fed, and how far each is.

use std::collections::HashMap;

use axum::{Json, extract::State};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    PrivateState, database_problem,
    heads::heads_by_module,
    moment::rfc3339,
    query::{NoQuery, QueryOf},
};
use crate::{
    config::mqtt,
    domain::{Cursor, Micros, ModuleName, Position},
    http::Problem,
    store::{Head, TargetCursor, TargetRecord},
};

/// All targets.
#[derive(Debug, Serialize, ToSchema)]
pub struct Targets {
    targets: Vec<FedTarget>,
}

/// A target as operators see it.
#[derive(Debug, Serialize, ToSchema)]
pub struct FedTarget {
    target: String,
    /// What operators want of it.
    #[schema(value_type = String, pattern = "^(active|paused|retired)$")]
    standing: &'static str,
    /// Its host and port.
    address: String,
    protocol: &'static str,
    encoding: &'static str,
    topic_prefix: String,
    /// Whether this replica is connected to it.
    connected: bool,
    /// Why this replica is not connected, if it has tried in vain; else which retained messages the broker refuses, and why; else why no clients can be made there for sessions.
    trouble: Option<Box<str>>,
    /// What is worth to be said of it.
    note: Option<&'static str>,
    version: i64,
    changed_by: String,
    changed_at: Option<String>,
    reason: String,
    /// The modules that it gets.
    modules: Vec<FedModule>,
}

/// How far a target is with a module.
#[derive(Debug, Serialize, ToSchema)]
pub struct FedModule {
    #[schema(value_type = String)]
    module: ModuleName,
    /// Everything up to it was acknowledged; absent while nobody has made its cursor.
    #[schema(value_type = Option<String>)]
    cursor: Option<Cursor>,
    /// Positions of the log above that.
    behind: u64,
    generation: u64,
    /// Whether the cursor stands for nothing, because the target was retired.
    retired: bool,
    /// Why nothing more is sent, if so and if this replica feeds the module.
    halted: Option<String>,
    /// Which changes were left out last, and why, if this replica feeds the module.
    skipped: Option<String>,
}

/// Lists the configured targets.
#[utoipa::path(
    get, path = "/admin/v1/targets", operation_id = "listTargets", tag = "Targets",
    responses(
        (status = 200, description = "how far they are", body = Targets),
        (status = 400, description = "it takes no query"),
        (status = 500, description = "the database failed in an unexpected way"),
        (status = 503, description = "the database does not answer"),
    )
)]
pub async fn list(
    State(state): State<PrivateState>,
    QueryOf(NoQuery {}): QueryOf<NoQuery>,
) -> Result<Json<Targets>, Problem> {
    let records = state.store.target_records().await;
    let records = records.map_err(|error| database_problem(&error))?;
    let heads = heads_by_module(&state).await?;
    let mut targets = Vec::new();
    for target in state.targets.iter() {
        let cursors = state.store.target_cursors(&target.name).await;
        let cursors = cursors.map_err(|error| database_problem(&error))?;
        let record = records.iter().find(|record| record.target == target.name);
        let record = record.cloned();
        let record = record.unwrap_or_else(|| TargetRecord::untouched(&target.name));
        targets.push(view(&state, target, record, &cursors, &heads));
    }
    Ok(Json(Targets { targets }))
}

fn view(
    state: &PrivateState,
    target: &mqtt::Target,
    record: TargetRecord,
    cursors: &[TargetCursor],
    heads: &HashMap<ModuleName, Head>,
) -> FedTarget {
    use crate::domain::Standing;
    let endpoint = target.endpoint();
    let fed = state.mirror.targets().iter();
    let fed = fed.into_iter().find(|fed| fed.name() == target.name);
    let mut modules: Vec<_> = state.tail.modules().filter(|m| target.takes(m)).collect();
    modules.sort();
    let module = |module: &ModuleName| {
        let row = cursors.iter().find(|cursor| cursor.row.module == *module);
        let status = fed.and_then(|fed| fed.module(module));
        let cursor = row.map(|row| row.row.cursor);
        let has = cursor.map_or(Position::ZERO, |cursor| cursor.position);
        let head = heads.get(module).map_or(Position::ZERO, |head| head.head);
        FedModule {
            module: module.clone(),
            cursor,
            behind: head.get().saturating_sub(has.get()),
            generation: row.map_or(0, |row| row.row.generation),
            retired: row.is_some_and(|row| row.retired_at > Micros::default()),
            halted: status.as_ref().and_then(|status| status.halted.clone()),
            skipped: status.and_then(|status| status.skipped),
        }
    };
    FedTarget {
        address: format!("{}:{}", endpoint.host, endpoint.port),
        standing: record.standing.as_str(),
        protocol: target.protocol.as_str(),
        encoding: target.encoding.as_str(),
        topic_prefix: target
            .topic_prefix
            .as_deref()
            .unwrap_or(&state.topic_prefix)
            .to_owned(),
        connected: fed.is_some_and(|fed| fed.connected()),
        trouble: fed.and_then(|fed| fed.trouble()),
        note: (record.standing == Standing::Retired)
            .then_some("retired, but still configured: remove it from mqtt.targets"),
        version: record.version,
        changed_at: (record.version > 0).then(|| rfc3339(record.changed_at)),
        changed_by: record.changed_by,
        reason: record.reason,
        modules: modules.into_iter().map(module).collect(),
        target: record.target,
    }
}
