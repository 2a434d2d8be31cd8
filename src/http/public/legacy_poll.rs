//! The configured legacy endpoints.
//!
//! Invariant: whatever the request, the answer is in the module's own words.

use std::{
    collections::{BTreeMap, HashMap},
    convert::Infallible,
    panic::AssertUnwindSafe,
    sync::Arc,
    time::Duration,
};

use axum::{
    BoxError, Router,
    body::{Body, Bytes, HttpBody},
    extract::{FromRequestParts, RawPathParams},
    http::{HeaderValue, Method, Request, header::CONTENT_LENGTH, request},
    routing::any_service,
};
use futures_util::FutureExt;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use tokio::time::timeout;
use tower::service_fn;

use super::{
    PublicState,
    callers::CallsFrom,
    compression::{Accepted, Compression, Sent},
};
use crate::poll::{BodyKind, Compat, Content, Failure, Noted, Parts, Route};

/// What answers at one path.
#[derive(Clone)]
pub(super) struct LegacyPath {
    /// Never empty; each answers other methods.
    here: Arc<[Arc<Route>]>,
    bounds: BodyBounds,
    compression: Compression,
}

/// Why a request is refused before anything of it is looked at, as the router for paths with captures finds it.
#[derive(Debug, Clone)]
pub(super) struct RefusedAs(pub(super) Failure);

/// Paths without captures, which are looked up as they stand.
pub(super) type FixedPaths = HashMap<Box<str>, LegacyPath, foldhash::fast::RandomState>;

/// All legacy paths: those without captures, and a router for the others.
pub(super) fn paths(state: PublicState, compression: Compression) -> (FixedPaths, Router) {
    let bounds = BodyBounds {
        bytes: state.body_bytes,
        patience: state.body_patience,
    };
    let mut fixed = FixedPaths::default();
    let mut router = Router::new().without_v07_checks();
    for (path, here) in by_path(state.endpoints) {
        let legacy = LegacyPath {
            here,
            bounds,
            compression,
        };
        if !path.contains(['{', '}']) {
            fixed.insert(path.into(), legacy);
            continue;
        }
        let service = service_fn(move |request: Request<Body>| {
            let legacy = legacy.clone();
            async move {
                let refused = request.extensions().get();
                let refused = refused.map(|RefusedAs(failure)| failure.clone());
                let answer = if let Some(failure) = refused {
                    legacy.refuse(request, &failure).await
                } else {
                    let from = CallsFrom::of(&request);
                    legacy.serve(request, from).await
                };
                Ok::<_, Infallible>(answer.map(Body::new))
            }
        });
        router = router.route(&path, any_service(service));
    }
    (fixed, router)
}

/// The routes at each path, of which each answers other methods.
fn by_path(routes: Vec<Arc<Route>>) -> BTreeMap<String, Arc<[Arc<Route>]>> {
    let mut paths: BTreeMap<String, Vec<Arc<Route>>> = BTreeMap::new();
    for route in routes {
        for path in route.paths() {
            paths.entry(path).or_default().push(Arc::clone(&route));
        }
    }
    let shared = |(path, here): (String, Vec<_>)| (path, here.into());
    paths.into_iter().map(shared).collect()
}

#[derive(Debug, Clone, Copy)]
struct BodyBounds {
    bytes: usize,
    patience: Duration,
}

impl LegacyPath {
    /// Answers a request to this path.
    pub(super) async fn serve<B>(
        &self,
        mut request: Request<B>,
        from: Option<CallsFrom>,
    ) -> http::Response<Sent>
    where
        B: HttpBody<Data = Bytes, Error: Into<BoxError>> + Unpin,
    {
        let accepted = Accepted::of(&request);
        let chosen = self.chosen(request.method());
        let refused = chosen.is_none();
        let route = chosen.unwrap_or(&self.here[0]);
        let compat = asked(route, &mut request);
        // The route holds nothing that a panic could leave half changed; the hook has logged it.
        let answer = AssertUnwindSafe(answer(route, refused, self.bounds, request, from));
        let answer = answer.catch_unwind().await;
        let answer = answer.unwrap_or_else(|_panic| route.refuse_unread(&Failure::Panicked));
        self.told(accepted, compat, answer).await
    }

