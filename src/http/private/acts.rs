//! `POST /admin/v1/modules/{module}/{promote|ramp|rollback|pause|resume|route}`.

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode, header},
};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    PrivateState, caveats, database_problem, known_module,
    modules::{ModuleView, heads_by_module},
    preview::PreviewView,
    query::QueryOf,
};
use crate::{
    cutover::{Asked, Move, Recut, Refused, Route, Step},
    domain::{BasisPoints, Invalid, Members},
    http::{Problem, body::BodyOf, path::PathOf},
};

/// The body of an act.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"reason": "the gates are green"}))]
pub struct ActBody {
    /// Why: goes into the audit. Without control characters.
    #[schema(required = true, value_type = String, pattern = "\\S", max_length = 1024)]
    reason: Option<String>,
    /// For `ramp`, which needs it unless there is a list: the share of clients that are told to push, to a hundredth of a percent.
    /// For `route`: the share that is told the target; absent = all.
    #[serde(default, deserialize_with = "number")]
    #[schema(value_type = Option<f64>, minimum = 0, maximum = 100)]
    percent: Option<serde_json::Number>,
    /// For `ramp`: who is told to push whatever the share, each as `client:ID`, `audience:NAME`, `agent:PATTERN` (with `*` for anything) or
    /// `network:ADDRESS/BITS`. The whole list; absent = as it was.
    #[schema(max_items = 200, example = json!(["client:terminal-0001", "network:10.1.0.0/16"]))]
    include: Option<Vec<String>>,
    /// For `ramp`: who is told to poll in any case, likewise.
    #[schema(max_items = 200)]
    exclude: Option<Vec<String>>,
    /// For `rollback`: an earlier stage; absent = the one before.
    #[schema(pattern = "^(proxy|shadow|mirror|ramp|sunset|retired)$")]
    to: Option<String>,
    /// For `promote`: the module's name again. The step to `retired` needs it, no other step takes it.
    confirm: Option<String>,
    /// For `route`, which needs it: the target that clients are told to connect to.
    target: Option<String>,
}

/// A number where the member is present: null is not nothing, and "all" would be the worst guess.
fn number<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<serde_json::Number>, D::Error> {
    serde_json::Number::deserialize(deserializer).map(Some)
}

/// The query of an act. A misspelt `dry_run` must not become the real act.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ActQuery {
    /// Whether everything is checked and nothing changed.
    #[serde(default)]
    #[param(required = false)]
    pub(super) dry_run: bool,
}

/// The answer to an act.
#[derive(Debug, Serialize, ToSchema)]
pub struct ActAnswer {
    dry_run: bool,
    before: ModuleView,
    after: ModuleView,
    /// What stood in nobody's way and yet should be known.
    warnings: Vec<String>,
    /// Of a dry run: whom it would move.
    #[serde(skip_serializing_if = "Option::is_none")]
    preview: Option<PreviewView>,
}

/// Who acts, by their own word.
const ACTOR: &str = "changeover-actor";

/// What can be done with a module's stage.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
#[expect(dead_code, reason = "it only describes what `change` understands")]
enum Act {
    Promote,
    Ramp,
    Rollback,
    Pause,
    Resume,
    Route,
}

/// Does an act, or tries it with `?dry_run=true`.
#[utoipa::path(
    post, path = "/admin/v1/modules/{module}/{act}", operation_id = "actOnModule", tag = "Cutover",
    params(
        ("module" = String, Path, description = "a configured module"),
        ("act" = inline(Act), Path, description = "what to do"),
        ActQuery,
        ("Changeover-Actor" = Option<String>, Header, description = "who acts, by their own word"),
        ("If-Match" = Option<String>, Header, description = "the `ETag` of the module: the act is refused if it has changed"),
    ),
    request_body = ActBody,
    responses(
        (status = 200, description = "done, or tried", body = ActAnswer),
        (status = 400, description = "the query, the body or `If-Match` is not as it should be, or there is no reason"),
        (status = 404, description = "no such module, or no such act"),
        (status = 409, description = "the module's stage, or its targets, do not allow it"),
        (status = 412, description = "the module has changed since that version"),
        (status = 413, description = "the body is too large"),
        (status = 415, description = "the body is not `application/json`"),
        (status = 500, description = "the database failed in an unexpected way"),
        (status = 503, description = "the database does not answer"),
    )
)]
pub async fn act(
    State(state): State<PrivateState>,
    PathOf((module, act)): PathOf<(String, String)>,
    QueryOf(query): QueryOf<ActQuery>,
    headers: HeaderMap,
    body: Result<BodyOf<ActBody>, Problem>,
) -> Result<Json<ActAnswer>, Problem> {
    let module = known_module(&state.flags, &module)?;
    let BodyOf(body) = body?;
    let asked = Asked {
        change: change(&act, &body)?,
        module,
        actor: actor(&headers),
        reason: body.reason.unwrap_or_default(),
        if_version: if_version(&headers)?,
        dry_run: query.dry_run,
    };
    // Before the act: once it is done, no failed read may make it look undone.
    let heads = heads_by_module(&state).await?;
    let warnings = caveats::of(&state, &asked).await?;
    let done = state.acts.act(asked).await.map_err(|r| problem(&r))?;
    Ok(Json(ActAnswer {
        dry_run: query.dry_run,
        before: ModuleView::new(&state, &done.before, &heads),
        after: ModuleView::new(&state, &done.after, &heads),
        warnings,
        preview: done.preview.map(Into::into),
    }))
}

