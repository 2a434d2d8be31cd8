//! `GET /admin/v1/targets` and `POST /admin/v1/targets/{target}/{pause|resume|retire|retry|replay}`: the brokers that are fed,
//! how far each is, and acts on them.

use std::collections::HashMap;

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    PrivateState,
    acts::{self, ActQuery},
    database_problem,
    heads::heads_by_module,
    moment::rfc3339,
    query::{NoQuery, QueryOf},
};
use crate::{
    config::mqtt,
    domain::{Cursor, Micros, ModuleName, Position},
    http::{Problem, body::BodyOf, path::PathOf},
    mirror::{TargetAsked, TargetRefused},
    store::{Head, ReplayFrom, TargetCursor, TargetMark, TargetRecord, TargetStep},
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
    /// Why this replica is not connected, if it has tried in vain.
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

/// The body of an act.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"reason": "the broker is being replaced"}))]
pub struct TargetActBody {
    /// Why: goes into the audit. Without control characters.
    #[serde(default)]
    #[schema(required = true, pattern = "\\S", max_length = 1024)]
    reason: String,
    /// For `resume`: from the heads of the logs, leaving out what the target has not got.
    at_head: Option<bool>,
    /// For `replay`, which needs it: the module.
    module: Option<String>,
    /// For `replay`, which needs it: a cursor, or a position of the present epoch. What comes after it is sent again.
    from: Option<String>,
}

/// The answer to an act on a target.
#[derive(Debug, Serialize, ToSchema)]
pub struct TargetActAnswer {
    dry_run: bool,
    #[schema(value_type = TargetMarkView)]
    before: TargetMark,
    #[schema(value_type = TargetMarkView)]
    after: TargetMark,
}

/// A target before or after an act.
#[derive(ToSchema)]
#[schema(as = TargetMark)]
#[expect(dead_code, reason = "it only describes how a `TargetMark` is written")]
struct TargetMarkView {
    target: String,
    #[schema(pattern = "^(active|paused|retired)$")]
    standing: String,
    version: i64,
    changed_by: String,
    /// In microseconds since 1970.
    changed_at: i64,
    reason: String,
    /// The cursors that the act moves.
    cursors: Vec<CursorMarkView>,
}

/// A cursor that an act moves.
#[derive(ToSchema)]
#[schema(as = CursorMark)]
#[expect(dead_code, reason = "it only describes how a `CursorMark` is written")]
struct CursorMarkView {
    module: String,
    cursor: String,
    generation: u64,
}

/// What can be done with a target.
#[derive(ToSchema)]
#[schema(as = TargetActName, rename_all = "lowercase")]
#[expect(dead_code, reason = "it only describes what `step` understands")]
enum ActName {
    Pause,
    Resume,
    Retire,
    Retry,
    Replay,
}

/// Does an act on a target, or tries it with `?dry_run=true`.
#[utoipa::path(
    post, path = "/admin/v1/targets/{target}/{act}", operation_id = "actOnTarget", tag = "Targets",
    params(
        ("target" = String, Path, description = "a configured target"),
        ("act" = inline(ActName), Path, description = "what to do"),
        ActQuery,
        ("Changeover-Actor" = Option<String>, Header, description = "who acts, by their own word"),
    ),
    request_body = TargetActBody,
    responses(
        (status = 200, description = "done, or tried", body = TargetActAnswer),
        (status = 400, description = "the query or the body is not as it should be, or there is no reason"),
        (status = 404, description = "no such target, or no such act"),
        (status = 409, description = "the target or the log does not allow it"),
        (status = 413, description = "the body is too large"),
        (status = 415, description = "the body is not `application/json`"),
        (status = 500, description = "the database failed in an unexpected way"),
        (status = 503, description = "the database does not answer"),
    )
)]
pub async fn act(
    State(state): State<PrivateState>,
    PathOf((target, act)): PathOf<(String, String)>,
    QueryOf(query): QueryOf<ActQuery>,
    headers: HeaderMap,
    body: Result<BodyOf<TargetActBody>, Problem>,
) -> Result<Json<TargetActAnswer>, Problem> {
    if !state.targets.iter().any(|known| known.name == target) {
        return Err(problem(&TargetRefused::UnknownTarget));
    }
    let BodyOf(body) = body?;
    let asked = TargetAsked {
        target,
        step: step(&act, &body)?,
        actor: acts::actor(&headers),
        reason: body.reason,
        dry_run: query.dry_run,
    };
    let acted = state.target_acts.act(asked).await;
    let acted = acted.map_err(|refused| problem(&refused))?;
    Ok(Json(TargetActAnswer {
        dry_run: query.dry_run,
        before: acted.before,
        after: acted.after,
    }))
}

fn step(act: &str, body: &TargetActBody) -> Result<TargetStep, Problem> {
    let bad = |detail: String| Problem::new(StatusCode::BAD_REQUEST, detail);
    if let Some(member) = stray_member(act, body) {
        return Err(bad(format!("{member}: means nothing to this act")));
    }
    let at_head = body.at_head.unwrap_or(false);
    match act {
        "pause" => Ok(TargetStep::Pause),
        "resume" => Ok(TargetStep::Resume { at_head }),
        "retire" => Ok(TargetStep::Retire),
        "retry" => Ok(TargetStep::Retry),
        "replay" => {
            let missing = |member: &str| bad(format!("{member}: is missing"));
            let module = body.module.as_deref().ok_or_else(|| missing("module"))?;
            let from = body.from.as_deref().ok_or_else(|| missing("from"))?;
            Ok(TargetStep::Replay {
                module: module.parse().map_err(|why| bad(format!("{why}")))?,
                from: replay_from(from).ok_or_else(|| {
                    bad("from: must be a cursor, or a position of the present epoch".to_owned())
                })?,
            })
        }
        _ => Err(Problem::new(
            StatusCode::NOT_FOUND,
            "a target can be paused, resumed, retired, retried and replayed",
        )),
    }
}

/// A position is digits only: a cursor has an underscore.
fn replay_from(text: &str) -> Option<ReplayFrom> {
    if let Ok(cursor) = text.parse() {
        return Some(ReplayFrom::Cursor(cursor));
    }
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let position: i64 = text.parse().ok().filter(|_| digits)?;
    Some(ReplayFrom::Position(Position::from_i64(position)))
}

/// Who gives a module with a pause expects something else than what would happen.
fn stray_member(act: &str, body: &TargetActBody) -> Option<&'static str> {
    let at_head = (body.at_head.is_some() && act != "resume").then_some("at_head");
    let module = (body.module.is_some() && act != "replay").then_some("module");
    let from = (body.from.is_some() && act != "replay").then_some("from");
    at_head.or(module).or(from)
}

fn problem(refused: &TargetRefused) -> Problem {
    let status = match refused {
        TargetRefused::UnknownTarget => StatusCode::NOT_FOUND,
        TargetRefused::NotItsModule(_)
        | TargetRefused::HasClients(_)
        | TargetRefused::LastTarget(_)
        | TargetRefused::Blocked(_) => StatusCode::CONFLICT,
        TargetRefused::Words(words) => return acts::problem(words),
        TargetRefused::Store(error) => return database_problem(error),
    };
    Problem::new(status, refused.to_string())
}
