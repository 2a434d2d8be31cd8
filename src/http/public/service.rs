//! Who answers a request of the public listener: legacy polls at paths without captures first, for
//! everything else the router.
//!
//! Invariant: what is looked up here never differs from what the router would choose; it only costs
//! less. A router boxes the handler, its future and the bodies of every request, which together are
//! dearer than an idle poll.

use std::{convert::Infallible, sync::Arc};

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

use super::{compression::Sent, legacy_poll::FixedPaths};

/// What the public listener serves.
pub struct Public {
    fixed: FixedPaths,
    router: Router,
}

/// What one connection serves: its requests count references of the connection's own, where a count
/// shared by all would be written by every core for each request.
#[expect(
    clippy::redundant_allocation,
    reason = "the outer count is the connection's"
)]
struct OfConnection(Arc<Arc<Public>>);

impl Clone for OfConnection {
    fn clone(&self) -> Self {
        Self(Arc::new(Arc::clone(&self.0)))
    }
}

impl Public {
    pub(super) const fn new(fixed: FixedPaths, router: Router) -> Self {
        Self { fixed, router }
    }

    /// The service of one listener, to be cloned for each connection.
    pub fn service(
        self,
    ) -> impl Service<
        Request<Incoming>,
        Response = Response<Sent>,
        Error = Infallible,
        Future: Send + 'static,
    > + Clone
    + Send
    + 'static {
        let public = OfConnection(Arc::new(Arc::new(self)));
        service_fn(move |request: Request<Incoming>| {
            let public = Arc::clone(&public.0);
            async move { Ok(public.answer(request).await) }
        })
    }

    /// Answers one request.
    pub async fn answer<B>(&self, request: Request<B>) -> Response<Sent>
    where
        B: HttpBody<Data = Bytes, Error: Into<BoxError>> + Send + Unpin + 'static,
    {
        if let Some(legacy) = self.fixed.get(request.uri().path()) {
            return legacy.serve(request).await;
        }
        let routed = self.router.clone().oneshot(request.map(Body::new));
        let Ok(response) = Box::pin(routed).await;
        response.map(Sent::Right)
    }
}
