//! `POST /admin/v1/modules/{module}/{promote|ramp|sunset|rollback|pause|resume|route}`.

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode, header},
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    PrivateState,
    access::Actor,
    act_body::ActBody,
    caveats, database_problem,
    gates::{self, GateView},
    heads::Heads,
    known_module,
    module_view::ModuleView,
    preview::PreviewView,
    query::QueryOf,
};
use crate::{
    cutover::{Asked, Refused},
    http::{Problem, body::BodyOf, path::PathOf},
};

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
    /// Of a step forward, or of more clients at `ramp`: what was asked before it.
    #[serde(skip_serializing_if = "Option::is_none")]
    gate: Option<GateView>,
}

/// What can be done with a module's stage.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
#[expect(
    dead_code,
    reason = "it only describes what `ActBody::asks_for` understands"
)]
enum Act {
    Promote,
    Ramp,
    Sunset,
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
        ("Changeover-Actor" = Option<String>, Header, description = "for whom the token's bearer acts, by their own word"),
        ("If-Match" = Option<String>, Header, description = "the `ETag` of the module: the act is refused if it has changed"),
    ),
    request_body = ActBody,
    responses(
        (status = 200, description = "done, or tried", body = ActAnswer),
        (status = 400, description = "the query, the body or `If-Match` is not as it should be, or there is no reason"),
        (status = 404, description = "no such module, or no such act"),
        (status = 409, description = "the module's stage, its targets, or the gate of the step do not allow it; a gate is in the member `gate`"),
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
    Actor(actor): Actor,
    headers: HeaderMap,
    body: Result<BodyOf<ActBody>, Problem>,
) -> Result<Json<ActAnswer>, Problem> {
    let module = known_module(&state.flags, &module)?;
    let BodyOf(body) = body?;
    let asked = Asked {
        change: body.asks_for(&act)?,
        module,
        actor,
        reason: body.reason.unwrap_or_default(),
        if_version: if_version(&headers)?,
        dry_run: query.dry_run,
        force: body.force,
    };
    // Before the act: once it is done, no failed read may make it look undone.
    let heads = Heads::read(&state).await?;
    let mut warnings = caveats::of(&state, &asked).await?;
    let done = state.acts.act(asked).await.map_err(|r| problem(&r))?;
    if let Some(gate) = &done.gate {
        warnings.extend(gate.unmet().map(ToString::to_string));
        warnings.extend(gate.caveats.iter().cloned());
    }
    Ok(Json(ActAnswer {
        dry_run: query.dry_run,
        before: ModuleView::new(&state, &done.before, &heads),
        after: ModuleView::new(&state, &done.after, &heads),
        warnings,
        preview: done.preview.map(Into::into),
        gate: done.gate.as_ref().map(GateView::new),
    }))
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
        Refused::Blocked(_) | Refused::NoRoute(_) | Refused::NothingFed { .. } => {
            StatusCode::CONFLICT
        }
        Refused::Gated { gate } => return gates::not_passed(gate, refused.to_string()),
        Refused::VersionConflict { .. } => StatusCode::PRECONDITION_FAILED,
        Refused::Store(error) => return database_problem(error),
    };
    Problem::new(status, refused.to_string())
}
