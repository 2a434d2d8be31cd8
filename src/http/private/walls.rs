//! What stands before every request to the private listener, and what every answer says to browsers.
//!
//! Invariants: a body that does not arrive in time holds nothing longer than that; no answer of this listener is a page that another
//! one may frame, run or read.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{
    BoxError,
    body::{Body, Bytes, HttpBody},
    extract::{Request, State},
    http::{HeaderName, HeaderValue, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use hyper::body::{Frame, SizeHint};
use tokio::time::{Sleep, sleep};

use crate::http::Problem;

/// The bounds of a request.
#[derive(Debug, Clone, Copy)]
pub struct Walls {
    /// Longest path and query.
    pub url_bytes: usize,
    /// How long a body may take.
    pub body_patience: Duration,
}

/// What browsers are told. Nothing here is a page, so a page of it may do nothing.
const TOLD: [(HeaderName, &str); 5] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; frame-ancestors 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
];

/// Lets a request through if it is not too long, and no longer than it may take.
pub(super) async fn stand(State(walls): State<Walls>, request: Request, next: Next) -> Response {
    let mut response = if is_too_long(&request, walls) {
        Problem::new(
            StatusCode::URI_TOO_LONG,
            "path and query are longer than server.max_url_bytes",
        )
        .into_response()
    } else {
        within_patience(walls, request, next).await
    };
    for (name, value) in TOLD {
        let headers = response.headers_mut();
        headers
            .entry(name)
            .or_insert(HeaderValue::from_static(value));
    }
    response
}

fn is_too_long(request: &Request, walls: Walls) -> bool {
    let url = request.uri().path_and_query();
    url.is_some_and(|url| url.as_str().len() > walls.url_bytes)
}

async fn within_patience(walls: Walls, request: Request, next: Next) -> Response {
    let is_late = Arc::<AtomicBool>::default();
    let request = request.map(|body| {
        Body::new(Awaited {
            body,
            patience: walls.body_patience,
            over: None,
            is_late: Arc::clone(&is_late),
        })
    });
    let response = next.run(request).await;
    // Whatever a handler makes of a body that broke off, this is why.
    if response.status().is_client_error() && is_late.load(Relaxed) {
        return Problem::new(StatusCode::REQUEST_TIMEOUT, "the body did not arrive")
            .into_response();
    }
    response
}

/// A body that has to arrive in time. One that is there already has no timer.
struct Awaited {
    body: Body,
    patience: Duration,
    over: Option<Pin<Box<Sleep>>>,
    is_late: Arc<AtomicBool>,
}

impl HttpBody for Awaited {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            return Poll::Ready(frame.map(|frame| frame.map_err(BoxError::from)));
        }
        let patience = self.patience;
        let over = self.over.get_or_insert_with(|| Box::pin(sleep(patience)));
        ready!(over.as_mut().poll(context));
        self.is_late.store(true, Relaxed);
        Poll::Ready(Some(Err("the body did not arrive".into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
