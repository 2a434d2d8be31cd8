//! The configured legacy endpoints.
//!
//! Invariant: whatever the request, the answer is in the module's own words.

use std::{
    collections::BTreeMap, convert::Infallible, panic::AssertUnwindSafe, sync::Arc, time::Duration,
};

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

use super::PublicState;
use crate::poll::{BodyKind, Content, Failure, Parts, Route};

/// One service per path.
pub(super) fn routes(state: PublicState) -> Router {
    let bounds = BodyBounds {
        bytes: state.body_bytes,
        patience: state.body_patience,
    };
    let mut router = Router::new().without_v07_checks();
    for (path, here) in by_path(state.endpoints) {
        let service = service_fn(move |request| {
            let here = Arc::clone(&here);
            async move { Ok::<_, Infallible>(serve(&here, bounds, request).await) }
        });
        router = router.route(&path, any_service(service));
    }
    router
}

/// The routes at each path, of which each answers other methods.
fn by_path(routes: Vec<Arc<Route>>) -> BTreeMap<String, Arc<[Arc<Route>]>> {
    let mut paths: BTreeMap<String, Vec<Arc<Route>>> = BTreeMap::new();
    for route in routes {
        paths
            .entry(route.path().to_owned())
            .or_default()
            .push(route);
    }
    let shared = |(path, here): (String, Vec<_>)| (path, here.into());
    paths.into_iter().map(shared).collect()
}

#[derive(Debug, Clone, Copy)]
struct BodyBounds {
    bytes: usize,
    patience: Duration,
}

async fn serve(here: &[Arc<Route>], bounds: BodyBounds, request: Request) -> Response {
    let method = request.method();
    let chosen = here.iter().find(|route| route.allows(method));
    let refused = chosen.is_none();
    // Never empty: a path is there because something stands at it.
    let route = chosen.unwrap_or(&here[0]);
    // The route holds nothing that a panic could leave half changed; the hook has logged it.
    let answer = AssertUnwindSafe(answer(route, refused, bounds, request));
    let answer = answer.catch_unwind().await;
    answer
        .unwrap_or_else(|_panic| route.refuse_unread(&Failure::Panicked))
        .map(Body::from)
}

async fn answer(
    route: &Route,
    refused: bool,
    bounds: BodyBounds,
    request: Request,
) -> http::Response<Bytes> {
    if refused {
        return route.refuse_unread(&Failure::Method);
    }
    let (mut head, body) = request.into_parts();
    let content = match read_body(body, route.body(), bounds).await {
        Ok(content) => content,
        Err(failure) => return route.refuse_unread(&failure),
    };
    if !route.captures() {
        return route.answer(&parts(&head, Some(&[]), &content)).await;
    }
    // Refused if a segment is not UTF-8: then the contract says so in its own words.
    let params = RawPathParams::from_request_parts(&mut head, &()).await.ok();
    let captures: Option<Vec<_>> = params.as_ref().map(|params| params.iter().collect());
    route
        .answer(&parts(&head, captures.as_deref(), &content))
        .await
}

fn parts<'a>(
    head: &'a request::Parts,
    captures: Option<&'a [(&'a str, &'a str)]>,
    body: &'a Content,
) -> Parts<'a> {
    Parts {
        query: head.uri.query(),
        headers: &head.headers,
        captures,
        body,
    }
}

/// Reads a body to its end, which keeps the connection usable, and keeps it only if it is wanted.
async fn read_body(
    body: Body,
    wanted: Option<BodyKind>,
    bounds: BodyBounds,
) -> Result<Content, Failure> {
    if body.is_end_stream() {
        return Ok(Content::Absent);
    }
    let body = Limited::new(body, bounds.bytes);
    let read = async {
        match wanted {
            None => drop_body(body).await.map(|()| Content::Absent),
            Some(kind) => {
                let whole = body.collect().await.map_err(|error| why_unread(&*error))?;
                Content::parse(kind, &whole.to_bytes())
            }
        }
    };
    let read = timeout(bounds.patience, read).await;
    read.unwrap_or(Err(Failure::BodyMissing))
}

async fn drop_body(mut body: Limited<Body>) -> Result<(), Failure> {
    while let Some(frame) = body.frame().await {
        frame.map_err(|error| why_unread(&*error))?;
    }
    Ok(())
}

fn why_unread(error: &(dyn std::error::Error + Send + Sync + 'static)) -> Failure {
    if error.is::<LengthLimitError>() {
        Failure::BodyTooLarge
    } else {
        Failure::BodyMissing
    }
}
