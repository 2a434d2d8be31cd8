//! `GET /admin/v1/modules`, `…/{module}` and `…/{module}/history`: where modules are and how they
//! got there.

use std::{collections::HashMap, time::SystemTime};

use axum::{
    Json,
    extract::State,
    http::{HeaderName, header},
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    PrivateState,
    clients::ClientsView,
    database_problem,
    gates::{ForcedView, GateView},
    guard::GuardView,
    known_module,
    panic::PanicView,
    query::QueryOf,
    rates::RatesView,
    verified::VerifiedView,
};
use crate::{
    domain::{BasisPoints, Micros, ModuleName},
    http::{Problem, path::PathOf},
    mirror,
    store::{AuditEntry, Head, StageRecord},
    telemetry::Purpose,
};

/// A module as operators see it.
#[derive(Debug, Serialize, ToSchema)]
pub struct ModuleView {
    #[schema(value_type = String)]
    module: ModuleName,
    /// What engineers asked for.
    stage_requested: &'static str,
    /// What is in force.
    stage_effective: &'static str,
    /// Why that is in force, as clients are told: a stable word.
    effective_reason: &'static str,
    /// What sends its clients back to polling.
    panics: Vec<PanicView>,
    /// The guard of each of its targets; empty if there are none.
    guard: Vec<GuardView>,
    /// Why engineers asked for the stage.
    reason: String,
    /// The share of the clients that are told to push at `ramp`.
    percent: f64,
    /// Who is told to push at `ramp` whatever the share.
    include: Vec<String>,
    /// Who is told to poll at `ramp` in any case.
    exclude: Vec<String>,
    /// Which share of the clients is told to connect to which target; empty if none gets the module.
    routes: Vec<RouteView>,
    /// When the polls are to end, if that is planned; else `[modules.sunset]` says it.
    ends_at: Option<String>,
    /// When polls are refused for a while at `sunset`, in UTC.
    brownouts: Vec<String>,
    /// Whose polls are refused at `sunset`.
    block: Vec<String>,
    paused: bool,
    version: i64,
    changed_by: String,
    changed_at: Option<String>,
    epoch: u32,
    head: u64,
    retained_from: u64,
    lease_holder: Option<String>,
    /// Its clients, as last counted; null before the first count, or without a census.
    clients: Option<ClientsView>,
    /// What the next step forward asks for, if there is one. Only where one module is asked for by its name.
    gate: Option<GateView>,
    /// What was overridden to come to this stage.
    forced: Option<ForcedView>,
    /// The targets that this replica feeds with the module; empty if another replica does.
    targets: Vec<TargetView>,
    /// How fast it is used on this replica; null in the first moments of a process.
    rates: Option<RatesView>,
}

/// A share of a module's clients.
#[derive(Debug, Serialize, ToSchema)]
pub struct RouteView {
    target: String,
    percent: f64,
}

/// One target of a module.
#[derive(Debug, Serialize, ToSchema)]
pub struct TargetView {
    target: String,
    connected: bool,
    position: u64,
    behind: u64,
    lag_ms: u64,
    generation: u64,
    halted: Option<String>,
    skipped: Option<String>,
    /// What a subscriber of the target has found; absent without a verifier.
    verified: Option<VerifiedView>,
}

impl TargetView {
    fn all(state: &PrivateState, module: &ModuleName) -> Vec<Self> {
        let now = SystemTime::now().into();
        let targets = state.mirror.targets().iter();
        let view = |target: &std::sync::Arc<mirror::TargetStatus>| {
            let status = target.module(module)?;
            Some(Self {
                target: target.name().to_owned(),
                connected: target.connected(),
                position: status.acknowledged.position.get(),
                behind: status.behind,
                lag_ms: u64::try_from(status.lag(now).as_millis()).unwrap_or(u64::MAX),
                generation: status.generation,
                halted: status.halted,
                skipped: status.skipped,
                verified: VerifiedView::new(target.verification(), module),
            })
        };
        targets.filter_map(view).collect()
    }
}

