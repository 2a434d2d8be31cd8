//! Who may do what at this listener: one table, and the layer that asks.
//!
//! Invariant: what the table does not name is an admin's alone, so that a route nobody thought of is closed and not open.

use std::{
    borrow::Cow,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

use axum::{
    extract::{
        FromRequestParts, MatchedPath, RawPathParams, Request, State,
        rejection::RawPathParamsRejection,
    },
    http::{HeaderMap, HeaderValue, Method, StatusCode, header, request::Parts},
    middleware::Next,
    response::{IntoResponse, Response},
};
use base64::prelude::{BASE64_STANDARD, Engine};

use super::by_cookie::{self, BySession};
use crate::{
    http::{Problem, serving::Peer},
    identity::operators::{Console, NotKnown, NotSignedIn, Operator, Operators, Role},
    telemetry::metric,
};

/// What somebody must be to be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Need {
    /// Nobody is asked: whoever watches over the process, and brokers, whose path is their secret.
    Nothing,
    /// Metrics, which may be open.
    Metrics,
    /// Anybody with a token.
    Token,
    /// Somebody with a token of a role that includes this one.
    Role(Role),
    /// Somebody who may hand in changes of the module in the path.
    Produce,
}

const VIEW: Need = Need::Role(Role::Viewer);
const ACT: Need = Need::Role(Role::Operator);
const ADMIN: Need = Need::Role(Role::Admin);

/// The hooks of brokers.
const BROKERS: &str = "/broker/";

/// What is asked of whom, in the order of the router. `HEAD` is as `GET`.
const NEEDS: [(&str, &str, Need); 31] = [
    // The token is in its body.
    ("POST", "/v1/login", Need::Nothing),
    ("GET", "/v1/login", Need::Token),
    ("POST", "/v1/logout", Need::Token),
    ("GET", "/admin/v1/modules", VIEW),
    ("GET", "/admin/v1/modules/{module}", VIEW),
    ("GET", "/admin/v1/modules/{module}/history", VIEW),
    ("POST", "/admin/v1/modules/{module}/compact", ACT),
    ("POST", "/admin/v1/modules/{module}/epoch", ADMIN),
    // It asks a question, which delivery tools put with the least of tokens.
    ("POST", "/admin/v1/modules/{module}/gates", VIEW),
    ("POST", "/admin/v1/modules/{module}/{act}", ACT),
    ("GET", "/admin/v1/panic", VIEW),
    ("POST", "/admin/v1/panic", ACT),
    ("DELETE", "/admin/v1/panic", ACT),
    ("GET", "/admin/v1/census", VIEW),
    ("GET", "/admin/v1/instances", VIEW),
    ("GET", "/admin/v1/savings", VIEW),
    ("GET", "/admin/v1/targets", VIEW),
    ("POST", "/admin/v1/targets/{target}/{act}", ACT),
    ("GET", "/admin/v1/outbox/rejected", VIEW),
    ("POST", "/admin/v1/outbox/rejected/retry", ACT),
    ("POST", "/admin/v1/outbox/rejected/drop", ACT),
    // It names tokens.
    ("GET", "/admin/v1/audit", ADMIN),
    ("GET", "/admin/v1/tokens", ADMIN),
    ("POST", "/admin/v1/tokens", ADMIN),
    ("DELETE", "/admin/v1/tokens/{id}", ADMIN),
    ("POST", "/v1/modules/{module}/changes", Need::Produce),
    ("GET", "/metrics", Need::Metrics),
    ("GET", "/healthz", Need::Nothing),
    ("GET", "/readyz", Need::Nothing),
    ("GET", "/openapi.json", Need::Token),
    ("GET", "/asyncapi.json", Need::Token),
];

fn need(method: &Method, path: &str) -> Need {
    if path.starts_with(BROKERS) {
        return Need::Nothing;
    }
    let method = if method == Method::HEAD {
        "GET"
    } else {
        method.as_str()
    };
    let known = NEEDS
        .iter()
        .find(|(of, at, _)| (*of, *at) == (method, path));
    known.map_or(ADMIN, |(_, _, need)| *need)
}

/// Whom this listener knows.
#[derive(Clone)]
pub(super) struct Door {
    pub(super) operators: Arc<Operators>,
    pub(super) console: Arc<Console>,
    pub(super) metrics_open: bool,
    /// Whether the listener itself speaks TLS.
    pub(super) is_tls: bool,
}

