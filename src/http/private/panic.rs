//! `/admin/v1/panic`: every client, or one module's, is sent back to polling, and let go again.

use axum::{Json, extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    PrivateState,
    access::Actor,
    acts::{self, ActQuery},
    database_problem, known_module,
    moment::rfc3339,
    query::{NoQuery, QueryOf},
};
use crate::{
    cutover::{InForce, PanicAsked, PanicDone, PanicRefused, RaisedBy},
    domain::ModuleName,
    http::{Problem, body::BodyOf},
};

/// The body of a panic, and of its end.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"reason": "the broker loses messages"}))]
pub struct PanicBody {
    /// Why: goes into the audit. Without control characters.
    #[serde(default)]
    #[schema(required = true, pattern = "\\S", max_length = 1024)]
    reason: String,
    /// Over which module; absent = over all.
    module: Option<String>,
}

/// A panic that is in force on this replica.
#[derive(Debug, Serialize, ToSchema)]
pub struct PanicView {
    /// Over which module; null = over all.
    #[schema(value_type = Option<String>)]
    module: Option<ModuleName>,
    /// What holds it: an act, or the file of `panic.file` on this replica.
    #[schema(pattern = "^(act|file)$")]
    by: &'static str,
    /// Who raised it; null if nobody has said so.
    actor: Option<String>,
    reason: String,
    since: String,
    /// Whether the other replicas and a restart know of it.
    stored: bool,
}

impl PanicView {
    /// What is in force over a module, or all that is.
    pub(super) fn over(state: &PrivateState, module: Option<&ModuleName>) -> Vec<Self> {
        let is_over = |one: &InForce| {
            let own = one.module.as_ref();
            own.is_none() || module.is_none() || own == module
        };
        let all = state.panic_acts.in_force().into_iter();
        all.filter(is_over).map(Self::from).collect()
    }
}

impl From<InForce> for PanicView {
    fn from(one: InForce) -> Self {
        let (by, actor, reason, stored) = match one.by {
            RaisedBy::Act {
                actor,
                reason,
                stored,
            } => ("act", Some(actor), reason, stored),
            RaisedBy::File => ("file", None, FILE_REASON.to_owned(), false),
        };
        Self {
            module: one.module,
            by,
            actor,
            reason,
            since: rfc3339(one.since),
            stored,
        }
    }
}

const FILE_REASON: &str =
    "the file of `panic.file` is there on this replica: its removal lifts this";

/// What is in force on this replica.
#[derive(Debug, Serialize, ToSchema)]
pub struct PanicsInForce {
    panics: Vec<PanicView>,
}

/// The answer to an act on a panic.
#[derive(Debug, Serialize, ToSchema)]
pub struct PanicAnswer {
    dry_run: bool,
    /// Whether the database has it.
    stored: bool,
    /// What the act has not reached, for people; null = nothing.
    note: Option<&'static str>,
    /// What was in force on this replica.
    before: Vec<PanicView>,
    /// What is in force on this replica now, or would be.
    after: Vec<PanicView>,
}

const NOT_STORED: &str = "in force on this replica only, and until it ends: the database does not take it, so the other replicas and a restart do \
    not know of it. It is written as soon as the database takes it. Until then make the file of `panic.file` on each replica, or ask each one";
const FILE_STAYS: &str =
    "the file of `panic.file` still holds this replica: it polls until the file is removed";
const OTHERS_STAY: &str = "other panics are still in force, each is lifted by itself";

/// Shows what is in force on the replica that is asked.
#[utoipa::path(
    get, path = "/admin/v1/panic", operation_id = "getPanic", tag = "Cutover",
    responses(
        (status = 200, description = "what sends clients back to polling; empty = nothing", body = PanicsInForce),
        (status = 400, description = "it takes no query"),
    )
)]
pub async fn show(
    State(state): State<PrivateState>,
    QueryOf(NoQuery {}): QueryOf<NoQuery>,
) -> Json<PanicsInForce> {
    Json(PanicsInForce {
        panics: PanicView::over(&state, None),
    })
}

