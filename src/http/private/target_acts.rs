//! `POST /admin/v1/targets/{target}/{pause|resume|retire|retry|replay}`: acts on the brokers that are fed.

use axum::{Json, extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    PrivateState,
    access::Actor,
    acts::{self, ActQuery},
    database_problem,
    query::QueryOf,
};
use crate::{
    domain::Position,
    http::{Problem, body::BodyOf, path::PathOf},
    mirror::{TargetAsked, TargetRefused},
    store::{ReplayFrom, TargetMark, TargetStep},
};

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
        ("Changeover-Actor" = Option<String>, Header, description = "for whom the token's bearer acts, by their own word"),
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
    Actor(actor): Actor,
    body: Result<BodyOf<TargetActBody>, Problem>,
) -> Result<Json<TargetActAnswer>, Problem> {
    if !state.targets.iter().any(|known| known.name == target) {
        return Err(problem(&TargetRefused::UnknownTarget));
    }
    let BodyOf(body) = body?;
    let asked = TargetAsked {
        target,
        step: step(&act, &body)?,
        actor,
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