fn change(act: &str, body: &ActBody) -> Result<Move, Problem> {
    let bad = |detail: String| Problem::new(StatusCode::BAD_REQUEST, detail);
    if let Some(member) = stray_member(act, body) {
        return Err(bad(format!("{member}: means nothing to this act")));
    }
    match act {
        "promote" => {
            let confirm = body.confirm.clone();
            Ok(Move::Step(Step::Promote { confirm }))
        }
        "ramp" => Ok(Move::Step(Step::Ramp(recut(body)?))),
        "rollback" => {
            let to = body.to.as_deref().map(str::parse).transpose();
            let to = to.map_err(|why: Invalid| bad(why.to_string()))?;
            Ok(Move::Step(Step::Rollback(to)))
        }
        "pause" => Ok(Move::Step(Step::Pause)),
        "resume" => Ok(Move::Step(Step::Resume)),
        "route" => {
            let target = body.target.clone();
            Ok(Move::Route(Route {
                target: target.ok_or_else(|| bad("target: is missing".to_owned()))?,
                share: share(body)?.unwrap_or(BasisPoints::ALL),
            }))
        }
        _ => Err(Problem::new(
            StatusCode::NOT_FOUND,
            "a module can be promoted, ramped, rolled back, paused, resumed and routed",
        )),
    }
}

/// Who says `"to": "retired"` with a promotion expects something else than what would happen.
fn stray_member(act: &str, body: &ActBody) -> Option<&'static str> {
    let with_percent = ["ramp", "route"].contains(&act);
    let include = (body.include.is_some() && act != "ramp").then_some("include");
    let exclude = (body.exclude.is_some() && act != "ramp").then_some("exclude");
    let percent = (body.percent.is_some() && !with_percent).then_some("percent");
    let to = (body.to.is_some() && act != "rollback").then_some("to");
    let target = (body.target.is_some() && act != "route").then_some("target");
    let confirm = (body.confirm.is_some() && act != "promote").then_some("confirm");
    let members = [percent, include, exclude, to, target, confirm];
    members.into_iter().flatten().next()
}

fn recut(body: &ActBody) -> Result<Recut, Problem> {
    let list = |entries: &Option<Vec<String>>, name: &str| {
        let list = entries.clone().map(Members::try_from).transpose();
        list.map_err(|invalid: Invalid| {
            Problem::new(StatusCode::BAD_REQUEST, format!("{name}: {}", invalid.why))
        })
    };
    let recut = Recut {
        share: share(body)?,
        include: list(&body.include, "include")?,
        exclude: list(&body.exclude, "exclude")?,
    };
    if recut == Recut::default() {
        return Err(Problem::new(
            StatusCode::BAD_REQUEST,
            "percent: is missing, and there is no list to change either",
        ));
    }
    Ok(recut)
}

fn share(body: &ActBody) -> Result<Option<BasisPoints>, Problem> {
    let share = body
        .percent
        .as_ref()
        .map(|percent| percent.to_string().parse());
    share
        .transpose()
        .map_err(|why: Invalid| Problem::new(StatusCode::BAD_REQUEST, why.to_string()))
}

pub(super) fn actor(headers: &HeaderMap) -> String {
    let name = headers.get(ACTOR).and_then(|name| name.to_str().ok());
    name.filter(|name| !name.trim().is_empty())
        .unwrap_or("unknown")
        .to_owned()
}

/// The version in `If-Match`: `"7"`, as the `ETag` of the module says it. `*` matches any.
fn if_version(headers: &HeaderMap) -> Result<Option<i64>, Problem> {
    let Some(tag) = headers.get(header::IF_MATCH) else {
        return Ok(None);
    };
    let tag = tag.to_str().unwrap_or_default().trim();
    if tag == "*" {
        return Ok(None);
    }
    tag.trim_matches('"').parse().map(Some).map_err(|_| {
        Problem::new(
            StatusCode::BAD_REQUEST,
            "If-Match: must be the version of the module in quotes, as its ETag is",
        )
    })
}

pub(super) fn problem(refused: &Refused) -> Problem {
    let status = match refused {
        Refused::UnknownModule(_) => StatusCode::NOT_FOUND,
        Refused::NoReason | Refused::TooLong { .. } | Refused::NotPlain { .. } => {
            StatusCode::BAD_REQUEST
        }
        Refused::Blocked(_) | Refused::NoRoute(_) => StatusCode::CONFLICT,
        Refused::VersionConflict { .. } => StatusCode::PRECONDITION_FAILED,
        Refused::Store(error) => return database_problem(error),
    };
    Problem::new(status, refused.to_string())
}
