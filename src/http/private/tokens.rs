//! `/admin/v1/tokens`: who may do what at this listener.

use std::time::Duration;

use axum::{
    Json,
    extract::State,
    http::{HeaderName, HeaderValue, StatusCode, header},
};
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
    cutover::check_words,
    http::{Problem, body::BodyOf, path::PathOf},
    identity::operators::{Role, Roles, TokenAsked, TokenRefused},
    store::{TokenRecord, TokenRevoked},
};

/// Longest life of a token that ends, in seconds: ten years.
const LONGEST_S: u64 = 315_360_000;

/// A token that is asked for.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "shop", "roles": ["producer"], "modules": ["commission"], "reason": "the shop's back end"}))]
pub struct TokenBody {
    /// Whose it will be: the audit calls whoever shows it so.
    #[schema(pattern = "^[A-Za-z0-9._@-]{1,64}$")]
    name: String,
    /// What it is to be good for.
    #[schema(value_type = Vec<RoleName>, min_items = 1, max_items = 16)]
    roles: Vec<String>,
    /// For a producer: the only modules that it may hand changes in for. Absent = all.
    #[schema(max_items = 1000)]
    modules: Option<Vec<String>>,
    /// How long it is good, in seconds. Absent = until it is revoked.
    #[schema(minimum = 1, maximum = 315_360_000)]
    expires_in_s: Option<u64>,
    /// Why: goes into the audit. Without control characters.
    #[serde(default)]
    #[schema(required = true, pattern = "\\S", max_length = 1024)]
    reason: String,
}

/// What a token is good for.
#[derive(ToSchema)]
#[schema(as = Role, rename_all = "lowercase")]
#[expect(dead_code, reason = "it only describes how roles are written")]
enum RoleName {
    Viewer,
    Operator,
    Admin,
    Producer,
}

/// The body of a revocation.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"reason": "the laptop is gone"}))]
pub struct RevokeBody {
    /// Why: goes into the audit. Without control characters.
    #[serde(default)]
    #[schema(required = true, pattern = "\\S", max_length = 1024)]
    reason: String,
}

/// A token, without its text.
#[derive(Debug, Serialize, ToSchema)]
pub struct TokenView {
    /// The part of its text that is no secret.
    id: String,
    name: String,
    #[schema(value_type = Vec<RoleName>)]
    roles: Vec<&'static str>,
    /// The only modules that it may hand changes in for; null = all that its roles allow.
    modules: Option<Vec<String>>,
    created_by: String,
    created_at: String,
    expires_at: Option<String>,
    revoked_at: Option<String>,
    /// Whether it is good now.
    in_force: bool,
}

/// All tokens, the newest first; of more than 1,000 the newest.
#[derive(Debug, Serialize, ToSchema)]
pub struct Tokens {
    tokens: Vec<TokenView>,
}

/// A token that was made, or would be.
#[derive(Debug, Serialize, ToSchema)]
pub struct TokenMade {
    dry_run: bool,
    /// Its text. It is told this once only; null = it was only tried.
    token: Option<String>,
    #[serde(flatten)]
    view: TokenView,
}

/// A token that was revoked, or would be.
#[derive(Debug, Serialize, ToSchema)]
pub struct TokenRevokedView {
    dry_run: bool,
    #[serde(flatten)]
    view: TokenView,
}

impl TokenView {
    fn new(state: &PrivateState, record: TokenRecord) -> Self {
        let roles = Roles::stored(&record.roles);
        Self {
            in_force: state.operators.is_in_force(&record),
            id: record.id,
            name: record.name,
            roles: roles.iter().map(Role::as_str).collect(),
            modules: (!record.modules.is_empty()).then_some(record.modules),
            created_by: record.created_by,
            created_at: rfc3339(record.created_at),
            expires_at: record.expires_at.map(rfc3339),
            revoked_at: record.revoked_at.map(rfc3339),
        }
    }
}

/// Shows who may do what here.
#[utoipa::path(
    get, path = "/admin/v1/tokens", operation_id = "listTokens", tag = "Tokens",
    responses(
        (status = 200, description = "all of them, without their texts", body = Tokens),
        (status = 400, description = "it takes no query"),
        (status = 500, description = "the database failed in an unexpected way"),
        (status = 503, description = "the database does not answer"),
    )
)]
pub async fn list(
    State(state): State<PrivateState>,
    QueryOf(NoQuery {}): QueryOf<NoQuery>,
) -> Result<Json<Tokens>, Problem> {
    let all = state.operators.list().await;
    let all = all.map_err(|error| database_problem(&error))?;
    let view = |record| TokenView::new(&state, record);
    let tokens = all.into_iter().map(view).collect();
    Ok(Json(Tokens { tokens }))
}

