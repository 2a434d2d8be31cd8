//! The configured legacy endpoints.
//!
//! Invariant: whatever the request, the answer is in the module's own words.

use std::{convert::Infallible, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use axum::{
    Router,
    body::{Body, Bytes, HttpBody},
    extract::{FromRequestParts, RawPathParams, Request},
    http::request,
    response::Response,
    routing::any_service,
};
use futures_util::FutureExt;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use tokio::time::timeout;
use tower::service_fn;

use super::{
    PublicState,
    compression::{Accepted, Compression},
};
use crate::poll::{Endpoint, Failure, Parts};

/// One route per endpoint.
pub(super) fn routes(state: PublicState, compression: Compression) -> Router {
    let bounds = BodyBounds {
        bytes: state.body_bytes,
        patience: state.body_patience,
    };
    let mut router = Router::new().without_v07_checks();
    for endpoint in state.endpoints {
        let paths: Vec<_> = endpoint.contract().paths().collect();
        let service = service_fn(move |request| {
            let endpoint = Arc::clone(&endpoint);
            async move { Ok::<_, Infallible>(serve(&endpoint, bounds, compression, request).await) }
        });
        for path in paths {
            router = router.route(&path, any_service(service.clone()));
        }
    }
    router
}

#[derive(Debug, Clone, Copy)]
struct BodyBounds {
    bytes: usize,
    patience: Duration,
}

async fn serve(
    endpoint: &Endpoint,
    bounds: BodyBounds,
    compression: Compression,
    mut request: Request,
) -> Response {
    let accepted = Accepted::of(&request);
    let compat = endpoint.compat();
    let compat = compat.map(|compat| (compat, compat.ask(&mut request)));
    // The endpoint holds nothing that a panic could leave half changed; the hook has logged it.
    let answer = AssertUnwindSafe(answer(endpoint, bounds, request));
    let answer = answer.catch_unwind().await;
    let mut answer = answer.unwrap_or_else(|_panic| endpoint.refuse_unread(&Failure::Panicked));
    if let Some((compat, noted)) = compat {
        compat.tell(noted, &mut answer);
    }
    compression.of_bytes(accepted, answer).await
}

async fn answer(
    endpoint: &Endpoint,
    bounds: BodyBounds,
    request: Request,
) -> http::Response<Bytes> {
    if !endpoint.allows(request.method()) {
        return endpoint.refuse_unread(&Failure::Method);
    }
    let (mut head, body) = request.into_parts();
    if let Err(failure) = drop_body(body, bounds).await {
        return endpoint.refuse_unread(&failure);
    }
    if !endpoint.contract().captures() {
        return endpoint.answer(&parts(&head, Some(&[]))).await;
    }
    // Refused if a segment is not UTF-8: then the contract says so in its own words.
    let params = RawPathParams::from_request_parts(&mut head, &()).await.ok();
    let captures: Option<Vec<_>> = params.as_ref().map(|params| params.iter().collect());
    endpoint.answer(&parts(&head, captures.as_deref())).await
}

fn parts<'a>(head: &'a request::Parts, captures: Option<&'a [(&'a str, &'a str)]>) -> Parts<'a> {
    Parts {
        query: head.uri.query(),
        headers: &head.headers,
        captures,
    }
}

/// Reads a body to its end, which keeps the connection usable, and forgets it.
async fn drop_body(body: Body, bounds: BodyBounds) -> Result<(), Failure> {
    if body.is_end_stream() {
        return Ok(());
    }
    let mut body = Limited::new(body, bounds.bytes);
    let drained = async {
        while let Some(frame) = body.frame().await {
            frame.map_err(|error| {
                if error.is::<LengthLimitError>() {
                    Failure::BodyTooLarge
                } else {
                    Failure::BodyMissing
                }
            })?;
        }
        Ok(())
    };
    let drained = timeout(bounds.patience, drained).await;
    drained.unwrap_or(Err(Failure::BodyMissing))
}