impl ModuleView {
    pub(super) fn new(
        state: &PrivateState,
        record: &StageRecord,
        heads: &HashMap<ModuleName, Head>,
    ) -> Self {
        let evaluation = state.adviser.evaluate_record(record);
        let head = heads.get(&record.module);
        Self {
            module: record.module.clone(),
            stage_requested: record.stage.as_str(),
            stage_effective: evaluation.effective.as_str(),
            effective_reason: evaluation.reason,
            panics: PanicView::over(state, Some(&record.module)),
            guard: GuardView::all(state, &record.module),
            reason: record.reason.clone(),
            percent: percent(record.cohort.basis_points),
            include: record.cohort.include.entries().collect(),
            exclude: record.cohort.exclude.entries().collect(),
            routes: routes(state, record),
            ends_at: record.ending.at.map(rfc3339),
            brownouts: record.ending.brownouts.entries().collect(),
            block: record.ending.block.entries().collect(),
            paused: record.paused,
            version: record.version,
            changed_by: record.changed_by.clone(),
            changed_at: (record.version > 0).then(|| rfc3339(record.changed_at)),
            epoch: head.map_or(1, |head| head.epoch.get()),
            head: head.map_or(0, |head| head.head.get()),
            retained_from: head.map_or(1, |head| head.retained_from.get()),
            lease_holder: head
                .filter(|head| !head.lease_vacant)
                .and_then(|head| head.lease_holder.clone()),
            clients: ClientsView::of(state, &record.module),
            gate: None,
            forced: ForcedView::new(record),
            targets: TargetView::all(state, &record.module),
            rates: RatesView::new(state, &record.module),
        }
    }
}

fn routes(state: &PrivateState, record: &StageRecord) -> Vec<RouteView> {
    let first = state.routes.first(&record.module);
    let shares = first.map(|first| record.routing.shares(first));
    let view = |(target, share): (&str, BasisPoints)| RouteView {
        target: target.to_owned(),
        percent: percent(share),
    };
    shares.unwrap_or_default().into_iter().map(view).collect()
}

fn percent(share: BasisPoints) -> f64 {
    f64::from(share.get()) / 100.0
}

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
        (status = 500, description = "the database failed in an unexpected way"),
        (status = 503, description = "the database does not answer"),
    )
)]
pub async fn list(State(state): State<PrivateState>) -> Result<Json<Modules>, Problem> {
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
        (status = 404, description = "no such module"),
        (status = 500, description = "the database failed in an unexpected way"),
        (status = 503, description = "the database does not answer"),
    )
)]
pub async fn one(
    State(state): State<PrivateState>,
    PathOf(module): PathOf<String>,
) -> Result<([(HeaderName, String); 1], Json<ModuleView>), Problem> {
    let module = known_module(&state.flags, &module)?;
    let heads = heads_by_module(&state).await?;
    let record = state.flags.record(&module);
    let record = record
        .ok_or_else(|| Problem::new(axum::http::StatusCode::NOT_FOUND, "the module is gone"))?;
    let tag = format!("\"{}\"", record.version);
    let gate = state.gatekeeper.ahead(&record).await;
    let gate = gate.map_err(|error| database_problem(&error))?;
    let view = ModuleView {
        gate: gate.as_ref().map(GateView::new),
        ..ModuleView::new(&state, &record, &heads)
    };
    Ok(([(header::ETAG, tag)], Json(view)))
}

pub(super) async fn heads_by_module(
    state: &PrivateState,
) -> Result<HashMap<ModuleName, Head>, Problem> {
    let heads = state.store.heads(Purpose::Flags).await;
    let heads = heads.map_err(|error| database_problem(&error))?;
    Ok(heads
        .into_iter()
        .map(|head| (head.module.clone(), head))
        .collect())
}

/// Which page of the history.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct HistoryQuery {
    /// The id of the last entry of the page before.
    before: Option<i64>,
    /// Most entries of the page, up to 1000.
    #[serde(default = "page_entries")]
    #[param(required = false, default = 50)]
    limit: u32,
}

const fn page_entries() -> u32 {
    50
}

const MOST_ENTRIES: u32 = 1_000;

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
    let limit = page.limit.clamp(1, MOST_ENTRIES);
    let entries = state.store.audit(Some(&module), page.before, limit).await;
    let entries = entries.map_err(|error| database_problem(&error))?;
    let entries = entries.into_iter().map(Into::into).collect();
    Ok(Json(History { entries }))
}

pub(super) fn rfc3339(time: Micros) -> String {
    humantime::format_rfc3339_micros(SystemTime::from(time)).to_string()
}