/// Makes a token.
///
/// Good on the replica that is asked before its answer, elsewhere within a second. Its text is told once only.
#[utoipa::path(
    post, path = "/admin/v1/tokens", operation_id = "createToken", tag = "Tokens",
    params(
        ActQuery,
        ("Changeover-Actor" = Option<String>, Header, description = "for whom the token's bearer acts, by their own word"),
    ),
    request_body = TokenBody,
    responses(
        (status = 200, description = "it was tried", body = TokenMade),
        (status = 201, description = "it was made", body = TokenMade),
        (status = 400, description = "the query or the body is not as it should be, or there is no reason"),
        (status = 409, description = "there are `auth.max_tokens` already"),
        (status = 413, description = "the body is too large"),
        (status = 415, description = "the body is not `application/json`"),
        (status = 500, description = "the database failed in an unexpected way"),
        (status = 503, description = "the database does not answer: none was made"),
    )
)]
pub async fn create(
    State(state): State<PrivateState>,
    QueryOf(query): QueryOf<ActQuery>,
    Actor(actor): Actor,
    body: Result<BodyOf<TokenBody>, Problem>,
) -> Result<(StatusCode, [(HeaderName, HeaderValue); 1], Json<TokenMade>), Problem> {
    let BodyOf(body) = body?;
    check_words(&actor, &body.reason).map_err(|refused| acts::problem(&refused))?;
    let asked = TokenAsked {
        roles: roles(&body.roles)?,
        modules: modules(&state, body.modules)?,
        life: body.expires_in_s.map(life).transpose()?,
        name: body.name,
        actor,
        reason: body.reason,
        dry_run: query.dry_run,
    };
    let made = state.operators.create(asked).await;
    let made = made.map_err(|refused| problem(&refused))?;
    let status = if query.dry_run {
        StatusCode::OK
    } else {
        StatusCode::CREATED
    };
    let not_kept = (header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let answer = TokenMade {
        dry_run: query.dry_run,
        token: made.text.map(|text| text.reveal().to_owned()),
        view: TokenView::new(&state, made.record),
    };
    Ok((status, [not_kept], Json(answer)))
}

/// Takes a token back: refused by the replica that is asked before its answer, elsewhere within a second.
///
/// One that was revoked before stays as it is. The last one in force with the role `admin` is not revoked.
#[utoipa::path(
    delete, path = "/admin/v1/tokens/{id}", operation_id = "revokeToken", tag = "Tokens",
    params(
        ("id" = String, Path, description = "which: the part of its text that is no secret"),
        ActQuery,
        ("Changeover-Actor" = Option<String>, Header, description = "for whom the token's bearer acts, by their own word"),
    ),
    request_body = RevokeBody,
    responses(
        (status = 200, description = "it is refused from now on, or that was tried", body = TokenRevokedView),
        (status = 400, description = "the query or the body is not as it should be, or there is no reason"),
        (status = 404, description = "no such token"),
        (status = 409, description = "nobody could make another one afterwards"),
        (status = 413, description = "the body is too large"),
        (status = 415, description = "the body is not `application/json`"),
        (status = 500, description = "the database failed in an unexpected way"),
        (status = 503, description = "the database does not answer: it was not revoked"),
    )
)]
pub async fn revoke(
    State(state): State<PrivateState>,
    PathOf(id): PathOf<String>,
    QueryOf(query): QueryOf<ActQuery>,
    Actor(actor): Actor,
    body: Result<BodyOf<RevokeBody>, Problem>,
) -> Result<Json<TokenRevokedView>, Problem> {
    let BodyOf(RevokeBody { reason }) = body?;
    check_words(&actor, &reason).map_err(|refused| acts::problem(&refused))?;
    let revoked = TokenRevoked { id, actor, reason };
    let record = state.operators.revoke(revoked, query.dry_run).await;
    let record = record.map_err(|refused| problem(&refused))?;
    Ok(Json(TokenRevokedView {
        dry_run: query.dry_run,
        view: TokenView::new(&state, record),
    }))
}

fn roles(names: &[String]) -> Result<Roles, Problem> {
    let role = |name: &String| name.parse::<Role>();
    let roles: Result<_, _> = names.iter().map(role).collect();
    roles.map_err(|unknown| bad(format!("roles: {unknown}")))
}

fn modules(state: &PrivateState, names: Option<Vec<String>>) -> Result<Vec<String>, Problem> {
    let Some(names) = names else {
        return Ok(Vec::new());
    };
    // An empty list would read as all of them.
    if names.is_empty() {
        return Err(bad("modules: name at least one, or leave it out"));
    }
    for name in &names {
        known_module(&state.flags, name).map_err(|_unknown| {
            let name = name.escape_debug();
            bad(format!("modules: no module `{name}` is configured"))
        })?;
    }
    Ok(names)
}

fn life(seconds: u64) -> Result<Duration, Problem> {
    if !(1..=LONGEST_S).contains(&seconds) {
        return Err(bad(format!("expires_in_s: must be from 1 to {LONGEST_S}")));
    }
    Ok(Duration::from_secs(seconds))
}

fn bad(detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, detail)
}

fn problem(refused: &TokenRefused) -> Problem {
    let status = match refused {
        TokenRefused::Name | TokenRefused::NoRole | TokenRefused::Modules => {
            StatusCode::BAD_REQUEST
        }
        TokenRefused::TooMany(_) | TokenRefused::LastAdmin => StatusCode::CONFLICT,
        TokenRefused::NoSuchToken => StatusCode::NOT_FOUND,
        TokenRefused::Store(error) => return database_problem(error),
    };
    Problem::new(status, refused.to_string())
}