impl Door {
    /// What a request needs here.
    fn need(&self, method: &Method, path: &str) -> Need {
        match need(method, path) {
            Need::Metrics if self.metrics_open => Need::Nothing,
            Need::Metrics => VIEW,
            need => need,
        }
    }

    /// Whom an endpoint asks for, in words; nothing if it asks nobody.
    pub(super) fn asks_for(&self, method: &Method, path: &str) -> Option<String> {
        match self.need(method, path) {
            Need::Nothing => None,
            Need::Token => Some("any token".to_owned()),
            Need::Metrics => Some(asks_for(Role::Viewer)),
            Need::Role(role) => Some(asks_for(role)),
            Need::Produce => Some(asks_for(Role::Producer)),
        }
    }
}

fn asks_for(role: Role) -> String {
    format!("a token of a role that includes `{role}`")
}

/// Lets a request pass whose bearer may do what it asks for. What no route matches is not asked: there is nothing behind it.
pub(super) async fn check(
    State(door): State<Door>,
    route: Option<MatchedPath>,
    names: Result<RawPathParams, RawPathParamsRejection>,
    mut request: Request,
    next: Next,
) -> Response {
    let Some(route) = route else {
        return next.run(request).await;
    };
    let need = door.need(request.method(), route.as_str());
    if need == Need::Nothing {
        return next.run(request).await;
    }
    let bearer = match door.bearer(&mut request) {
        Ok(bearer) => bearer,
        Err(refused) => return refused.into_response(),
    };
    let names = names.ok();
    let module = names.iter().flatten().find(|(name, _)| *name == "module");
    if let Err(refused) = allow(&bearer, need, module.map(|(_, module)| module)) {
        return refused.into_response();
    }
    request.extensions_mut().insert(bearer);
    next.run(request).await
}

impl Door {
    /// Who shows a token, or the cookie of a session if no token is shown.
    fn bearer(&self, request: &mut Request) -> Result<Arc<Operator>, Problem> {
        let from = sender(request.extensions().get().copied());
        if request.headers().contains_key(header::AUTHORIZATION) {
            return self.by_token(request.headers(), from);
        }
        let Some(shown) = by_cookie::shown(request.headers(), self.is_tls) else {
            return Err(unauthorized(NO_TOKEN, CHALLENGE));
        };
        let is_safe = shown.is_safe;
        let signed_in = self.console.who_from(from, shown.cookie);
        let signed_in = signed_in.map_err(not_signed_in)?;
        by_cookie::may_act(request.method(), request.headers(), &signed_in, self.is_tls)?;
        let operator = Arc::clone(&signed_in.operator);
        let session = BySession { signed_in, is_safe };
        request.extensions_mut().insert(session);
        Ok(operator)
    }

    fn by_token(&self, headers: &HeaderMap, from: IpAddr) -> Result<Arc<Operator>, Problem> {
        let mut sent = headers.get_all(header::AUTHORIZATION).iter();
        let shown = match (sent.next(), sent.next()) {
            (Some(shown), None) => shown.to_str().ok().and_then(token_in),
            _ => None,
        };
        let token = shown.ok_or_else(|| unauthorized(NO_TOKEN, CHALLENGE))?;
        let known = self.operators.who_from(from, token.trim());
        known.map_err(not_known)
    }
}

/// Where a request comes from. One from nowhere has no connection.
pub(super) fn sender(peer: Option<Peer>) -> IpAddr {
    peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |Peer(address)| address)
}

/// The refusal of a token, which is counted.
pub(super) fn not_known(unknown: NotKnown) -> Problem {
    metrics::counter!(metric::TOKENS_REFUSED, "why" => label(unknown)).increment(1);
    match unknown {
        NotKnown::TooMany { retry_after_s } => slower(&unknown.to_string(), retry_after_s),
        _ => unauthorized(&unknown.to_string(), INVALID),
    }
}

fn not_signed_in(refused: NotSignedIn) -> Problem {
    let why = match refused {
        NotSignedIn::Forged => "session-forged",
        NotSignedIn::Expired => "session-expired",
        NotSignedIn::TokenGone => "session-token-gone",
        NotSignedIn::TooMany { .. } => "too-many",
    };
    metrics::counter!(metric::TOKENS_REFUSED, "why" => why).increment(1);
    match refused {
        NotSignedIn::TooMany { retry_after_s } => slower(&refused.to_string(), retry_after_s),
        _ => unauthorized(&refused.to_string(), CHALLENGE),
    }
}

