//! Who answers a request of the public listener: legacy polls at paths without captures and evaluations of all flags first, for
//! everything else the router.
//!
//! Invariant: what is looked up here never differs from what the router would choose; it only costs
//! less. A router boxes the handler, its future and the bodies of every request, which together are
//! dearer than an idle poll.

use std::{convert::Infallible, net::IpAddr, sync::Arc, time::Instant};

use axum::{
    BoxError, Router,
    body::{Body, Bytes, HttpBody},
    http::{Request, Response},
};
use hyper::{
    body::Incoming,
    service::{Service, service_fn},
};
use tower::ServiceExt;

use super::{
    callers::{Callers, CallsFrom},
    compression::Sent,
    legacy_poll::{FixedPaths, RefusedAs},
    ofrep::direct::Direct,
};
use crate::{
    identity::{Refused, pace::Pace},
    poll::Failure,
};

/// What the public listener serves.
pub struct Public {
    fixed: FixedPaths,
    flags: Option<Direct>,
    router: Router,
    callers: Callers,
    walls: Walls,
}

/// What keeps requests out before they are looked at.
pub(super) struct Walls {
    /// Answers those that are kept out: legacy polls in their own words.
    pub(super) refusing: Router,
    pub(super) pace: Arc<Pace>,
    /// Longest path and query.
    pub(super) url_bytes: usize,
}

/// Never kept out for coming often: who asks here looks whether the process lives.
const HEALTH: &str = "/healthz";

impl Public {
    pub(super) fn new(
        (fixed, flags): (FixedPaths, Option<Direct>),
        router: Router,
        callers: Callers,
        walls: Walls,
    ) -> Self {
        Self {
            fixed,
            flags,
            router,
            callers,
            walls,
        }
    }

    /// The service of one connection. Its requests count references of the connection's own, where a count shared by all would be
    /// written by every core for each request.
    pub fn service(
        self: &Arc<Self>,
        peer: IpAddr,
    ) -> impl Service<
        Request<Incoming>,
        Response = Response<Sent>,
        Error = Infallible,
        Future: Send + 'static,
    > + Send
    + use<> {
        let public = Arc::new(Arc::clone(self));
        service_fn(move |request: Request<Incoming>| {
            let public = Arc::clone(&public);
            async move { Ok(public.answer(request, peer).await) }
        })
    }

    /// Answers one request that came over a connection with `peer`.
    pub async fn answer<B>(&self, mut request: Request<B>, peer: IpAddr) -> Response<Sent>
    where
        B: HttpBody<Data = Bytes, Error: Into<BoxError>> + Send + Unpin + 'static,
    {
        let from = CallsFrom {
            peer: peer.to_canonical(),
            address: self.callers.address(peer, request.headers()),
        };
        if let Some(failure) = self.walls.failure(&request, from.address) {
            return Box::pin(self.refuse(request, failure)).await;
        }
        if let Some(legacy) = self.fixed.get(request.uri().path()) {
            return legacy.serve(request, Some(from)).await;
        }
        if let Some(flags) = self.flags.as_ref().filter(|_| Direct::is_for(&request)) {
            return flags.serve(request, from).await;
        }
        request.extensions_mut().insert(from);
        let routed = self.router.clone().oneshot(request.map(Body::new));
        let Ok(response) = Box::pin(routed).await;
        response.map(Sent::Right)
    }

    /// Answers a request that is kept out.
    async fn refuse<B>(&self, mut request: Request<B>, failure: Failure) -> Response<Sent> {
        if let Some(legacy) = self.fixed.get(request.uri().path()) {
            return legacy.refuse(request, &failure).await;
        }
        request.extensions_mut().insert(RefusedAs(failure));
        let refusing = self.walls.refusing.clone();
        let Ok(response) = refusing.oneshot(request.map(|_unread| Body::empty())).await;
        response.map(Sent::Right)
    }
}

impl Walls {
    fn failure<B>(&self, request: &Request<B>, address: IpAddr) -> Option<Failure> {
        let url = request.uri().path_and_query();
        if url.is_some_and(|url| url.as_str().len() > self.url_bytes) {
            return Some(Failure::UrlTooLong);
        }
        let too_soon = self.pace.admit_address(address, Instant::now).err()?;
        let retry_after_s = too_soon.retry_after_s;
        let refused = Refused::TooMany { retry_after_s };
        (request.uri().path() != HEALTH).then_some(Failure::Refused(refused))
    }
}
