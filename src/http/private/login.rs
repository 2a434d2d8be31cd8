//! `/v1/login` and `/v1/logout`: sessions of a console, by cookie.
//!
//! Invariant: no page of another origin begins a session in somebody's browser.

use std::{net::IpAddr, sync::Arc};

use axum::{
    Extension, Json,
    body::Bytes,
    extract::{State, rejection::BytesRejection},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    PrivateState,
    access::{self, sender},
    by_cookie::{self, BySession},
    moment::rfc3339,
    query::{NoQuery, QueryOf},
};
use crate::{
    http::{Problem, object::Object, serving::Peer},
    identity::operators::{Operator, Role, SignedIn},
};

/// With what somebody signs in.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"token": "changeover_…"}))]
pub struct LoginBody {
    /// The text of a token.
    token: String,
}

/// Who is known by what was shown.
#[derive(Debug, Serialize, ToSchema)]
pub struct Login {
    /// The name of the token: the audit calls its bearer so.
    name: String,
    /// What it is good for.
    roles: Vec<&'static str>,
    /// What acts by cookie must show in `X-CSRF-Token`; null = a token was shown, which needs none.
    csrf_token: Option<String>,
    /// When the session ends at the latest; null = there is none.
    expires_at: Option<String>,
}

impl Login {
    fn of(operator: &Operator, signed_in: Option<&SignedIn>) -> Self {
        Self {
            name: operator.name.clone(),
            roles: operator.roles.iter().map(Role::as_str).collect(),
            csrf_token: signed_in.map(|session| session.act_token().to_owned()),
            expires_at: signed_in.map(|session| rfc3339(session.expires_at)),
        }
    }
}

/// Begins a session.
///
/// The answer sets a cookie by which a browser is known from then on, on each replica, until `auth.console_session` is over or the token is
/// revoked. Acts by it need `X-CSRF-Token` besides, and must come from a page of this listener. A page of another origin begins none.
#[utoipa::path(
    post, path = "/v1/login", operation_id = "signIn", tag = "Console",
    request_body(content(
        (LoginBody = "application/json"),
        (LoginBody = "application/x-www-form-urlencoded"),
    )),
    responses(
        (status = 200, description = "the session has begun", body = Login,
            headers(("Set-Cookie" = String, description = "`__Host-changeover` by TLS, else `changeover_console`"))),
        (status = 400, description = "the query or the body is not as it should be"),
        (status = 401, description = "the token is not known"),
        (status = 403, description = "a page of another origin asks"),
        (status = 413, description = "the body is too large"),
        (status = 415, description = "the body is neither `application/json` nor `application/x-www-form-urlencoded`"),
        (status = 429, description = "too many wrong tokens came from this address: right ones go on"),
        (status = 503, description = "there is no key yet that could sign it"),
    )
)]
pub async fn begin(
    State(state): State<PrivateState>,
    peer: Option<Extension<Peer>>,
    headers: HeaderMap,
    QueryOf(NoQuery {}): QueryOf<NoQuery>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    if by_cookie::own_page(&headers, state.private_tls) == Some(false) {
        return Err(by_cookie::foreign());
    }
    let body = body.map_err(|why| Problem::new(why.status(), why.body_text()))?;
    let LoginBody { token } = read(&headers, &body)?;
    let from: IpAddr = sender(peer.map(|Extension(peer)| peer));
    let known = state.operators.who_from(from, token.trim());
    let operator = known.map_err(access::not_known)?;
    let signed_in = state.console.sign_in(&operator).ok_or_else(|| {
        let why = "there is no key yet that could sign a session";
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, why).retry_after(super::RETRY_AFTER_SECS)
    })?;
    tracing::info!(token = operator.id, name = operator.name, %from, "somebody has signed in at the console");
    let is_safe = by_cookie::came_by_tls(&headers, state.private_tls);
    let cookie = by_cookie::kept(&signed_in, is_safe);
    let login = Json(Login::of(&operator, Some(&signed_in)));
    Ok(([(header::SET_COOKIE, cookie), not_kept()], login).into_response())
}

/// Tells who one is, and for a session what its acts must show.
#[utoipa::path(
    get, path = "/v1/login", operation_id = "whoAmI", tag = "Console",
    responses(
        (status = 200, description = "who is known by the cookie or the token", body = Login),
        (status = 400, description = "it takes no query"),
    )
)]
pub async fn show(
    Extension(operator): Extension<Arc<Operator>>,
    session: Option<Extension<BySession>>,
    QueryOf(NoQuery {}): QueryOf<NoQuery>,
) -> Response {
    let session = session.map(|Extension(session)| session.signed_in);
    let login = Json(Login::of(&operator, session.as_ref()));
    ([not_kept()], login).into_response()
}

/// Ends a session in this browser.
///
/// The browser forgets its cookie. A copy of it would be good until its time is over: who has lost one revokes the token.
#[utoipa::path(
    post, path = "/v1/logout", operation_id = "signOut", tag = "Console",
    responses(
        (status = 204, description = "the browser forgets it"),
        (status = 400, description = "it takes no query"),
    )
)]
pub async fn end(
    session: Option<Extension<BySession>>,
    QueryOf(NoQuery {}): QueryOf<NoQuery>,
) -> Response {
    let forgotten = session.map(|Extension(session)| by_cookie::forgotten(session.is_safe));
    let mut response = StatusCode::NO_CONTENT.into_response();
    let cookie = forgotten.map(|cookie| (header::SET_COOKIE, cookie));
    response.headers_mut().extend(cookie);
    response
}

/// A page goes back to nothing of this.
fn not_kept() -> (header::HeaderName, HeaderValue) {
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store"))
}

/// What a program or a form of the console sends.
fn read(headers: &HeaderMap, body: &[u8]) -> Result<LoginBody, Problem> {
    let bad = |why: &str| Problem::new(StatusCode::BAD_REQUEST, format!("the body: {why}"));
    let kind = headers.get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    match kind.split(';').next().unwrap_or_default().trim() {
        json if json.eq_ignore_ascii_case("application/json") => {
            let read = serde_json::from_slice(body);
            // What stands in it may be a token, of which nothing is shown.
            let Object(body) = read.map_err(|_why| bad("must be {\"token\": \"…\"}"))?;
            Ok(body)
        }
        form if form.eq_ignore_ascii_case("application/x-www-form-urlencoded") => {
            let mut fields = url::form_urlencoded::parse(body);
            match (fields.next(), fields.next()) {
                (Some((name, token)), None) if name == "token" => Ok(LoginBody {
                    token: token.into_owned(),
                }),
                _ => Err(bad(
                    "must be token=…, or JSON with `Content-Type: application/json`",
                )),
            }
        }
        _ => Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "the body must be application/json or application/x-www-form-urlencoded",
        )),
    }
}
