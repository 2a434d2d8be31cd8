//! Who asks at the doors for new clients.
//!
//! Invariants: every door asks the same question of the same part of a request; where all callers are open, it costs nothing.

use std::{
    convert::Infallible,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

use axum::{
    extract::{FromRequestParts, Request},
    http::{HeaderMap, header, request::Parts},
};

use super::callers::CallsFrom;
use crate::{
    domain::Audience,
    http::Problem,
    identity::{Accepted, Asking, Identity, Refused, Who},
};

/// What a request brings along by which its caller may be known.
pub(super) struct Brought {
    pub(super) headers: HeaderMap,
    query: Option<String>,
    from: Option<CallsFrom>,
}

impl Brought {
    /// The same of a request whose body is still to be read.
    pub(super) fn by(request: &Request) -> Self {
        Self {
            headers: request.headers().clone(),
            query: request.uri().query().map(str::to_owned),
            from: CallsFrom::of(request),
        }
    }

    /// What is shown to those who know callers.
    pub(super) fn asking(&self) -> Asking<'_> {
        asking(&self.headers, self.query.as_deref(), self.from)
    }

    /// Where it comes from.
    pub(super) fn address(&self) -> Option<IpAddr> {
        self.from.map(|from| from.address)
    }
}

impl<S: Sync> FromRequestParts<S> for Brought {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        Ok(Self {
            headers: parts.headers.clone(),
            query: parts.uri.query().map(str::to_owned),
            from: parts.extensions.get().copied(),
        })
    }
}

/// The parts of a request by which its caller may be known. One from nowhere comes from no proxy.
pub(super) fn asking<'a>(
    headers: &'a HeaderMap,
    query: Option<&'a str>,
    from: Option<CallsFrom>,
) -> Asking<'a> {
    let nowhere = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    Asking {
        headers,
        query,
        peer: from.map_or(nowhere, |from| from.peer),
        address: from.map_or(nowhere, |from| from.address),
    }
}

/// Who asks.
pub(super) async fn who(
    identity: &Identity,
    asking: &Asking<'_>,
    accepted: Accepted,
) -> Result<Who, Refused> {
    if identity.is_open() {
        return Ok(Who::Open);
    }
    identity.who(asking, accepted).await
}

/// Whose changes a request is about that names this audience, or none. An open caller that names everyone is told of by that, as ever.
pub(super) fn audiences(who: &Who, named: Option<Audience>) -> Result<Arc<[Audience]>, Refused> {
    match who.caller() {
        None => Ok(named.into_iter().collect()),
        Some(_) => who.audiences(named),
    }
}

/// A refusal as a problem, which is counted.
pub(super) fn problem(identity: &Identity, refused: Refused) -> Problem {
    refused.count("native");
    let mut problem = Problem::new(refused.status(), refused.to_string());
    if let Some(challenge) = identity.places().challenge(refused) {
        problem = problem.header(header::WWW_AUTHENTICATE, challenge);
    }
    match refused.retry_after_s() {
        Some(seconds) => problem.retry_after(seconds),
        None => problem,
    }
}
