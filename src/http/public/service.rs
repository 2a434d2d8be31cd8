//! Who answers a request of the public listener: legacy polls at paths without captures and evaluations of all flags first, for
//! everything else the router.
//!
//! Invariant: what is looked up here never differs from what the router would choose; it only costs
//! less. A router boxes the handler, its future and the bodies of every request, which together are
//! dearer than an idle poll.

use std::{convert::Infallible, net::IpAddr, sync::Arc};

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
    legacy_poll::FixedPaths,
    ofrep::direct::Direct,
};

/// What the public listener serves.
pub struct Public {
    fixed: FixedPaths,
    flags: Option<Direct>,
    router: Router,
    callers: Callers,
}

impl Public {
    pub(super) fn new(
        (fixed, flags): (FixedPaths, Option<Direct>),
        router: Router,
        callers: Callers,
    ) -> Self {
        Self {
            fixed,
            flags,
            router,
            callers,
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
}