fn slower(why: &str, retry_after_s: u32) -> Problem {
    Problem::new(StatusCode::TOO_MANY_REQUESTS, why).retry_after(retry_after_s)
}

/// The token of a header: as it is, or as the password of whatever user, since some tools can put nothing but a user and a password
/// into an address.
fn token_in(shown: &str) -> Option<Cow<'_, str>> {
    let (scheme, shown) = shown.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(Cow::Borrowed(shown));
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let pair = BASE64_STANDARD.decode(shown.trim()).ok()?;
    let pair = String::from_utf8(pair).ok()?;
    let (_user, password) = pair.split_once(':')?;
    Some(Cow::Owned(password.to_owned()))
}

const NO_TOKEN: &str = "this needs a token, as `Authorization: Bearer …`: see `changeover token`";
const CHALLENGE: &str = "Bearer realm=\"changeover\"";
const INVALID: &str = "Bearer realm=\"changeover\", error=\"invalid_token\"";

fn unauthorized(why: &str, challenge: &'static str) -> Problem {
    let challenge = HeaderValue::from_static(challenge);
    Problem::new(StatusCode::UNAUTHORIZED, why).header(header::WWW_AUTHENTICATE, challenge)
}

const fn label(unknown: NotKnown) -> &'static str {
    match unknown {
        NotKnown::Malformed => "malformed",
        NotKnown::Unknown => "unknown",
        NotKnown::Expired => "expired",
        NotKnown::TooMany { .. } => "too-many",
    }
}

fn allow(bearer: &Operator, need: Need, module: Option<&str>) -> Result<(), Problem> {
    let (may, role) = match need {
        Need::Nothing | Need::Token => return Ok(()),
        Need::Metrics => (bearer.may(Role::Viewer), Role::Viewer),
        Need::Role(role) => (bearer.may(role), role),
        Need::Produce if bearer.may(Role::Producer) => {
            // A name that is not UTF-8 is no module's, which the endpoint says.
            let may = bearer.may_produce(module.unwrap_or_default());
            let why = format!("the token `{}` is for other modules", bearer.name);
            return may.then_some(()).ok_or_else(|| forbidden(why));
        }
        Need::Produce => (false, Role::Producer),
    };
    let (name, roles) = (&bearer.name, bearer.roles);
    let why = || format!("this needs the role `{role}`, and the token `{name}` has `{roles}`");
    may.then_some(()).ok_or_else(|| forbidden(why()))
}

fn forbidden(why: String) -> Problem {
    Problem::new(StatusCode::FORBIDDEN, why)
}

/// Who acts, beside whom they say that it is for: see [`Operator::acts_as`].
const ACTING_FOR: &str = "changeover-actor";

/// Who acts, as the audit has it.
pub struct Actor(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for Actor {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let bearer = parts.extensions.get::<Arc<Operator>>();
        // The table asks for a token wherever somebody acts.
        let bearer = bearer.ok_or_else(|| unauthorized("this needs a token", CHALLENGE))?;
        let said = parts.headers.get(ACTING_FOR);
        Ok(Self(
            bearer.acts_as(said.and_then(|name| name.to_str().ok())),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_shown_in_one_of_two_ways() {
        let token = |shown| token_in(shown).map(Cow::into_owned);
        assert_eq!(token("Bearer x:y").as_deref(), Some("x:y"));
        assert_eq!(token("bearer x").as_deref(), Some("x"));
        // curl -u any:s3cret
        assert_eq!(token("Basic YW55OnMzY3JldA==").as_deref(), Some("s3cret"));
        for other in [
            "",
            "Bearer",
            "s3cret",
            "Digest x",
            "Basic s3cret",
            "Basic YW55",
        ] {
            assert_eq!(token(other), None, "{other}");
        }
    }

    #[test]
    fn what_the_table_does_not_name_is_an_admins() {
        let need = |method, path| need(&method, path);
        assert_eq!(need(Method::GET, "/admin/v1/modules"), VIEW);
        assert_eq!(need(Method::HEAD, "/admin/v1/modules"), VIEW);
        assert_eq!(need(Method::PUT, "/admin/v1/modules"), ADMIN);
        assert_eq!(need(Method::GET, "/admin/v1/secrets"), ADMIN);
        assert_eq!(need(Method::POST, "/healthz"), ADMIN);
        assert_eq!(
            need(Method::POST, "/broker/{secret}/vernemq"),
            Need::Nothing
        );
        assert_eq!(need(Method::POST, "/brokers"), ADMIN);
    }
}