    /// Refuses a request to this path, of which nothing is read.
    pub(super) async fn refuse<B>(
        &self,
        mut request: Request<B>,
        failure: &Failure,
    ) -> http::Response<Sent> {
        let accepted = Accepted::of(&request);
        let chosen = self.chosen(request.method());
        let route = chosen.unwrap_or(&self.here[0]);
        let compat = asked(route, &mut request);
        let answer = route.refuse_unread(failure);
        self.told(accepted, compat, answer).await
    }

    fn chosen(&self, method: &Method) -> Option<&Arc<Route>> {
        self.here.iter().find(|route| route.allows(method))
    }

    async fn told(
        &self,
        accepted: Accepted,
        compat: Option<(&Compat, Noted)>,
        mut answer: http::Response<Bytes>,
    ) -> http::Response<Sent> {
        if let Some((compat, noted)) = compat {
            compat.tell(noted, &mut answer);
        }
        if accepted.is_head {
            answer = without_body(answer);
        }
        self.compression.of_bytes(accepted, answer).await
    }
}

/// What old clients need of a request, if they need anything.
fn asked<'r, B>(route: &'r Route, request: &mut Request<B>) -> Option<(&'r Compat, Noted)> {
    let compat = route.compat()?;
    Some((compat, compat.ask(request)))
}

/// The headers of `GET`, the length among them, and no body.
fn without_body(mut answer: http::Response<Bytes>) -> http::Response<Bytes> {
    let body = std::mem::take(answer.body_mut());
    if !body.is_empty() {
        let length = HeaderValue::from(body.len());
        answer.headers_mut().insert(CONTENT_LENGTH, length);
    }
    answer
}

async fn answer<B>(
    route: &Route,
    refused: bool,
    bounds: BodyBounds,
    request: Request<B>,
    from: Option<CallsFrom>,
) -> http::Response<Bytes>
where
    B: HttpBody<Data = Bytes, Error: Into<BoxError>> + Unpin,
{
    if refused {
        return route.refuse_unread(&Failure::Method);
    }
    let (mut head, body) = request.into_parts();
    let content = match read_body(body, route.body(), bounds).await {
        Ok(content) => content,
        Err(failure) => return route.refuse_unread(&failure),
    };
    if !route.captures() {
        return route.answer(&parts(&head, from, Some(&[]), &content)).await;
    }
    // Refused if a segment is not UTF-8: then the contract says so in its own words.
    let params = RawPathParams::from_request_parts(&mut head, &()).await.ok();
    let captures: Option<Vec<_>> = params.as_ref().map(|params| params.iter().collect());
    route
        .answer(&parts(&head, from, captures.as_deref(), &content))
        .await
}

fn parts<'a>(
    head: &'a request::Parts,
    from: Option<CallsFrom>,
    captures: Option<&'a [(&'a str, &'a str)]>,
    body: &'a Content,
) -> Parts<'a> {
    Parts {
        query: head.uri.query(),
        headers: &head.headers,
        peer: from.map(|from| from.peer),
        address: from.map(|from| from.address),
        captures,
        body,
    }
}

/// Reads a body to its end, which keeps the connection usable, and keeps it only if it is wanted.
async fn read_body<B>(
    body: B,
    wanted: Option<BodyKind>,
    bounds: BodyBounds,
) -> Result<Content, Failure>
where
    B: HttpBody<Data = Bytes, Error: Into<BoxError>> + Unpin,
{
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
    let read = Box::pin(timeout(bounds.patience, read)).await;
    read.unwrap_or(Err(Failure::BodyMissing))
}

async fn drop_body<B>(mut body: Limited<B>) -> Result<(), Failure>
where
    B: HttpBody<Data = Bytes, Error: Into<BoxError>> + Unpin,
{
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