/// Tells every client, or those of one module, to poll.
///
/// In force on the replica that is asked before its answer, elsewhere within a second, and over restarts, until it is lifted.
/// Raising one that is in force changes nothing.
#[utoipa::path(
    post, path = "/admin/v1/panic", operation_id = "panic", tag = "Cutover",
    params(
        ActQuery,
        ("Changeover-Actor" = Option<String>, Header, description = "for whom the token's bearer acts, by their own word"),
    ),
    request_body = PanicBody,
    responses(
        (status = 200, description = "in force, or tried", body = PanicAnswer),
        (status = 202, description = "in force on this replica only: the database does not take it, and is tried again", body = PanicAnswer),
        (status = 400, description = "the query or the body is not as it should be, or there is no reason"),
        (status = 404, description = "no such module"),
        (status = 413, description = "the body is too large"),
        (status = 415, description = "the body is not `application/json`"),
    )
)]
pub async fn raise(
    State(state): State<PrivateState>,
    QueryOf(query): QueryOf<ActQuery>,
    Actor(actor): Actor,
    body: Result<BodyOf<PanicBody>, Problem>,
) -> Result<(StatusCode, Json<PanicAnswer>), Problem> {
    let asked = asked(&state, &query, actor, body)?;
    let done = state.panic_acts.raise(asked).await;
    let done = done.map_err(|refused| problem(&refused))?;
    let (status, note) = if done.stored {
        (StatusCode::OK, None)
    } else {
        (StatusCode::ACCEPTED, Some(NOT_STORED))
    };
    Ok((status, Json(answer(query.dry_run, note, done))))
}

/// Lifts the panic over all modules, or the one over a module: clients are told again what engineers asked for.
///
/// Others stay, and so does what the file of a replica holds.
#[utoipa::path(
    delete, path = "/admin/v1/panic", operation_id = "liftPanic", tag = "Cutover",
    params(
        ActQuery,
        ("Changeover-Actor" = Option<String>, Header, description = "for whom the token's bearer acts, by their own word"),
    ),
    request_body = PanicBody,
    responses(
        (status = 200, description = "lifted, or tried", body = PanicAnswer),
        (status = 400, description = "the query or the body is not as it should be, or there is no reason"),
        (status = 404, description = "no such module"),
        (status = 409, description = "there is none to lift, or what holds is another one, or a file"),
        (status = 413, description = "the body is too large"),
        (status = 415, description = "the body is not `application/json`"),
        (status = 500, description = "the database failed in an unexpected way"),
        (status = 503, description = "the database does not answer: nothing is lifted"),
    )
)]
pub async fn lift(
    State(state): State<PrivateState>,
    QueryOf(query): QueryOf<ActQuery>,
    Actor(actor): Actor,
    body: Result<BodyOf<PanicBody>, Problem>,
) -> Result<Json<PanicAnswer>, Problem> {
    let asked = asked(&state, &query, actor, body)?;
    let done = state.panic_acts.lift(asked).await;
    let done = done.map_err(|refused| problem(&refused))?;
    let by_file = done.after.iter().any(|one| one.by == RaisedBy::File);
    let note = match (by_file, done.after.is_empty()) {
        (true, _) => Some(FILE_STAYS),
        (false, false) => Some(OTHERS_STAY),
        (false, true) => None,
    };
    Ok(Json(answer(query.dry_run, note, done)))
}

fn asked(
    state: &PrivateState,
    query: &ActQuery,
    actor: String,
    body: Result<BodyOf<PanicBody>, Problem>,
) -> Result<PanicAsked, Problem> {
    let BodyOf(body) = body?;
    let module = body.module.as_deref();
    let module = module.map(|name| known_module(&state.flags, name));
    Ok(PanicAsked {
        module: module.transpose()?,
        actor,
        reason: body.reason,
        dry_run: query.dry_run,
    })
}

fn answer(dry_run: bool, note: Option<&'static str>, done: PanicDone) -> PanicAnswer {
    let views = |all: Vec<InForce>| all.into_iter().map(PanicView::from).collect();
    PanicAnswer {
        dry_run,
        stored: done.stored,
        note,
        before: views(done.before),
        after: views(done.after),
    }
}

fn problem(refused: &PanicRefused) -> Problem {
    match refused {
        PanicRefused::Words(words) => acts::problem(words),
        PanicRefused::Store(error) => database_problem(error),
        PanicRefused::NothingToLift(_) | PanicRefused::OverAll(_) | PanicRefused::ByFile(_) => {
            Problem::new(StatusCode::CONFLICT, refused.to_string())
        }
    }
}
